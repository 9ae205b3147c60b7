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
from typing import TYPE_CHECKING, Any

import numpy as np

from codec.atomic import write_atomic
from codec.errors import BackendUnavailable, ExitCode, InputError, InternalError, SwathpackError
from codec.package.manifest import ADAPTER, ENCODER
from onboard.engine import Engine, OnnxRuntimeEngine, check_finite
from onboard.engine_package import FORMAT, GRAPH, MANIFEST, PARITY, check_place, write_engine_package
from onboard.export_options import DEFAULT_BACKENDS, check_options, parse, summary, tensorrt_line
from onboard.graph import OPSET, check_graph
from onboard.parity import Run, parity_report
from onboard.parity_tiles import ParityTiles, calibration_tiles, parity_tiles, procedural

if TYPE_CHECKING:
    import onnx
    import torch

    from codec.package import Package

_BATCH = 32


def plane_names(package: Package) -> tuple[str, ...]:
    """Names in the order of the stream."""
    return tuple(plane.name for plane in package.planes)


def encoder_graph(package: Package) -> torch.nn.Module:
    """Encoder and analysis transform as one module, float32: (pixels, bands, validity) → embedding, latent and symbols of
    each plane. Raises InputError for weights of another architecture than the package's, or that are not finite.
    """
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F

    from codec.transform.dct import dct_matrix
    from onboard.engine_graph import check_architecture

    class Plane(nn.Module):
        mean: Tensor  # (h, w, C)
        basis_t: Tensor  # (C, C), or (G, C, C): of each group of frequencies, its rotation included
        dct: Tensor  # (F, F)
        inverse: Tensor  # (C, F); where nothing is coded 0, so that every value quantises to 0
        theta: Tensor  # (C, F)
        order: Tensor  # (F): where each frequency stands among those of all groups

        def __init__(self, name: str) -> None:
            super().__init__()
            transform = package.transforms[name]
            maps = package.maps(name, package.default_ladder_index)
            dct = np.kron(dct_matrix(transform.rows), dct_matrix(transform.cols)).astype(np.float32)
            self.register_buffer("mean", torch.from_numpy(transform.mean.copy()))
            bases, turn = transform.bases, transform.rotations
            basis_t = np.ascontiguousarray(bases.swapaxes(1, 2))
            self.register_buffer("basis_t", torch.from_numpy(basis_t[0] if turn is None else basis_t))
            groups = () if turn is None else tuple(np.flatnonzero(turn.group == g) for g in range(len(bases)))
            self.groups = len(groups)
            for number, frequencies in enumerate(groups):
                self.register_buffer(f"frequencies{number}", torch.from_numpy(frequencies))
            if groups:
                order = np.argsort(np.concatenate(groups))
                self.register_buffer("order", torch.from_numpy(order))
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
            if self.groups:
                y = self.dct @ x.flatten(1, 2)  # (N, F, C)
                parts = [
                    y.index_select(1, self.get_buffer(f"frequencies{g}")) @ self.basis_t[g]
                    for g in range(self.groups)
                ]
                latent = torch.cat(parts, 1).index_select(1, self.order).transpose(1, 2)  # (N, C, F)
            else:
                latent = (self.dct @ (x.flatten(1, 2) @ self.basis_t)).transpose(1, 2)
            size = torch.round((latent.abs() * self.inverse - self.theta).clamp(min=0.0)).clamp(max=32767.0)
            # They fit 16 bits; TensorRT has no such type.
            return latent, (size * latent.sign()).to(torch.int32)

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = _encoder(package).eval()
            check_architecture(package, self.encoder.config)
            self.planes = nn.ModuleDict({name: Plane(name) for name in plane_names(package)})

        def forward(self, pixels: Tensor, bands: Tensor, validity: Tensor) -> tuple[Tensor, ...]:
            config = self.encoder.config
            # An engine refuses pixels that are not finite before it runs, so the graph need not.
            grids = self.encoder.planes(pixels, bands, validity, finite=True)
            valid = (F.avg_pool2d(validity[:, None], config.patch)[:, 0] >= 0.5).float()  # (N, h, w)
            cut = package.tile.margin // config.patch
            core = slice(cut, config.side - cut)
            outputs: list[Tensor] = []
            for name, plane in self.planes.items():
                embedding = grids[name][:, core, core]
                outputs.extend((embedding, *plane(embedding, valid[:, core, core])))
            return tuple(outputs)

    return Graph().eval()


def _encoder(package: Package) -> Any:
    """The package's encoder, with its adapter where the manifest names one."""
    from codec.models import load_encoder

    if package.manifest.adapter_sha256 is None:
        return load_encoder(package.path(ENCODER))
    from codec.adapt.encoder import load_adapted_encoder

    return load_adapted_encoder(package.path(ENCODER), package.path(ADAPTER))


