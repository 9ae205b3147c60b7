"""The labelled tile sets of the protocols, read once a process; several splits together, places numbered throughout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.data.bandsets import REPORTED
from codec.data.labelled import LabelledTiles, eurosat_scenes, place_bands
from codec.data.readers import read_source
from codec.data.splits import rows
from codec.errors import InputError
from codec.models.bands import S2_NANO_BANDS
from codec.types import BoolArray, FloatArray

# Splits that each choice of the command line stands for. "unseen" is what a release is scored on, once.
HELD_OUT = {"val": ("val",), "test": ("test",), "unseen": ("val", "test")}
UNSEEN_IN_TRAINING = frozenset(HELD_OUT["unseen"])
_PLACES_PER_SPLIT = 1_000_000
_NEIGHBOURS = 3  # consecutive numbers of a UC Merced class that may come from one source picture


@dataclass(frozen=True, slots=True)
class Scenes:
    """N labelled tiles of one or several splits, in the bands of `bands`."""

    tiles: LabelledTiles
    bands: tuple[str, ...]
    split: npt.NDArray[np.str_]  # N

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        return self.tiles.labels

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        return self.tiles.groups

    @property
    def n_classes(self) -> int:
        return len(self.tiles.classes)

    def only(self, keep: BoolArray) -> Scenes:
        """Some of the tiles."""
        t = self.tiles
        tiles = replace(
            t,
            pixels=t.pixels[keep],
            present=t.present[keep],
            validity=t.validity[keep],
            labels=t.labels[keep],
            groups=t.groups[keep],
        )
        return Scenes(tiles, self.bands, self.split[keep])

    def with_bands(self, keep: Sequence[str] | None) -> Scenes:
        """The tiles with only the bands of `keep` present (None: all); what is absent is 0."""
        if keep is None:
            return self
        mask = np.array([band in keep for band in self.bands])
        t = self.tiles
        pixels = np.where(mask[None, :, None, None], t.pixels, np.float32(0))
        return replace(self, tiles=replace(t, pixels=pixels, present=t.present & mask))


def _join(parts: Sequence[tuple[str, LabelledTiles]], bands: tuple[str, ...]) -> Scenes:
    sets = [tiles for _, tiles in parts]
    tiles = LabelledTiles(
        np.concatenate([t.pixels for t in sets]),
        np.concatenate([t.present for t in sets]),
        np.concatenate([t.validity for t in sets]),
        np.concatenate([t.labels for t in sets]),
        np.concatenate([t.groups + i * _PLACES_PER_SPLIT for i, t in enumerate(sets)]),
        sets[0].classes,
    )
    return Scenes(tiles, bands, np.concatenate([np.repeat(name, len(t.labels)) for name, t in parts]))


@lru_cache(maxsize=8)
def _eurosat_split(data: Path, split: str) -> LabelledTiles:
    return eurosat_scenes(data, split, S2_NANO_BANDS)


@lru_cache(maxsize=8)
def _ucmerced_split(data: Path, split: str) -> LabelledTiles:
    images, table = read_source("ucmerced", data, split), rows(data, "ucmerced", split)
    bands = ("blue", "green", "red")
    pixels = []
    for image in images:
        # A few images are not quite 256 pixels a side: the middle, edges repeated.
        small = halve(middle(image.reflectance(0, 0, image.height, image.width), 256))
        pixels.append(place_bands(small, image.bands, bands)[0])
    classes = dict(sorted({int(row["label"]): row["class"] for row in table}.items()))
    numbers = [int("".join(c for c in Path(row["member"]).stem if c.isdigit())) for row in table]
    labels = np.array([int(row["label"]) for row in table], np.int64)
    return LabelledTiles(
        np.stack(pixels),
        np.ones((len(images), 3), np.bool_),
        np.ones((len(images), 128, 128), np.bool_),
        labels,
        1000 * labels + np.array(numbers, np.int64) // _NEIGHBOURS,
        tuple(classes.values()),
    )


def middle(pixels: FloatArray, size: int) -> FloatArray:
    """The central size×size of C×H×W; edges are repeated where the image is smaller."""
    short = [max(0, size - n) for n in pixels.shape[1:]]
    if any(short):
        pixels = np.pad(pixels, [(0, 0), *((s // 2, s - s // 2) for s in short)], mode="edge")
    row, col = ((n - size) // 2 for n in pixels.shape[1:])
    return pixels[:, row : row + size, col : col + size]


def halve(pixels: FloatArray) -> FloatArray:
    """Every 2×2 pixels to their mean, C×H×W → C×H/2×W/2."""
    c, h, w = pixels.shape
    return np.asarray(pixels.reshape(c, h // 2, 2, w // 2, 2).mean((2, 4)), np.float32)


def eurosat(data: Path, splits: Iterable[str]) -> Scenes:
    """EuroSAT tiles of these splits; a group is a 1-degree cell (whole cells lie in one split)."""
    return _join([(name, _eurosat_split(Path(data), name)) for name in splits], S2_NANO_BANDS)


def ucmerced(data: Path, splits: Iterable[str]) -> Scenes:
    """UC Merced tiles of these splits, 128×128 (mean of 2×2); a group is a few consecutive numbers of a class."""
    return _join([(name, _ucmerced_split(Path(data), name)) for name in splits], ("blue", "green", "red"))


def band_cases(
    bands: Sequence[str], wanted: Sequence[str] = ("12", "10", "6", "4", "3")
) -> dict[str, tuple[str, ...]]:
    """The reported band subsets that an encoder of these bands can be given: case name → bands."""
    sets = {"12": S2_NANO_BANDS, **{name: keep for name, keep in REPORTED.items() if keep is not None}}
    found = {f"{name}-bands": sets[name] for name in wanted if set(sets[name]) <= set(bands)}
    if not found:
        raise InputError("the encoder takes none of the reported band subsets", found=tuple(bands))
    return found
