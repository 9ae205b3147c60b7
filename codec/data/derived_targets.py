"""Targets of the demonstration tasks, made by rule from what the collection has: no claim rests on them.

The collection has too few objects, dates and places to measure detection, change, multi-label or seasonal tasks, and the
change map is made from the very pixels that an encoder sees. The code shows that a head of such a task trains and exports.
Boxes are in `components.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.data.labelled import UNLABELLED, place_bands, token_labels
from codec.data.raster import Raster
from codec.data.readers import lahinch, naip, read_array
from codec.data.samples import IntArray, Sample, SampleSet
from codec.data.splits import windows
from codec.errors import InputError
from codec.types import BoolArray, FloatArray

CHANGE_CLASSES = ("same", "less green", "greener")
SERIES_CLASSES = ("land", "water", "cloud")
_SERIES_SPLITS = ("train", "val", "test", "cloudy")  # of the Lahinch dates
MIN_SHARE = 0.05  # of the labelled pixels: fewer may be the mask's error
CHANGE_THRESHOLD = (
    0.4  # of the vegetation index: on the prairie 2 to 29 % of the pixels of a pair change more
)


def multi_label(mask: IntArray, n_classes: int, min_share: float = MIN_SHARE) -> IntArray:
    """(L,) 1 for each class that covers at least `min_share` of the labelled pixels, else 0; −1 where none is labelled."""
    if not 0 < min_share <= 1:
        raise InputError("a share lies between 0 and 1", found=min_share)
    known = mask[mask != UNLABELLED]
    if not known.size:
        return np.full(n_classes, UNLABELLED, np.int64)
    if known.min() < 0 or known.max() >= n_classes:
        raise InputError("a label lies outside the classes", expected=n_classes, found=int(known.max()))
    counts = np.bincount(known.reshape(-1), minlength=n_classes)
    return (counts >= min_share * known.size).astype(np.int64)


def multi_label_set(masks: SampleSet, min_share: float = MIN_SHARE) -> SampleSet:
    """The same pictures, asked which classes they hold."""
    if masks.task != "mask":
        raise InputError(f"set {masks.name!r} has no masks", found=masks.task)
    n = len(masks.classes)

    def read(index: int) -> Sample:
        sample = masks.read(index)
        target = multi_label(np.where(sample.image.validity, sample.target, UNLABELLED), n, min_share)
        return Sample(sample.image, target, sample.place)

    return SampleSet(masks.name, "labels", masks.classes, masks.names, read, notes=masks.notes)


@dataclass(frozen=True, slots=True)
class ChangePair:
    """Two dates of one place."""

    before: Raster
    after: Raster
    dates: tuple[date, date]
    change: FloatArray  # H×W, difference of the vegetation index less its median; NaN where a date is invalid
    target: IntArray  # H×W, number in CHANGE_CLASSES, −1 none


def vegetation_index(image: Raster) -> FloatArray:
    """(nir − red) / (nir + red), H×W; NaN where both are 0 or the pixel is invalid. Other bands are not needed."""
    if not {"red", "nir"} <= set(image.bands):
        raise InputError("a vegetation index needs red and nir", path=image.name, found=image.bands)
    pixels = image.reflectance(0, 0, image.height, image.width)
    red, nir = pixels[image.bands.index("red")], pixels[image.bands.index("nir")]
    total = nir + red
    usable = image.validity & (total > 0)
    return np.where(usable, (nir - red) / np.where(usable, total, 1), np.nan).astype(np.float32)


def change_pair(
    before: Raster, after: Raster, dates: tuple[date, date], threshold: float = CHANGE_THRESHOLD
) -> ChangePair:
    """Change of the vegetation index beyond what changed everywhere: season and camera move the median, taken off here."""
    if dates[0] >= dates[1]:
        raise InputError("the dates of a pair are not in order", found=dates, fix="give the earlier first")
    if before.native.shape != after.native.shape or before.bands != after.bands:
        raise InputError(
            "the dates differ in size or bands",
            path=after.name,
            expected=before.native.shape,
            found=after.native.shape,
            fix="warp them to one grid",
        )
    change = vegetation_index(after) - vegetation_index(before)
    if np.isfinite(change).any():
        change = change - np.float32(np.nanmedian(change))
    target = np.select([np.isnan(change), change < -threshold, change > threshold], [UNLABELLED, 1, 2], 0)
    return ChangePair(before, after, dates, change.astype(np.float32), target.astype(np.int64))


def naip_pairs(root: Path, split: str, threshold: float = CHANGE_THRESHOLD) -> list[ChangePair]:
    """All pairs of the three dates of the prairie, in the columns of the split (registered to about 0.2 pixels)."""
    dated = sorted(
        (
            (date(int(w.file[:4]), int(w.file[4:6]), int(w.file[6:8])), image)
            for w, image in zip(windows(root, "naip_prairie", split), naip(root, split), strict=True)
        ),
        key=lambda pair: pair[0],
    )
    return [change_pair(a, b, (first, last), threshold) for (first, a), (last, b) in combinations(dated, 2)]


@dataclass(frozen=True, slots=True)
class Series:
    """One place on several dates, pixel on pixel, in the order of the dates."""

    dates: tuple[date, ...]
    images: tuple[Raster, ...]
    masks: IntArray  # T×H×W, number in `classes`, −1 none
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.dates) == len(self.images) == len(self.masks) > 0:
            raise InputError("every date needs a picture and a mask", found=len(self.dates))
        if list(self.dates) != sorted(set(self.dates)):
            raise InputError("the dates of a series are not in order", found=self.dates)
        if len({(image.native.shape, image.bands) for image in self.images}) > 1:
            raise InputError("the dates of a series differ in size or bands", fix="warp them to one grid")
        if self.masks.shape[1:] != self.images[0].validity.shape:
            raise InputError("mask and picture differ in size", found=self.masks.shape)


@dataclass(frozen=True, slots=True)
class SeriesTiles:
    """Tiles of a series. N tiles, T dates, B bands, S×S pixels."""

    pixels: FloatArray  # N×T×B×S×S reflectance, absent bands 0
    present: BoolArray  # B
    validity: BoolArray  # N×T×S×S
    day_of_year: IntArray  # T, from 1
    labels: IntArray  # N×T, the class of at least 60 % of the tile's pixels, −1 none
    place: IntArray  # N×2, row and column in tiles
    classes: tuple[str, ...]


def lahinch_series(root: Path) -> Series:
    """All five dates of the coast, September and October 2017, with land, water and cloud.

    The collection splits them by date, for single pictures; a series is split by place (`blocked_splits.by_pixels`).
    """
    found = []
    for split in _SERIES_SPLITS:
        for image in lahinch(root, split):
            stored = read_array(Path(root) / "s2_series_lahinch" / f"{image.name}_seg.tif")[0]
            mask = np.select([stored == i + 1 for i in range(3)], [0, 1, 2], UNLABELLED)
            found.append((date.fromisoformat(image.name), image, np.where(image.validity, mask, UNLABELLED)))
    found.sort(key=lambda item: item[0])
    return Series(
        tuple(day for day, _, _ in found),
        tuple(image for _, image, _ in found),
        np.stack([mask for _, _, mask in found]).astype(np.int64),
        SERIES_CLASSES,
    )


def series_tiles(series: Series, bands: Sequence[str], tile: int = 64) -> SeriesTiles:
    """Whole tiles from the first row and column on, with all dates of each."""
    height, width = series.images[0].validity.shape
    rows, cols = height // tile, width // tile
    if tile < 1 or not rows * cols:
        raise InputError("the series is smaller than a tile", expected=tile, found=(height, width))
    pixels, valid, labels, place = [], [], [], []
    present: npt.NDArray[np.bool_] = np.zeros(len(bands), np.bool_)
    for row in range(rows):
        for col in range(cols):
            cut = np.s_[row * tile : (row + 1) * tile, col * tile : (col + 1) * tile]
            dates = []
            for image in series.images:
                values = image.reflectance(row * tile, col * tile, tile, tile)
                placed, present = place_bands(values, image.bands, tuple(bands))
                dates.append(placed)
            pixels.append(np.stack(dates))
            valid.append(np.stack([image.validity[cut] for image in series.images]))
            labels.append([int(token_labels(mask[cut], tile)[0, 0]) for mask in series.masks])
            place.append((row, col))
    if not present.any():
        raise InputError("the series has none of these bands", expected=bands, found=series.images[0].bands)
    return SeriesTiles(
        np.stack(pixels),
        present,
        np.stack(valid),
        np.array([day.timetuple().tm_yday for day in series.dates], np.int64),
        np.array(labels, np.int64),
        np.array(place, np.int64),
        series.classes,
    )
