"""`python -m onboard.export --engine fp16`: the trained encoder as a graph that flies, proven equal to PyTorch.

The graph contains the analysis transform: pixels (and bands, validity) in, per plane `latent` and, at the default
ladder index, `symbols` out. ONNX opset 20, plain operators, one file. This is the one module of this room that
imports torch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import platform
import signal
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from codec.atomic import write_atomic
from codec.errors import BackendUnavailable, ExitCode, InputError, InternalError, SwathpackError, UsageError
from onboard.engine import OnnxRuntimeEngine
from onboard.engine_package import FORMAT, GRAPH, MANIFEST, PARITY, check_place, write_engine_package
from onboard.graph import OPSET, check_graph
from onboard.parity import GATES, parity_report
from onboard.parity_tiles import ParityTiles, parity_tiles

if TYPE_CHECKING:
    import torch

    from codec.package import Package

DEFAULT_MODEL = "s2-nano"
_BATCH = 32


def plane_names(package: Package) -> tuple[str, ...]:
    """Names in the order of the stream."""
    return tuple(plane.name for plane in package.planes)


def encoder_graph(package: Package, engine: str) -> torch.nn.Module:
    """Encoder and analysis transform as one module: (pixels, bands, validity) → latent, symbols of each plane.

    With `fp16` the stem and the blocks run in half precision; normalisation, patch means, transform and quantiser
    stay float32, where half would cost symbols and no time.
    """
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F

    from codec.models import load_encoder
    from codec.transform.dct import dct_matrix

    class Plane(nn.Module):
        mean: Tensor  # (h, w, C)
        basis_t: Tensor  # (C, C)
        dct: Tensor  # (F, F)
        inverse: Tensor  # (C, F); where nothing is coded 0, so that every value quantises to 0
        theta: Tensor  # (C, F)

        def __init__(self, name: str) -> None:
            super().__init__()
            transform = package.transforms[name]
            maps = package.maps(name, package.default_ladder_index)
            dct = np.kron(dct_matrix(transform.rows), dct_matrix(transform.cols)).astype(np.float32)
            self.register_buffer("mean", torch.from_numpy(transform.mean.copy()))
            self.register_buffer("basis_t", torch.from_numpy(transform.basis.T.copy()))
            self.register_buffer("dct", torch.from_numpy(dct))
            self.register_buffer(
                "inverse", torch.from_numpy(np.where(maps.coded, maps.inv_step, 0.0).astype(np.float32))
            )
            self.register_buffer("theta", torch.from_numpy(maps.theta.astype(np.float32)))

        def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
            # Masked tokens become the mean of the valid ones: smooth for the DCT, and free of what lies under a mask.
            weight = valid[..., None]  # (N, h, w, 1)
            count = weight.sum((1, 2), keepdim=True).clamp(min=1.0)
            centred = (x - self.mean) * weight
            x = centred + (1 - weight) * (centred.sum((1, 2), keepdim=True) / count)
            latent = (self.dct @ (x.flatten(1, 2) @ self.basis_t)).transpose(1, 2)  # (N, C, F)
            size = torch.round((latent.abs() * self.inverse - self.theta).clamp(min=0.0)).clamp(max=32767.0)
            # They fit 16 bits; TensorRT has no such type.
            return latent, (size * latent.sign()).to(torch.int32)

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = load_encoder(package.path("encoder.safetensors")).eval()
            self.compute = torch.float16 if engine == "fp16" else torch.float32
            for part in (
                self.encoder.stem,
                self.encoder.texture,
                self.encoder.presence,
                self.encoder.stem_norm,
                self.encoder.blocks,
                self.encoder.norm,
                self.encoder.project,
            ):
                part.to(self.compute)
            self.encoder.position = self.encoder.position.to(self.compute)
            self.encoder.position_gain.data = self.encoder.position_gain.data.to(self.compute)
            self.planes = nn.ModuleDict({name: Plane(name) for name in plane_names(package)})

        def forward(self, pixels: Tensor, bands: Tensor, validity: Tensor) -> tuple[Tensor, ...]:
            config = self.encoder.config
            # An engine refuses pixels that are not finite before it runs, so the graph need not.
            grids = self.encoder.planes(pixels, bands, validity, compute=self.compute, finite=True)
            valid = (F.avg_pool2d(validity[:, None], config.patch)[:, 0] >= 0.5).float()  # (N, h, w)
            cut = package.tile.margin // config.patch
            core = slice(cut, config.side - cut)
            outputs: list[Tensor] = []
            for name, plane in self.planes.items():
                outputs.extend(plane(grids[name][:, core, core], valid[:, core, core]))
            return tuple(outputs)

    return Graph().eval()


def write_onnx(graph: torch.nn.Module, package: Package, path: Path) -> None:
    """Export with a dynamic number of tiles; shapes of one tile come from the package."""
    import torch

    side = package.tile.core + 2 * package.tile.margin
    example = (
        torch.zeros(2, len(package.bands), side, side),
        torch.ones(2, len(package.bands)),
        torch.ones(2, side, side),
    )
    tiles = torch.export.Dim("tiles", min=1, max=4096)
    with warnings.catch_warnings():
        # torch's exporter warns about torchvision, which is not used, and about its own internals.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = _program(graph, example, tiles, package)
    program.save(str(path), external_data=False)
    strip_origins(path)


def strip_origins(path: Path) -> None:
    """Take out what the exporter notes of where each node came from: file names of the machine that exported."""
    import onnx

    model = onnx.load(str(path))
    parts = [model, model.graph, *model.graph.node, *model.graph.initializer, *model.functions]
    parts += [*model.graph.input, *model.graph.output, *model.graph.value_info]
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]
    path.write_bytes(model.SerializeToString(deterministic=True))


def _program(
    graph: torch.nn.Module, example: tuple[torch.Tensor, ...], tiles: object, package: Package
) -> torch.onnx.ONNXProgram:
    import torch

    program = torch.onnx.export(
        graph,
        example,
        dynamo=True,
        opset_version=OPSET,
        external_data=False,
        input_names=["pixels", "bands", "validity"],
        output_names=[f"{kind}_{name}" for name in plane_names(package) for kind in ("latent", "symbols")],
        dynamic_shapes=({0: tiles}, {0: tiles}, {0: tiles}),
        verbose=False,
    )
    if program is None:
        raise InternalError("torch.onnx.export gave nothing")
    return program


def reference_latents(package: Package, tiles: ParityTiles) -> dict[str, np.ndarray]:
    """The same graph in PyTorch float32: what the engine is held against."""
    import torch

    graph = encoder_graph(package, "fp32")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in plane_names(package)}
    with torch.inference_mode():
        for pixels, bands, validity in tiles.batches(_BATCH):
            outputs = graph(torch.from_numpy(pixels), torch.from_numpy(bands), torch.from_numpy(validity))
            for i, name in enumerate(plane_names(package)):
                parts[name].append(outputs[2 * i].numpy())
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def engine_latents(engine: OnnxRuntimeEngine, tiles: ParityTiles) -> dict[str, np.ndarray]:
    """Latents of the exported file."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in engine.planes}
    for batch in tiles.batches(_BATCH):
        for name, array in engine.run(*batch).items():
            parts[name].append(array)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def export(
    package: Package, engine: str, out: Path, tiles: ParityTiles, *, force: bool = False
) -> dict[str, Any]:
    """Write the engine package to `out` (whole or not at all) and return its parity report.

    Raises InputError when parity fails and `force` is not given, or `out` cannot be written; nothing is written then.
    """
    check_place(out)
    with tempfile.TemporaryDirectory(prefix="swathpack-export-") as folder:
        path = Path(folder) / GRAPH
        write_onnx(encoder_graph(package, engine), package, path)
        data = path.read_bytes()
        operators = check_graph(data, path)
        found = engine_latents(OnnxRuntimeEngine(path), tiles)
    report = parity_report(package, engine, tiles, reference_latents(package, tiles), found)
    if report["reasons"] and not force:
        raise InputError(
            f"the {engine} engine is not the model: {'; '.join(report['reasons'])}",
            fix="see the numbers with --force, which writes it all the same",
        )
    manifest = {
        "format": FORMAT,
        "package": package.name,
        "codec_id": package.codec_id.hex(),
        "space_ids": {name: package.space_ids[name].hex() for name in plane_names(package)},
        "engine": engine,
        "backend": "onnxruntime",
        "opset": OPSET,
        "operators": operators,
        "files": {GRAPH: hashlib.sha256(data).hexdigest()},
        "versions": versions(),
        "device": platform.machine(),
    }
    write_engine_package(out, {GRAPH: data, PARITY: _json(report), MANIFEST: _json(manifest)})
    return report


