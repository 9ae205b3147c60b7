"""An adapted encoder as an ONNX graph of the operators that fly, equal to PyTorch, through the exporter in use."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from codec.adapt import apply
from codec.adapt.adapted import Adapted
from codec.adapt.patch_statistics import PatchStatistics
from codec.adapt.registry import base_of
from tests.adapt.small_bases import BANDS, CASES, SWITCHES, batch_of, kicked

pytest.importorskip("onnxscript")
ort = pytest.importorskip("onnxruntime")


class Graph(nn.Module):
    """The tokens as the one output."""

    def __init__(self, adapted: Adapted) -> None:
        super().__init__()
        self.adapted = adapted

    def forward(self, pixels: Tensor, present: Tensor, validity: Tensor) -> Tensor:
        out: Tensor = self.adapted(pixels, present, validity)["tokens"]
        return out


def exported(adapted: Adapted, folder: Path) -> bytes:
    """As `onboard.export` traces: opset 20, a dynamic number of tiles, one file."""
    tiles = torch.export.Dim("tiles", min=1, max=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            Graph(adapted).eval(), batch_of(), dynamo=True, opset_version=20, external_data=False,
            input_names=["pixels", "present", "validity"], output_names=["tokens"],
            dynamic_shapes=({0: tiles}, {0: tiles}, {0: tiles}), verbose=False,
        )  # fmt: skip
    assert program is not None
    program.save(str(folder / "graph.onnx"), external_data=False)
    return (folder / "graph.onnx").read_bytes()


def compare(adapted: Adapted, folder: Path) -> None:
    from onboard.graph import check_graph

    data = exported(adapted, folder)
    check_graph(data, "graph.onnx")  # refuses operators that do not fly
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    for n in (1, 5):
        batch = batch_of(n, seed=n)
        found = session.run(
            None, dict(zip(("pixels", "present", "validity"), (x.numpy() for x in batch), strict=True))
        )
        with torch.no_grad():
            expected = adapted(*batch)["tokens"].numpy()
        np.testing.assert_allclose(found[0], expected, atol=2e-5 * np.abs(expected).max())


def deflected(case: str, **settings: Any) -> Adapted:
    given = CASES[case]
    statistics = PatchStatistics(BANDS, 4, indices=())
    found = apply(
        base_of(given.encoder(), **given.side),
        "deflect",
        BANDS,
        statistics=statistics,
        uatt__rank=5,
        **settings,
    )
    found.fit_statistics([batch_of(4, seed=8)])  # type: ignore[operator]
    return kicked(found)


@pytest.mark.parametrize(
    "case", ["own", *(pytest.param(case, marks=pytest.mark.long) for case in ("MAE", "Scale-MAE", "Galileo"))]
)
def test_deflect_of_every_family_exports_to_operators_that_fly(case: str, tmp_path: Path) -> None:
    compare(deflected(case), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("method", ["lora", "slr"])
def test_low_rank_rivals_export_unmerged(method: Any, tmp_path: Path) -> None:
    compare(kicked(apply(CASES["own"].encoder(), method, BANDS, rank=3)), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("switches", SWITCHES.values(), ids=list(SWITCHES))
def test_every_switch_exports(switches: dict[str, Any], tmp_path: Path) -> None:
    compare(deflected("own", layers="all", **switches), tmp_path)
