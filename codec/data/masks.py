"""Pictures of the collection with a class per pixel; −1 is none. Splits are windows of the collection's own table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.data.labelled import LULC_CLASSES, UNLABELLED
from codec.data.raster import Raster
from codec.data.readers import dubai, lahinch, read_array, sen1floods11, terramind
from codec.data.splits import rows, windows

IntArray = npt.NDArray[np.int64]
Masked = tuple[Raster, IntArray]  # a picture and its classes, H×W
LAND_WATER_CLOUD = {1: 0, 2: 1, 3: 2}  # number in the file of the coastal series → class


def landuse(root: Path, split: str) -> Iterator[tuple[str, list[Masked]]]:
    """Each TerraMind place with its products, level 1C first; classes in the order of `LULC_CLASSES`."""
    products = terramind(root, split)
    for place in windows(root, "terramind_pairs", split):
        raw = read_array(Path(root) / "terramind_pairs" / place.file / "LULC.tif")[0]
        mask = _classes(raw, {value: index for index, value in enumerate(LULC_CLASSES)})
        yield place.file, [(image, mask) for image in products if image.name.startswith(place.file)]


def flood(root: Path, split: str) -> list[Masked]:
    """Columns of the flood chip: 0 dry, 1 water."""
    places = zip(sen1floods11(root, split), windows(root, "sen1floods11_spain", split), strict=True)
    path = Path(root) / "sen1floods11_spain" / "label.tif"
    return [(image, read_array(path, window)[0].astype(np.int64)) for image, window in places]


def coast(root: Path, split: str, values: Mapping[int, int]) -> list[Masked]:
    """Dates of the coastal series; `values`: number in the file (1 land 2 water 3 cloud) → class."""
    found = []
    for image in lahinch(root, split):
        segments = read_array(Path(root) / "s2_series_lahinch" / f"{image.name}_seg.tif")[0]
        found.append((image, np.where(image.validity, _classes(segments, values), UNLABELLED)))
    return found


def aerial(root: Path, split: str, n_classes: int) -> list[Masked]:
    """Pictures of Dubai; numbers in the file from `n_classes` on are no class."""
    found = []
    for image, row in zip(dubai(root, split), rows(root, "dubai", split), strict=True):
        raw = read_array(Path(root) / "dubai" / row["mask"])[0].astype(np.int64)
        found.append((image, np.where(raw < n_classes, raw, UNLABELLED)))
    return found


def _classes(raw: npt.NDArray[np.generic], values: Mapping[int, int]) -> IntArray:
    mask = np.full(raw.shape, UNLABELLED, np.int64)
    for value, index in values.items():
        mask[raw == value] = index
    return mask