def trace(package: Package) -> onnx.ModelProto:
    """The float32 graph with a dynamic number of tiles; shapes of one tile come from the package.

    Embeddings are outputs here (`embedding_<plane>`), so that whoever works on the graph knows where the network ends.
    """
    import onnx
    import torch

    side = package.tile.core + 2 * package.tile.margin
    example = (
        torch.zeros(2, len(package.bands), side, side),
        torch.ones(2, len(package.bands)),
        torch.ones(2, side, side),
    )
    tiles = torch.export.Dim("tiles", min=1, max=4096)
    kinds = ("embedding", "latent", "symbols")
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="swathpack-export-") as folder:
        # torch's exporter warns about torchvision, which is not used, and about its own internals.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            encoder_graph(package),
            example,
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=["pixels", "bands", "validity"],
            output_names=[f"{kind}_{name}" for name in plane_names(package) for kind in kinds],
            dynamic_shapes=({0: tiles}, {0: tiles}, {0: tiles}),
            verbose=False,
        )
        if program is None:
            raise InternalError("torch.onnx.export gave nothing")
        path = Path(folder) / GRAPH
        program.save(str(path), external_data=False)
        return onnx.load(str(path), load_external_data=False)


def reference_latents(package: Package, tiles: ParityTiles) -> dict[str, np.ndarray]:
    """The same graph in PyTorch float32: what the engine is held against."""
    import torch

    graph = encoder_graph(package)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in plane_names(package)}
    with torch.inference_mode():
        for pixels, bands, validity in tiles.batches(_BATCH):
            outputs = graph(torch.from_numpy(pixels), torch.from_numpy(bands), torch.from_numpy(validity))
            for i, name in enumerate(plane_names(package)):
                parts[name].append(outputs[3 * i + 1].numpy())
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def engine_latents(engine: Engine, tiles: ParityTiles) -> dict[str, np.ndarray]:
    """Latents of the exported file."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in engine.planes}
    for batch in tiles.batches(_BATCH):
        latents = engine.run(*batch)
        check_finite(latents)
        for name, array in latents.items():
            parts[name].append(array)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def export(
    package: Package,
    engine: str,
    out: Path,
    tiles: ParityTiles,
    *,
    calibration: ParityTiles | None = None,
    backend: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write the engine package to `out` (whole or not at all) and return its parity report.

    `calibration` is needed for int8. `backend`: what the package asks for when it is opened; by default ONNX Runtime, for
    bf16, which that cannot run, TensorRT. Raises InputError when parity fails and `force` is not given, `out` cannot be
    written, or the calibration tiles are none or lack bands of `tiles`; nothing is written then.
    """
    from onboard.engine_graph import check_calibration, engine_file

    check_place(out)
    if engine == "int8":
        if calibration is None:
            raise InputError("int8 needs calibration tiles", fix="name scenes with --calibration")
        check_calibration(calibration, tiles, package.bands)
    file = engine_file(trace(package), engine, plane_names(package), calibration)
    operators = check_graph(file.data, GRAPH)
    beside = procedural(package)
    with tempfile.TemporaryDirectory(prefix="swathpack-export-") as folder:
        path = Path(folder) / GRAPH
        path.write_bytes(file.proof)
        runner = OnnxRuntimeEngine(path)
        runs = [
            Run(some, reference_latents(package, some), engine_latents(runner, some))
            for some in (tiles, beside)
        ]
    report = parity_report(package, engine, *runs)
    report |= {
        "backend": backend or DEFAULT_BACKENDS.get(engine, "onnxruntime"),
        "proven_by": f"{file.proven_by} ({runner.info.backend} {runner.info.version})",
        "calibration": file.calibration,
    }
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
        "backend": report["backend"],
        "opset": OPSET,
        "operators": operators,
        "files": {GRAPH: hashlib.sha256(file.data).hexdigest()},
        "versions": versions(),
        "device": platform.machine(),
    }
    write_engine_package(out, {GRAPH: file.data, PARITY: _json(report), MANIFEST: _json(manifest)})
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

    check_options(options)
    package = load(options.model)
    out = options.out or Path("engines") / f"{package.name}-{options.engine}"
    check_place(out)
    tiles = parity_tiles(package, options.tiles, sensor=options.sensor)
    calibration = (
        calibration_tiles(package, options.calibration, sensor=options.sensor)
        if options.engine == "int8"
        else None
    )
    report = export(
        package,
        options.engine,
        out,
        tiles,
        calibration=calibration,
        backend=options.backend,
        force=options.force,
    )
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
        options = parse(arguments)
        out, report = _run(options)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    print(tensorrt_line(report["backend"]), file=sys.stderr)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print("\n".join(summary(report, out)))
    return int(ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())
