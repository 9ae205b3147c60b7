"""Labelled tiles for probes and heads: pixels in a named band order, and a label per tile or per 8×8-pixel
token.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.data.raster import Raster
from codec.data.readers import eurosat
from codec.data.splits import rows
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
# Values of the land-use files; 0 is no data, 8 clouds; not every class occurs in the places at hand.
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
BLOCKS_PER_PLACE = 100  # of the groups of token tasks: place · 100 + block
BLOCK_COLUMNS = 10  # block = 10 · row + column, in 64-pixel steps
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


Part = tuple[FloatArray, BoolArray, BoolArray, npt.NDArray[np.int64], int]


def cut(
    image: Raster, mask: npt.NDArray[np.int64], bands: tuple[str, ...], place: int, step: int, tile: int = 64
) -> list[Part]:
    """Windows of an image and its label mask, every `step` pixels; windows without any label are left out.

    Their group is the place and the 64-pixel block that holds their first pixel.
    """
    found = []
    for row in range(0, image.height - tile + 1, step):
        for col in range(0, image.width - tile + 1, step):
            labels = token_labels(mask[row : row + tile, col : col + tile])
            if (labels == UNLABELLED).all():
                continue
            placed, present = place_bands(image.reflectance(row, col, tile, tile), image.bands, bands)
            valid = image.validity[row : row + tile, col : col + tile]
            group = BLOCKS_PER_PLACE * place + BLOCK_COLUMNS * (row // tile) + col // tile
            found.append((placed, present, valid, labels, group))
    return found


def assemble(parts: list[Part], classes: tuple[str, ...]) -> LabelledTiles:
    """Windows as one set. Raises InputError where there is none."""
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
