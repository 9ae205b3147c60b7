"""A trained refinement as `decoder.onnx`: opset 20, plain operators, proven equal to PyTorch before it is written."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from codec.errors import InputError, InternalError
from codec.heads.graph import IR_VERSION, OPSET
from codec.nec.refinement.degraded import Windows, read_embeddings
from codec.nec.refinement.network import RefinementNetwork
from codec.nec.refinement.recipe import Recipe
from codec.nec.refinement.run import CHECKPOINT, Run, network_inputs
from codec.nec.refinement.session import TRANSFORM_KEY, transform_of
from codec.onnx_session import open_session
from codec.package import Package

# Of ONNX Runtime against PyTorch, relative to the largest absolute value. Both sum in float32 in their own order.
TOLERANCE = 1e-5
_PROVEN_GROUPS = 8  # qualities, of as many tiles as a training group


@dataclass(frozen=True)
class Exported:
    """The graph's bytes, and how far it is from PyTorch at most (relative)."""

    graph: bytes
    difference: float


def exported(package: Package, embeddings: Path, out: Path) -> Exported:
    """The graph of the finished run in `out`. Raises InputError where there is none or it is not finished."""
    checkpoint = out / CHECKPOINT
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        recipe = Recipe.model_validate(state["recipe"])
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise InputError(
            f"no run of a refinement: {type(error).__name__}", path=checkpoint, fix="train one first"
        ) from error
    planes, validity = read_embeddings(embeddings)
    windows = Windows.of(package, planes, validity, recipe)
    run = Run(windows, recipe)
    run.load(checkpoint)
    if run.step < recipe.steps:
        raise InputError(
            "the run is not finished",
            path=checkpoint,
            expected=f"{recipe.steps} steps",
            found=run.step,
            fix="run `train` again: it goes on where it stopped",
        )
    graph = trace(run.network, [entry.name for entry in package.planes], transform_of(package))
    return Exported(graph, proven(graph, run.network, windows, recipe))


def trace(network: RefinementNetwork, planes: list[str], transform: str) -> bytes:
    """The network with a dynamic number of tiles; inputs, output and `transform` (SHA-256) named as `session` says."""
    rows, cols, channels = network.mean.shape
    layers = len(network.scale)
    example: tuple[Tensor, ...] = (
        torch.zeros(2, rows, cols, channels),
        torch.zeros(2, rows, cols, len(network.other_mean)),
        torch.ones(2, rows, cols),
        torch.ones(2, layers),
        torch.ones(2, layers),
    )
    tiles = torch.export.Dim("tiles", min=1, max=4096)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="swathpack-decoder-") as folder:
        warnings.simplefilter("ignore")  # torch's exporter warns about its own internals
        program = torch.onnx.export(
            _detached(network),
            example,
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=[*planes, "validity", "steps", "arrived"],
            output_names=[f"refined_{planes[0]}"],
            dynamic_shapes=({0: tiles},) * len(example),
            verbose=False,
        )
        if program is None:
            raise InternalError("torch.onnx.export gave nothing")
        path = Path(folder) / "decoder.onnx"
        program.save(str(path), external_data=False)
        model = onnx.load(str(path), load_external_data=False)
    _strip(model)
    onnx.helper.set_model_props(model, {TRANSFORM_KEY: transform})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _detached(network: RefinementNetwork) -> nn.Module:
    return network.eval().requires_grad_(False)


def _strip(model: onnx.ModelProto) -> None:
    """The exporter's notes name source files of the machine: none of them is part of the graph."""
    model.doc_string = ""
    model.graph.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    model.ir_version = IR_VERSION
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]


def proven(graph: bytes, network: RefinementNetwork, windows: Windows, recipe: Recipe) -> float:
    """Largest difference to PyTorch over several qualities, relative to the largest value.

    Raises InternalError above TOLERANCE.
    """
    session = open_session(graph, what="the refinement", threads=1)
    names = [node.name for node in session.get_inputs()]
    worst = 0.0
    for number in range(_PROVEN_GROUPS):
        rng = np.random.default_rng([recipe.seed, number, 0xDEC0DE])
        tiles = np.sort(rng.choice(len(windows.validity), min(recipe.group, len(windows.validity)), False))
        inputs = network_inputs(windows.degrade(tiles, windows.draw(recipe, rng)))
        with torch.no_grad():
            expected = network(*map(torch.from_numpy, inputs)).numpy()
        (found,) = session.run(None, dict(zip(names, inputs, strict=True)))
        difference = np.abs(found - expected).max() / np.abs(expected).max()
        worst = float(np.maximum(worst, difference))  # unlike `max` it keeps NaN
    if not worst <= TOLERANCE:
        raise InternalError(f"the graph differs from PyTorch by {worst:.2g}, allowed {TOLERANCE:g}")
    return worst