def versions() -> dict[str, str]:
    """Of everything that decides what a graph becomes."""
    import onnx
    import onnxruntime
    import torch

    return {
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def tensorrt_line() -> str:
    """What is said about TensorRT on this machine."""
    try:
        import tensorrt
    except ImportError:
        return "TensorRT is not on this machine: wrote a package for ONNX Runtime."
    return f"TensorRT {tensorrt.__version__} found; engines are built where they run, from the ONNX of this package."


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, fix="see python -m onboard.export --help")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m onboard.export",
        description="Export a model package's encoder to ONNX, prove it equal to PyTorch, write an engine package.",
    )
    parser.add_argument(
        "--engine", choices=sorted(GATES), default="fp32", help="precision of the encoder (default fp32)"
    )
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"package name or folder (default {DEFAULT_MODEL})"
    )
    parser.add_argument("--out", type=Path, help="output folder (default engines/<model>-<engine>)")
    parser.add_argument(
        "--tiles", type=Path, action="append", default=[], help="scene to take parity tiles from; may repeat"
    )
    parser.add_argument("--force", action="store_true", help="write an engine that fails parity")
    parser.add_argument(
        "--into-package", action="store_true", help="also make this graph the package's own encoder.onnx"
    )
    parser.add_argument("--json", action="store_true", help="print the parity report as JSON")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> tuple[Path, dict[str, Any]]:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise BackendUnavailable(
            f"{error.name or 'torch'} is not installed", fix="pip install 'swathpack[train]'"
        ) from error
    from codec.package import load, refresh

    package = load(options.model)
    out = options.out or Path("engines") / f"{package.name}-{options.engine}"
    report = export(package, options.engine, out, parity_tiles(package, options.tiles), force=options.force)
    if options.into_package:
        if not report["passed"]:
            raise InputError("an engine that fails parity does not go into the package", path=out)
        write_atomic(package.folder / GRAPH, (out / GRAPH).read_bytes())
        refresh(package.folder)
    return out, report


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the export; exit codes as everywhere."""
    if arguments is None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # unwind: temporary files go
    try:
        options = _options(arguments)
        out, report = _run(options)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    print(tensorrt_line(), file=sys.stderr)
    if options.json:
        print(json.dumps(report, indent=2))
        return int(ExitCode.OK)
    for row in report["default"]:
        print(
            f"{row['plane']}: {row['differ']:.4%} of {row['symbols']} symbols differ at the default quality, "
            f"largest latent difference {row['max_abs_latent']:.2g}"
        )
    print(f"{'passed' if report['passed'] else 'FAILED'}: {out}")
    return int(ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())
