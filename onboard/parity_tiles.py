"""Tiles to prove an engine on, and to calibrate one with.

Real ones where there are any: windows of the scenes given, else of the sample scenes that `make setup` installs, else
seeded procedural fields; the sources say which. Windows may overlap: what counts is that no two are the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codec.errors import InputError
from codec.types import FloatArray

if TYPE_CHECKING:
    from codec.package import Package
    from codec.scene.scene import Scene

N_REAL = 200  # windows at least, where the scenes have so many
N_PROCEDURAL = 200
SAMPLES_ENVIRONMENT = "SWATHPACK_DEMO_DATA"
_SAMPLES_FOLDER = ".demo-data"
# Of the sample scenes the west calibrates and the east proves: an engine is not judged on what set its scales.
_CALIBRATION_SHARE = 1 / 3
_CLOSEST = 8  # times N_REAL windows are looked at before a scene is taken for as empty as it looks
_SEED = 20_240_901


@dataclass(frozen=True, slots=True)
class ParityTiles:
    """Inputs of the encoder: pixels N×B×H×W, bands N×B, validity N×H×W."""

    pixels: FloatArray
    bands: FloatArray
    validity: FloatArray
    sources: list[str]
    real: bool = False

    def __len__(self) -> int:
        return len(self.pixels)

    def batches(self, size: int) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self.pixels[part], self.bands[part], self.validity[part]


def parity_tiles(package: Package, scenes: Sequence[Path] = (), *, sensor: str | None = None) -> ParityTiles:
    """What an engine is proven on: at least N_REAL windows of `scenes` (a file, a product, a folder of either), else of
    the east of the sample scenes, else procedural fields. Raises InputError when the scenes given hold no data."""
    if scenes:
        return _from_paths(package, scenes, sensor)
    return _from_samples(package, _CALIBRATION_SHARE, 1.0) or procedural(package)


def calibration_tiles(
    package: Package, scenes: Sequence[Path] = (), *, sensor: str | None = None
) -> ParityTiles:
    """What scales of integers are measured on: windows of `scenes`, else procedural fields, which have every band of the
    package and bands absent, with the west of the sample scenes where they are installed."""
    if scenes:
        return _from_paths(package, scenes, sensor)
    made, real = procedural(package), _from_samples(package, 0.0, _CALIBRATION_SHARE)
    return made if real is None else joined(real, made)


def joined(a: ParityTiles, b: ParityTiles) -> ParityTiles:
    return ParityTiles(
        np.concatenate([a.pixels, b.pixels]),
        np.concatenate([a.bands, b.bands]),
        np.concatenate([a.validity, b.validity]),
        [*a.sources, *b.sources],
        a.real and b.real,
    )


def samples_folder() -> Path | None:
    """Where the sample scenes are installed: SWATHPACK_DEMO_DATA, else `.demo-data` here or beside the code."""
    told = os.environ.get(SAMPLES_ENVIRONMENT)
    places = [Path(told)] if told else [Path(), Path(__file__).resolve().parents[1]]
    folders = places if told else [place / _SAMPLES_FOLDER for place in places]
    return next((folder for folder in folders if folder.is_dir()), None)


def _from_samples(package: Package, left: float, right: float) -> ParityTiles | None:
    """Windows of the installed sample scenes that have bands of the package, between two shares of their width."""
    from codec.scene.samples import SAMPLES

    folder = samples_folder()
    if folder is None:
        return None
    with ExitStack() as stack:
        scenes = [
            _Area(sample.name, stack.enter_context(sample.open(folder)), left, right)
            for sample in SAMPLES.values()
            if (folder / sample.folder).is_dir() and set(sample.files) & set(package.bands)
        ]
        return _windows_of(package, scenes) if scenes else None


def _from_paths(package: Package, paths: Sequence[Path], sensor: str | None) -> ParityTiles:
    with ExitStack() as stack:
        areas = [
            _Area(name, stack.enter_context(scene), 0.0, 1.0)
            for path in paths
            for name, scene in _scenes_at(path, sensor)
        ]
        tiles = _windows_of(package, areas)
    if tiles is None:
        raise InputError(
            "the scenes hold no tile with data of the package's bands",
            found=", ".join(map(str, paths)),
            fix="give scenes of a sensor that the package knows",
        )
    return tiles


def _scenes_at(path: Path, sensor: str | None) -> list[tuple[str, Scene]]:
    """One scene; or, where a folder is none by itself, every entry of it that is one."""
    from codec.scene.scene import open_scene

    try:
        return [(path.name, open_scene([path], sensor=sensor))]
    except InputError:
        if not path.is_dir():
            raise
        found = []
        for entry in sorted(path.iterdir()):
            try:
                found.append((f"{path.name}/{entry.name}", open_scene([entry], sensor=sensor)))
            except InputError:
                continue  # a read-me, a preview; the sources name what was taken
        if not found:
            raise
        return found


@dataclass(frozen=True, slots=True)
class _Area:
    """A scene and the part of its columns that is used."""

    name: str
    scene: Scene
    left: float
    right: float

    def origins(self, side: int, stride: int) -> list[tuple[int, int]]:
        """First pixels of the windows, whole ones only; a smaller area has one window, which reaches beyond it."""
        first, last = round(self.left * self.scene.width), round(self.right * self.scene.width)
        rows = range(0, max(1, self.scene.height - side + 1), stride)
        cols = range(first, max(first + 1, last - side + 1), stride)
        return [(row, col) for row in rows for col in cols]


def _windows_of(package: Package, areas: Sequence[_Area]) -> ParityTiles | None:
    """At least N_REAL windows with data, as far apart as that allows; None when there is none."""
    side = package.tile.core + 2 * package.tile.margin

    def count(stride: int) -> int:
        return sum(len(area.origins(side, stride)) for area in areas)

    wanted, previous = N_REAL, 0
    while True:
        stride = _widest(count, wanted, max((max(a.scene.height, a.scene.width) for a in areas), default=1))
        tiles = _read(package, areas, side, stride)
        # Windows without data are not counted: look closer, but not at every pixel of a scene that has none.
        enough = tiles is not None and len(tiles) >= N_REAL
        if enough or wanted >= _CLOSEST * N_REAL or stride in (1, previous):
            return tiles
        wanted, previous = 2 * wanted, stride


def _widest(count: Callable[[int], int], wanted: int, largest: int) -> int:
    """The largest stride that still gives `wanted` windows; 1 when none does."""
    low, high = 1, max(1, largest)
    while low < high:
        middle = (low + high + 1) // 2
        if count(middle) >= wanted:
            low = middle
        else:
            high = middle - 1
    return low


def _read(package: Package, areas: Sequence[_Area], side: int, stride: int) -> ParityTiles | None:
    pixels, bands, validity, sources = [], [], [], []
    for area in areas:
        places = [i for i, name in enumerate(package.bands) if name in area.scene.bands]
        n = 0
        for row, col in area.origins(side, stride) if places else ():
            values, valid = area.scene.read((row, col, side, side), [package.bands[i] for i in places])
            if not valid.any():
                continue
            tile = np.zeros((len(package.bands), side, side), np.float32)
            tile[places] = np.where(valid, values, 0)
            present = np.zeros(len(package.bands), np.float32)
            present[places] = 1
            pixels.append(tile)
            bands.append(present)
            validity.append(valid.astype(np.float32))
            n += 1
        columns = (
            "" if (area.left, area.right) == (0.0, 1.0) else f", columns {area.left:.0%} to {area.right:.0%}"
        )
        sources.append(f"{area.name}: {n} windows of {side} px every {stride} px{columns}")
    if not pixels:
        return None
    return ParityTiles(np.stack(pixels), np.stack(bands), np.stack(validity), sources, real=True)


def procedural(package: Package, n: int = N_PROCEDURAL) -> ParityTiles:
    """Seeded fields with a 1/f spectrum, correlated between bands, in the range of reflectance; some bands absent
    and some pixels invalid, so that every input of the graph is exercised."""
    rng = np.random.default_rng(_SEED)
    side, n_bands = package.tile.core + 2 * package.tile.margin, len(package.bands)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij"))
    amplitude = 1.0 / np.maximum(frequency, 1.0 / side)

    def fields(*shape: int) -> np.ndarray:
        noise = np.fft.irfft2(
            np.fft.rfft2(rng.standard_normal((*shape, side, side))) * amplitude, s=(side, side)
        )
        return noise / noise.std(axis=(-2, -1), keepdims=True)

    brightness = rng.uniform(0.03, 0.35, (n, n_bands, 1, 1))
    common, own = fields(n, 1), fields(n, n_bands)
    pixels = brightness * (1.0 + 0.25 * common + 0.1 * own)
    bands = (rng.random((n, n_bands)) < 0.8) | (np.arange(n) % 2 == 0)[:, None]
    bands[:, rng.integers(n_bands)] = True
    validity = np.ones((n, side, side), bool)
    for i in range(0, n, 5):
        validity[i, : rng.integers(1, side // 2), rng.integers(side // 2) :] = False
    pixels = np.where(bands[:, :, None, None] & validity[:, None], np.clip(pixels, 0.0, 1.5), 0.0)
    return ParityTiles(
        pixels.astype(np.float32),
        bands.astype(np.float32),
        validity.astype(np.float32),
        [f"procedural 1/f fields, seed {_SEED}: {n}, not of any place"],
    )
