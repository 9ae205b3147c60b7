"""Labelled tiles for probes and heads: pixels in a named band order, and a label per tile or per 8×8-pixel
token.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.data.raster import Raster
from codec.data.readers import cloud38, eurosat, lahinch, read_array, sen1floods11, terramind
from codec.data.splits import rows, windows
from codec.errors import InputError
from codec.types import BoolArray, FloatArray

EUROSAT_CLASSES = (
    "AnnualCrop",
    "Forest",
    "HerbaceousVegetation",
    "Highway",
    "Industrial",
    "Pasture",
    "PermanentCrop",
    "Residential",
    "River",
    "SeaLake",
)
# Values of the LULC files; 0 is no data, 8 clouds; not every class occurs in the places at hand.
LULC_CLASSES = {
    1: "water",
    2: "trees",
    3: "flooded vegetation",
    4: "crops",
    5: "built",
    6: "bare",
    7: "snow",
    9: "rangeland",
}
WATER_CLASSES = ("dry", "water")
CLOUD_CLASSES = ("clear", "cloud")
UNLABELLED = -1
BLOCKS_PER_PLACE = 100  # groups count column blocks of one tile inside a place
MAJORITY = 0.6  # of a token's pixels must agree, else it has no label


@dataclass(frozen=True, slots=True)
class LabelledTiles:
    """N tiles of one task and split."""

    pixels: FloatArray  # N×B×T×T reflectance, absent bands 0
    present: BoolArray  # N×B
    validity: BoolArray  # N×T×T
    labels: npt.NDArray[np.int64]  # N (per tile) or N×h×w (per token, −1 = none)
    groups: npt.NDArray[
        np.int64
    ]  # N, place and block: tiles of one group are never split between fit and score
    classes: tuple[str, ...]


def place_bands(
    pixels: FloatArray, names: tuple[str, ...], bands: tuple[str, ...]
) -> tuple[FloatArray, BoolArray]:
    """Pixels in the order of `bands` with absent ones 0, and which are there."""
    placed = np.zeros((len(bands), *pixels.shape[1:]), np.float32)
    present = np.zeros(len(bands), np.bool_)
    for i, name in enumerate(names):
        if name in bands:
            placed[bands.index(name)] = pixels[i]
            present[bands.index(name)] = True
    return placed, present


def token_labels(mask: npt.NDArray[np.int64], patch: int = 8) -> npt.NDArray[np.int64]:
    """Majority label of each patch, −1 where fewer than 60 % of its pixels agree or are labelled."""
    height, width = mask.shape[0] // patch, mask.shape[1] // patch
    cells = mask[: height * patch, : width * patch].reshape(height, patch, width, patch).swapaxes(1, 2)
    cells = cells.reshape(height, width, patch * patch)
    counts = np.stack([(cells == value).sum(-1) for value in range(max(1, int(mask.max()) + 1))], axis=-1)
    best = counts.argmax(-1)
    enough = counts.max(-1) >= MAJORITY * patch * patch
    return np.where(enough, best, UNLABELLED).astype(np.int64)


def eurosat_scenes(root: Path, split: str, bands: tuple[str, ...]) -> LabelledTiles:
    """EuroSAT with its ten classes; the group is the 1-degree cell of the tile."""
    images = eurosat(root, split)
    labels = np.array([int(row["label"]) for row in rows(root, "eurosat_ms", split)], np.int64)
    where = {}
    with open(Path(root) / "eurosat_ms" / "index.csv", newline="") as file:
        for row in csv.DictReader(file):
            where[row["name"]] = (int(np.floor(float(row["lat"]))), int(np.floor(float(row["lon"]))))
    cells = sorted({where[image.name] for image in images})
    placed = [place_bands(image.reflectance(0, 0, 64, 64), image.bands, bands) for image in images]
    return LabelledTiles(
        np.stack([p for p, _ in placed]),
        np.stack([b for _, b in placed]),
        np.ones((len(images), 64, 64), np.bool_),
        labels,
        np.array([cells.index(where[image.name]) for image in images], np.int64),
        EUROSAT_CLASSES,
    )


def _cut(
    image: Raster, mask: npt.NDArray[np.int64], bands: tuple[str, ...], tile: int, group: int, step: int
) -> list[tuple[FloatArray, BoolArray, BoolArray, npt.NDArray[np.int64], int]]:
    """Windows of an image and its label mask, every `step` pixels; windows without any label are left out."""
    found = []
    for row in range(0, image.height - tile + 1, step):
        for col in range(0, image.width - tile + 1, step):
            labels = token_labels(mask[row : row + tile, col : col + tile])
            if (labels == UNLABELLED).all():
                continue
            placed, present = place_bands(image.reflectance(row, col, tile, tile), image.bands, bands)
            valid = image.validity[row : row + tile, col : col + tile]
            found.append((placed, present, valid, labels, BLOCKS_PER_PLACE * group + col // tile))
    return found


def _assemble(
    parts: list[tuple[FloatArray, BoolArray, BoolArray, npt.NDArray[np.int64], int]], classes: tuple[str, ...]
) -> LabelledTiles:
    if not parts:
        raise InputError("no labelled window was found")
    pixels, present, validity, labels, groups = zip(*parts, strict=True)
    return LabelledTiles(
        np.stack(pixels),
        np.stack(present),
        np.stack(validity),
        np.stack(labels),
        np.array(groups, np.int64),
        classes,
    )


def landcover(root: Path, split: str, bands: tuple[str, ...], step: int = 64) -> LabelledTiles:
    """Land use of the TerraMind places, both product levels; the group is the column block of a place."""
    parts, values = [], list(LULC_CLASSES)
    for number, place in enumerate(windows(root, "terramind_pairs", split)):
        raw = read_array(Path(root) / "terramind_pairs" / place.file / "LULC.tif")[0]
        mask = np.full(raw.shape, UNLABELLED, np.int64)
        for index, value in enumerate(values):
            mask[raw == value] = index
        for image in terramind(root, split):
            if image.name.startswith(place.file):
                parts += _cut(image, mask, bands, 64, number, step)
    return _assemble(parts, tuple(LULC_CLASSES.values()))


def water(root: Path, split: str, bands: tuple[str, ...], step: int = 64) -> LabelledTiles:
    """Open water of the flood chip and of the coastal series (cloud is unlabelled); groups are column blocks."""
    parts = []
    for image, window in zip(
        sen1floods11(root, split), windows(root, "sen1floods11_spain", split), strict=True
    ):
        mask = read_array(Path(root) / "sen1floods11_spain" / "label.tif", window)[0].astype(np.int64)
        parts += _cut(image, mask, bands, 64, 0, step)
    for number, image in enumerate(lahinch(root, split), start=1):
        segments = read_array(Path(root) / "s2_series_lahinch" / f"{image.name}_seg.tif")[0]
        mask = np.select([segments == 1, segments == 2], [0, 1], UNLABELLED).astype(np.int64)
        parts += _cut(image, mask, bands, 64, number, step)
    return _assemble(parts, WATER_CLASSES)


def cloud(root: Path, split: str, bands: tuple[str, ...], step: int = 64) -> LabelledTiles:
    """Clouds of the Landsat 8 patches and of the coastal series; groups as for water."""
    parts = []
    for number, (image, row) in enumerate(
        zip(cloud38(root, split), rows(root, "cloud38", split), strict=True)
    ):
        mask = read_array(Path(root) / "cloud38" / row["mask"])[0].astype(np.int64)
        parts += _cut(image, np.where(image.validity, mask, UNLABELLED), bands, 64, number, step)
    for number, image in enumerate(lahinch(root, split), start=100):
        segments = read_array(Path(root) / "s2_series_lahinch" / f"{image.name}_seg.tif")[0]
        mask = np.select([(segments == 1) | (segments == 2), segments == 3], [0, 1], UNLABELLED).astype(
            np.int64
        )
        parts += _cut(image, mask, bands, 64, number, step)
    return _assemble(parts, CLOUD_CLASSES)


TASKS: dict[str, Callable[..., LabelledTiles]] = {
    "scene": eurosat_scenes,
    "landcover": landcover,
    "water": water,
    "cloud": cloud,
}
