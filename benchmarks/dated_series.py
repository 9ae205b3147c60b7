"""Tiles of one place on several dates, and the one such set of the collection whose labels suffice: a bay.

A token of 8×8 pixels of the bay is land or water as on all dates: a pixel has the class that its clear dates agree on, and
clear dates are those with less than half of the scene under cloud. Where they differ it is mostly the outlines, which were
drawn for each date, so nothing that changes is asked. A date with half of a tile or more under cloud or invalid is absent
from it.

The scene is six places of about 79×71 pixels, and a place is its four corners, tiles of 64 pixels that overlap: more to
learn from, and no more places. They lie side by side, so another bay would be harder. Chiapas, the other series with
labels, is left out: its labels are of the first of two dates, and hardly a token has one on half of its pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.adapter_tasks import IntArray
from codec.adapt.training import Labelled
from codec.data.labelled import UNLABELLED, place_bands, token_labels
from codec.data.masks import LAND_WATER_CLOUD, Masked, coast
from codec.data.splits import SPLITS
from codec.errors import InputError
from codec.evaluate.rate.sets import PATCH, TILE
from codec.models.bands import S2_NANO_BANDS
from codec.scene.band_names import dated
from codec.types import BoolArray, FloatArray

PLACES = (2, 3)  # rows and columns
CLOUD = LAND_WATER_CLOUD[3]
CLASSES = ("land", "water")


@dataclass(frozen=True, slots=True)
class Series:
    """N tiles on T dates, with classes that are those of all dates."""

    name: str
    bands: tuple[str, ...]  # C, of one date
    pixels: FloatArray  # N×T×C×H×W reflectance
    present: BoolArray  # N×T: the tile is measured on that date, and not mostly under cloud
    validity: BoolArray  # N×T×H×W
    labels: IntArray  # N×h×w
    classes: tuple[str, ...]
    groups: IntArray  # N: the place

    def __post_init__(self) -> None:
        if not self.present.any(1).all():
            raise InputError(
                "a tile has no date",
                found=f"tile {int(np.argmin(self.present.any(1)))}",
                fix="leave it out of every arm",
            )

    def until(self, dates: int) -> tuple[Labelled, tuple[str, ...]]:
        """The first so many dates as bands of one tile, and their names; a pixel is valid where all that are there are."""
        n, _, _, height, width = self.pixels.shape
        pixels = self.pixels[:, :dates].reshape(n, -1, height, width)
        present = np.repeat(self.present[:, :dates], len(self.bands), axis=1)
        validity = (self.validity | ~self.present[..., None, None])[:, :dates].all(1)
        names = tuple(dated(band, date) for date in range(dates) for band in self.bands)
        return Labelled(pixels, present, validity, self.labels, self.classes), names

    def alone(self) -> tuple[Labelled, IntArray, IntArray]:
        """Each date that a tile has as a tile of its own, M of them, and their tiles and dates."""
        tile, date = np.nonzero(self.present)
        pixels = self.pixels[tile, date]
        present = np.ones(pixels.shape[:2], np.bool_)
        data = Labelled(pixels, present, self.validity[tile, date], self.labels[tile], self.classes)
        return data, tile, date


def coast_series(dates: Sequence[Masked], name: str = "coast") -> Series:
    """Tiles of dated pictures of one scene, in the order of their names, each with land 0, water 1 and CLOUD."""
    dates = sorted(dates, key=lambda one: one[0].name)
    masks = np.stack([mask for _, mask in dates])
    placed = [
        place_bands(image.reflectance(0, 0, image.height, image.width), image.bands, S2_NANO_BANDS)
        for image, _ in dates
    ]
    if not all(there.all() for _, there in placed):
        raise InputError(f"series {name!r} lacks a band of the arms", expected=", ".join(S2_NANO_BANDS))
    pixels, validity = (
        np.stack([found for found, _ in placed]),
        np.stack([image.validity for image, _ in dates]),
    )
    labels = stable_classes(masks)
    clear = (masks != UNLABELLED) & (masks != CLOUD)
    cuts, groups = corners(*masks.shape[1:])
    cover = np.stack([clear[:, row, col].mean((1, 2)) for row, col in cuts])
    return Series(
        name,
        S2_NANO_BANDS,
        np.stack([pixels[:, :, row, col] for row, col in cuts]),
        cover > 0.5,
        np.stack([validity[:, row, col] for row, col in cuts]),
        np.stack([token_labels(labels[row, col], PATCH) for row, col in cuts]),
        CLASSES,
        groups,
    )


def stable_classes(masks: IntArray) -> IntArray:
    """Classes H×W of masks T×H×W: where the clear dates of a scene that have a class there agree; UNLABELLED elsewhere."""
    cloud = (masks == CLOUD).sum((1, 2)) / np.maximum((masks != UNLABELLED).sum((1, 2)), 1)
    clear = masks[cloud < 0.5]
    land, water = (clear == 0).any(0), (clear == 1).any(0)
    return np.where(land & ~water, 0, np.where(water & ~land, 1, UNLABELLED)).astype(np.int64)


def corners(height: int, width: int) -> tuple[list[tuple[slice, slice]], IntArray]:
    """Windows of TILE pixels at the corners of each place, and their places. Places share no pixel."""
    rows, cols = (_starts(size, parts) for size, parts in zip((height, width), PLACES, strict=True))
    places = [(row, col) for row in rows for col in cols]
    cuts = [
        (place, (slice(top, top + TILE), slice(left, left + TILE)))
        for place, (row, col) in enumerate(places)
        for top in row
        for left in col
    ]
    return [cut for _, cut in cuts], np.array([place for place, _ in cuts], np.int64)


def _starts(size: int, parts: int) -> list[list[int]]:
    """Of a side cut into parts: where the first and the last tile of each begin."""
    ends = [size * i // parts for i in range(parts + 1)]
    if size // parts < TILE:
        raise InputError("places are smaller than a tile", expected=f"{TILE} pixels", found=size // parts)
    return [sorted({start, end - TILE}) for start, end in itertools.pairwise(ends)]


def read(data: Path) -> Series:
    """The coastal series of the collection, dates under cloud among them."""
    return coast_series([one for split in SPLITS for one in coast(data, split, LAND_WATER_CLOUD)])
