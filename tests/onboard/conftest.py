"""The shipped package, and its encoder exported once in each precision."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codec.package import Package, load
from onboard.engine_graph import EngineFile
from onboard.parity_tiles import ParityTiles, procedural


@pytest.fixture(scope="session")
def package(root: Path) -> Package:
    return load(root / "models" / "s2-nano")


@pytest.fixture(scope="session")
def tiles(package: Package) -> ParityTiles:
    """Procedural tiles, some with absent bands and invalid pixels.

    As many as the gate asks of real ones: of few, a single tile on the edge of two classes is more than 0.5 %.
    """
    return procedural(package, 208)


@pytest.fixture(scope="session")
def whole_tiles(package: Package) -> ParityTiles:
    """Tiles whose every pixel is valid."""
    made = procedural(package, 36)
    keep = np.flatnonzero(made.validity.all(axis=(1, 2)))
    return ParityTiles(made.pixels[keep], made.bands[keep], made.validity[keep], made.sources)


@pytest.fixture(scope="session")
def fp32(package: Package, tiles: ParityTiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine package in single precision."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from onboard.export import export

    folder = tmp_path_factory.mktemp("engines") / "fp32"
    export(package, "fp32", folder, tiles)
    return folder


@pytest.fixture(scope="session")
def exported(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """`python -m onboard.export --engine fp16` in a clean folder, and what it said."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    cwd = tmp_path_factory.mktemp("clean")
    done = subprocess.run(
        [sys.executable, "-m", "onboard.export", "--engine", "fp16"],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return cwd, done


@pytest.fixture(scope="session")
def fp16(exported: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    """The engine package in half precision."""
    cwd, done = exported
    assert done.returncode == 0, done.stderr
    return cwd / "engines" / "s2-nano-fp16"


@pytest.fixture(scope="session")
def traced(package: Package) -> bytes:
    """The shipped encoder as torch's exporter leaves it: float32, with embeddings among its outputs."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from onboard.export import trace

    return bytes(trace(package).SerializeToString())


@pytest.fixture(scope="session")
def engine_files(traced: bytes, package: Package, tiles: ParityTiles) -> dict[str, EngineFile]:
    """Engines of every precision, from one trace; int8 calibrated with the procedural tiles."""
    import onnx

    from onboard.engine_graph import ENGINES, engine_file

    names = [plane.name for plane in package.planes]
    return {e: engine_file(onnx.load_from_string(traced), e, names, tiles) for e in ENGINES}
