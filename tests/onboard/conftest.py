"""The shipped package, and its encoder exported once in each precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.package import Package, load
from onboard.parity_tiles import ParityTiles, procedural


@pytest.fixture(scope="session")
def package(root: Path) -> Package:
    return load(root / "models" / "s2-nano")


@pytest.fixture(scope="session")
def tiles(package: Package) -> ParityTiles:
    """Procedural tiles, some with absent bands and invalid pixels."""
    return procedural(package, 40)


@pytest.fixture(scope="session")
def whole_tiles(package: Package) -> ParityTiles:
    """Tiles whose every pixel is valid."""
    made = procedural(package, 36)
    keep = np.flatnonzero(made.validity.all(axis=(1, 2)))
    return ParityTiles(made.pixels[keep], made.bands[keep], made.validity[keep], made.sources)


def _export(package: Package, precision: str, tiles: ParityTiles, folder: Path) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from onboard.export import export

    export(package, precision, folder, tiles)
    return folder


@pytest.fixture(scope="session")
def fp32(package: Package, tiles: ParityTiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine package in single precision."""
    return _export(package, "fp32", tiles, tmp_path_factory.mktemp("engines") / "fp32")


@pytest.fixture(scope="session")
def fp16(package: Package, tiles: ParityTiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine package in half precision."""
    return _export(package, "fp16", tiles, tmp_path_factory.mktemp("engines") / "fp16")
