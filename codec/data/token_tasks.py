"""Tasks with a class per 8×8-pixel token: land cover, open water, cloud.

Masks cover a handful of places. Where a claim about whole EuroSAT tiles is sound they are added to *training*, as weak
labels, because they bring some hundred places that the masks do not have; held-out parts carry labels of masks only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.data import masks
from codec.data.labelled import (
    BLOCKS_PER_PLACE,
    CLOUD_CLASSES,
    EUROSAT_CLASSES,
    LULC_CLASSES,
    UNLABELLED,
    WATER_CLASSES,
    LabelledTiles,
    Part,
    assemble,
    cut,
    eurosat_scenes,
)
from codec.data.raster import Raster
from codec.data.readers import cloud38, read_array
from codec.data.splits import rows
from codec.data.sun import sine_of_sun_elevation
from codec.types import FloatArray

LAHINCH, FLOOD, TERRAMIND, EUROSAT, LANDSAT = 1, 2, 10, 30, 40  # numbers of places, the first of several
_STEP = 64
IntArray = npt.NDArray[np.int64]

# Land cover that the name of a EuroSAT class states for nearly all of its tile (the masks' rangeland includes pastures and
# natural grass). Left out: Highway and River, a line in something else.
EUROSAT_COVER = {
    "AnnualCrop": "crops",
    "PermanentCrop": "crops",
    "Forest": "trees",
    "HerbaceousVegetation": "rangeland",
    "Pasture": "rangeland",
    "Residential": "built",
    "Industrial": "built",
    "SeaLake": "water",
}
_TOKENS_OF_A_TILE = 8  # weak labels are many and alike: every eighth token is enough


def _eurosat_parts(tiles: LabelledTiles, labels: IntArray) -> list[Part]:
    """EuroSAT tiles with token labels; together they are one place, their blocks are the 1-degree cells."""
    return [
        (pixels, present, valid, of_tile, BLOCKS_PER_PLACE * EUROSAT + int(cell) % BLOCKS_PER_PLACE)
        for pixels, present, valid, of_tile, cell in zip(
            tiles.pixels, tiles.present, tiles.validity, labels, tiles.groups, strict=True
        )
        if (of_tile != UNLABELLED).any()
    ]


def _every_eighth(n: int) -> npt.NDArray[np.bool_]:
    """N×8×8: one token of each row, another column in each, so that no position of the tile is preferred."""
    grid = (np.arange(8)[:, None] * 3 + np.arange(8)[None, :]) % _TOKENS_OF_A_TILE == 0
    return np.broadcast_to(grid, (n, 8, 8))


def whole_tiles(tiles: LabelledTiles, cover: Mapping[str, str], classes: tuple[str, ...]) -> IntArray:
    """N×8×8 labels that follow from the scene class of a tile; −1 where `cover` does not name it."""
    table = np.array(
        [classes.index(cover[name]) if name in cover else UNLABELLED for name in EUROSAT_CLASSES], np.int64
    )
    labels = np.broadcast_to(table[tiles.labels][:, None, None], (len(tiles.labels), 8, 8))
    return np.where(_every_eighth(len(labels)), labels, UNLABELLED)


def water_index(pixels: FloatArray, bands: tuple[str, ...], patch: int = 8) -> FloatArray:
    """(green − near infrared) / (green + near infrared) of the token means, N×h×w (McFeeters 1996)."""
    n, _, height, width = pixels.shape
    green, nir = (
        pixels[:, bands.index(name)].reshape(n, height // patch, patch, width // patch, patch).mean((2, 4))
        for name in ("green", "nir")
    )
    return np.asarray((green - nir) / (green + nir), np.float32)


def landcover(root: Path, split: str, bands: tuple[str, ...], step: int = _STEP) -> LabelledTiles:
    """Land use of the TerraMind places, both product levels; in training also EuroSAT tiles of one cover."""
    parts: list[Part] = []
    classes = tuple(LULC_CLASSES.values())
    for number, (_, products) in enumerate(masks.landuse(root, split), start=TERRAMIND):
        for image, mask in products:
            parts += cut(image, mask, bands, number, step)
    if split == "train":
        tiles = eurosat_scenes(root, split, bands)
        parts += _eurosat_parts(tiles, whole_tiles(tiles, EUROSAT_COVER, classes))
    return assemble(parts, classes)


def water(root: Path, split: str, bands: tuple[str, ...], step: int = _STEP) -> LabelledTiles:
    """Open water of the flood chip and of the coastal series (cloud has no label).

    In training also EuroSAT as dry: tokens of every class but River and SeaLake, where the water index is below 0 too (a
    pond in a pasture has no label). Its SeaLake tiles as water made the head worse on either scene left out of training.
    """
    parts: list[Part] = []
    for image, mask in masks.flood(root, split):
        parts += cut(image, mask, bands, FLOOD, step)
    for image, mask in masks.coast(root, split, {1: 0, 2: 1}):
        parts += cut(image, mask, bands, LAHINCH, step)
    if split == "train":
        tiles = eurosat_scenes(root, split, bands)
        index = water_index(tiles.pixels, bands)
        cover = {name: "dry" for name in EUROSAT_CLASSES if name not in ("River", "SeaLake")}
        dry = (whole_tiles(tiles, cover, WATER_CLASSES) == 0) & (index < 0)
        parts += _eurosat_parts(tiles, np.where(dry, 0, UNLABELLED))
    return assemble(parts, WATER_CLASSES)


def _with_sun(image: Raster) -> Raster:
    """A Landsat 8 patch as the reflectance that a product with metadata gives; the name holds path, row and date."""
    path_row, day = image.name.split(".")[0].split("_")
    sine = sine_of_sun_elevation(int(path_row[3:]), date(int(day[:4]), int(day[4:6]), int(day[6:8])))
    return replace(image, scale=image.scale / sine, offset=image.offset / sine)


def cloud(root: Path, split: str, bands: tuple[str, ...], step: int = _STEP) -> LabelledTiles:
    """Clouds of the Landsat 8 patches and of the coastal series.

    In training also the date of that series that is cloud all over, and as clear: the flood chip (its labels leave cloud
    out), the TerraMind places and EuroSAT, which were looked at, every tile brighter than the rest one by one, and whose
    cirrus band is empty.
    """
    parts: list[Part] = []
    for number, (image, row) in enumerate(
        zip(cloud38(root, split), rows(root, "cloud38", split), strict=True), start=LANDSAT
    ):
        mask = read_array(Path(root) / "cloud38" / row["mask"])[0].astype(np.int64)
        mask = np.where(image.validity, mask, UNLABELLED)
        parts += cut(_with_sun(image), mask, bands, number, step)
    sky = {1: 0, 2: 0, 3: 1}
    dates = masks.coast(root, split, sky)
    if split == "train":
        dates += masks.coast(root, "cloudy", sky)
    for image, mask in dates:
        parts += cut(image, mask, bands, LAHINCH, step)
    if split == "train":
        for image, mask in masks.flood(root, split):
            parts += cut(image, np.where(mask >= 0, 0, UNLABELLED), bands, FLOOD, step)
        for number, (_, products) in enumerate(masks.landuse(root, split), start=TERRAMIND):
            for image, mask in products:
                parts += cut(image, np.zeros_like(mask), bands, number, step)
        tiles = eurosat_scenes(root, split, bands)
        clear = dict.fromkeys(EUROSAT_CLASSES, "clear")
        parts += _eurosat_parts(tiles, whole_tiles(tiles, clear, CLOUD_CLASSES))
    return assemble(parts, CLOUD_CLASSES)
