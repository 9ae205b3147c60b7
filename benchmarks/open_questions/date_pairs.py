"""Pairs of tiles of one place on two dates, with what changed between them by a reference of the collection.

Neither reference was made for this. *Coast*: the class of a token (land, water, cloud) differs between the dates by the
collection's masks; most of it is cloud and tide. *Prairie*: at least 60 % of a token's pixels changed their vegetation
index by more than a threshold, in one direction; that is made of the very pixels that the encoder sees, and favours it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations

import numpy as np
import numpy.typing as npt

from benchmarks.open_questions.evidence import Bench
from codec.data.derived_targets import lahinch_series, naip_pairs
from codec.data.labelled import UNLABELLED, place_bands, token_labels
from codec.data.raster import Raster
from codec.evaluate.rate.types import IntArray
from codec.types import BoolArray, FloatArray

PATCH = 8
_TILE = 64


@dataclass(frozen=True)
class Pairs:
    """Pairs of tiles of one place, as numbers of pictures."""

    name: str
    pixels: FloatArray  # N×B×T×T of all pictures
    present: BoolArray  # N×B
    validity: BoolArray  # N×T×T
    date: IntArray  # N
    first: IntArray  # P, tile of the earlier date
    second: IntArray  # P
    changed: IntArray  # P×h×w: 1 changed, 0 not, −1 unknown
    place: IntArray  # P


def _tiles(image: Raster, bands: tuple[str, ...]) -> list[tuple[FloatArray, BoolArray, BoolArray]]:
    found = []
    for row in range(image.height // _TILE):
        for col in range(image.width // _TILE):
            corner = (row * _TILE, col * _TILE)
            placed, present = place_bands(image.reflectance(*corner, _TILE, _TILE), image.bands, bands)
            cut = np.s_[corner[0] : corner[0] + _TILE, corner[1] : corner[1] + _TILE]
            found.append((placed, present, image.validity[cut]))
    return found


def _cut(mask: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Labels of tokens of all tiles of a picture, N×h×w."""
    rows, cols = mask.shape[0] // _TILE, mask.shape[1] // _TILE
    labels = token_labels(mask[: rows * _TILE, : cols * _TILE], PATCH)
    side = _TILE // PATCH
    return labels.reshape(rows, side, cols, side).swapaxes(1, 2).reshape(-1, side, side)


def coast(bench: Bench, bands: tuple[str, ...], training_dates: Sequence[date]) -> Pairs:
    """Pairs of dates of the coast, at least one of which is no training date."""
    series = lahinch_series(bench.data)
    tiles = [_tiles(image, bands) for image in series.images]
    labels = [_cut(mask) for mask in series.masks]
    first: list[int] = []
    second: list[int] = []
    place: list[int] = []
    changed = []
    each = len(tiles[0])
    for a, b in combinations(range(len(tiles)), 2):
        if {series.dates[a], series.dates[b]} <= set(training_dates):
            continue
        known = (labels[a] != UNLABELLED) & (labels[b] != UNLABELLED)
        first += range(a * each, (a + 1) * each)
        second += range(b * each, (b + 1) * each)
        changed.append(np.where(known, labels[a] != labels[b], UNLABELLED))
        place += range(each)
    dates = [number for number, of in enumerate(tiles) for _ in of]
    return _pairs("coast", [one for of in tiles for one in of], dates, first, second, changed, place)


def prairie(bench: Bench, bands: tuple[str, ...]) -> Pairs:
    """Pairs of dates of the prairie in the columns that no training saw."""
    pictures: dict[str, int] = {}
    tiles: list[tuple[FloatArray, BoolArray, BoolArray]] = []
    dates: list[int] = []
    first: list[int] = []
    second: list[int] = []
    place: list[int] = []
    changed = []
    offset = 0
    for split in ("val", "test"):
        each = 0
        for pair in naip_pairs(bench.data, split):
            for image, day in zip((pair.before, pair.after), pair.dates, strict=True):
                if image.name not in pictures:
                    pictures[image.name] = len(tiles)
                    tiles += _tiles(image, bands)
                    dates += [day.toordinal()] * (len(tiles) - len(dates))
            labels = _cut(pair.target)
            each = len(labels)
            first += range(pictures[pair.before.name], pictures[pair.before.name] + each)
            second += range(pictures[pair.after.name], pictures[pair.after.name] + each)
            changed.append(np.where(labels == UNLABELLED, UNLABELLED, labels > 0))
            place += range(offset, offset + each)
        offset += each
    return _pairs("prairie", tiles, dates, first, second, changed, place)


def _pairs(
    name: str,
    tiles: list[tuple[FloatArray, BoolArray, BoolArray]],
    dates: list[int],
    first: list[int],
    second: list[int],
    changed: list[npt.NDArray[np.int64]],
    place: list[int],
) -> Pairs:
    pixels, present, validity = (np.stack(side) for side in zip(*tiles, strict=True))
    return Pairs(
        name, pixels, present, validity, np.array(dates), np.array(first), np.array(second),
        np.concatenate(changed).astype(np.int64), np.array(place),
    )  # fmt: skip
