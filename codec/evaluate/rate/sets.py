"""The evidence: labelled tile sets of the collection, tiles of one scene side by side.

Tiles are 64×64 pixels with labels per 8×8-pixel token. Scenes are cut from their first row and column; what fills no tile is
left out. Aerial pictures are reduced by means of 2×2 pixels, so that a tile shows more than a roof.

`dubai` takes no part in any choice: it is reported, never looked at while a method is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.data import masks
from codec.data.eurosat_table import SKEWED, eurosat_table
from codec.data.labelled import (
    EUROSAT_CLASSES,
    LULC_CLASSES,
    UNLABELLED,
    WATER_CLASSES,
    LabelledTiles,
    place_bands,
    token_labels,
)
from codec.data.raster import Raster
from codec.errors import InputError
from codec.evaluate import scenes
from codec.evaluate.rate.plain_encoders import patch_statistics
from codec.evaluate.rate.targets import Evidence, Target
from codec.evaluate.rate.types import IntArray, TileSet
from codec.types import BoolArray, FloatArray

TILE, PATCH = 64, 8
SPLITS = ("train", "val", "test")
SKY_CLASSES = ("land", "water", "cloud")
DUBAI_CLASSES = ("water", "land", "road", "building", "vegetation")
HELD_BACK = ("dubai",)
NUMBERS = ("elevation_m", "temperature_c", "humidity_pct", "night_lights")
_EVERY = 4  # of the tokens of a tile are asked for their spectra: neighbours are alike
_DUBAI_TILES = 2  # a side: neighbouring tiles of one picture teach little more


class _Scenes:
    """Collects the tiles of scenes one after another."""

    def __init__(self, name: str, bands: tuple[str, ...], gsd: float | None) -> None:
        self.name, self.bands, self.gsd = name, bands, gsd
        self.parts: dict[str, list[npt.NDArray[np.generic]]] = {}
        self.n_scenes = 0

    def _add(self, **parts: npt.NDArray[np.generic]) -> None:
        for key, value in parts.items():
            self.parts.setdefault(key, []).append(value)

    def scene(
        self,
        pixels: FloatArray,
        bands: tuple[str, ...],
        validity: BoolArray,
        mask: IntArray,
        splits: npt.NDArray[np.str_],
        *,
        most: int = 10_000,
        place: int | None = None,
        one_group: bool = False,
    ) -> None:
        """One picture B×H×W with a class per pixel (−1: none); `splits`: of each column of tiles.

        A group is one tile of a place (pictures of one place, dates, share `place`), or with `one_group` the picture.
        """
        placed, present = place_bands(pixels, bands, self.bands)
        n_rows, n_cols = (min(side // TILE, most) for side in validity.shape)
        group = self.n_scenes if place is None else place
        for row in range(n_rows):
            for col in range(n_cols):
                cut = np.s_[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
                valid = validity[cut]
                whole = valid.reshape(TILE // PATCH, PATCH, TILE // PATCH, PATCH).all(axis=(1, 3))
                labels = token_labels(np.where(valid, mask[cut], UNLABELLED), PATCH)
                self._add(
                    pixels=placed[:, cut[0], cut[1]][None],
                    present=present[None],
                    validity=valid[None],
                    scene=np.array([self.n_scenes]),
                    place=np.array([[row, col]]),
                    groups=np.array([1_000_000 * group + (0 if one_group else 1000 * row + col)]),
                    labels=np.where(whole, labels, UNLABELLED)[None],
                    split=splits[col : col + 1],
                )
        self.n_scenes += 1

    def evidence(self, target: str, classes: tuple[str, ...]) -> Evidence:
        found = {key: np.concatenate(parts) for key, parts in self.parts.items()}
        tiles = TileSet(
            self.name, self.bands, found["pixels"], found["present"], found["validity"],
            found["scene"], found["place"], found["groups"], self.gsd,
        )  # fmt: skip
        return Evidence(tiles, (Target(target, "token", found["labels"], classes),), found["split"])


def _lone(name: str, tiles: LabelledTiles, bands: tuple[str, ...], gsd: float | None) -> TileSet:
    """Labelled tiles as lone ones; pictures larger than a tile become scenes of several."""
    n, b, side, _ = tiles.pixels.shape
    k = side // TILE
    cut = tiles.pixels.reshape(n, b, k, TILE, k, TILE).transpose(0, 2, 4, 1, 3, 5).reshape(-1, b, TILE, TILE)
    valid = tiles.validity.reshape(n, k, TILE, k, TILE).swapaxes(2, 3).reshape(-1, TILE, TILE)
    place = np.tile(np.indices((k, k)).reshape(2, -1).T, (n, 1)).astype(np.int64)
    each = k * k
    return TileSet(
        name,
        bands,
        np.ascontiguousarray(cut),
        np.repeat(tiles.present, each, axis=0),
        np.ascontiguousarray(valid),
        np.repeat(np.arange(n), each),
        place,
        np.repeat(tiles.groups, each),
        gsd,
    )


def eurosat(data: Path, bands: tuple[str, ...]) -> Evidence:
    """401 lone tiles: land use, numbers of the enriched table, and the spectra and texture of each token's pixels.

    Groups are 1-degree cells. The last is a dense task on the very bytes that classification is asked of; by nature it
    is friendly to pixels.
    """
    found = scenes.eurosat(data, SPLITS)
    tiles = _with_bands(_lone("eurosat", found.tiles, found.bands, 10.0), bands)
    table = [eurosat_table(data, split, NUMBERS) for split in SPLITS]
    numbers = []
    for name in NUMBERS:
        values = np.concatenate([part[name] for part in table])
        numbers.append(Target(name, "tile", standardised(np.log1p(values) if name in SKEWED else values)))
    spectra = patch_statistics(tiles)[..., : 2 * len(bands)]  # log means and log deviations
    present = np.tile(tiles.present.any(0), 2)
    row, col = np.indices(spectra.shape[1:3])
    spectra = np.where(((3 * row + col) % _EVERY == 0)[..., None], spectra, np.nan)
    targets = (
        Target("class", "tile", found.labels, EUROSAT_CLASSES),
        *numbers,
        Target("spectra", "token", standardised(spectra[..., present])),
    )
    return Evidence(tiles, targets, found.split)


def standardised(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Numbers N… or N…×V with mean 0 and variance 1 (of each of the V), missing ones left out: a loss of 1 is no skill."""
    axes = tuple(range(max(1, values.ndim - 1)))
    mean, spread = np.nanmean(values, axes), np.nanstd(values, axes)
    if not np.all(spread > 0):
        raise InputError("a number to predict is the same everywhere", fix="leave it out")
    return np.asarray((values - mean) / spread, np.float64)


def ucmerced(data: Path, bands: tuple[str, ...]) -> Evidence:
    """650 aerial pictures of four tiles (128 pixels of about 0.6 m): 21 classes, one answer a picture."""
    found = scenes.ucmerced(data, SPLITS)
    tiles = _lone("ucmerced", found.tiles, found.bands, 0.6)
    labels, split = np.repeat(found.labels, 4), np.repeat(found.split, 4)
    return Evidence(
        _with_bands(tiles, bands), (Target("class", "scene", labels, found.tiles.classes),), split
    )


def landuse(data: Path, bands: tuple[str, ...]) -> Evidence:
    """Land use of the TerraMind places, level 1C. The snow place has one class alone and is left out."""
    into = _Scenes("landuse", bands, 10.0)
    for split in ("train", "val"):
        for _, products in masks.landuse(data, split):
            image, mask = products[0]
            into.scene(*_all_of(image), mask, np.repeat(split, image.width // TILE))
    return into.evidence("landuse", tuple(LULC_CLASSES.values()))


def water(data: Path, bands: tuple[str, ...]) -> Evidence:
    """Open water of the flood chip, 512×512 pixels; the splits are its columns."""
    into = _Scenes("water", bands, 10.0)
    columns = [(split, *one) for split in SPLITS for one in masks.flood(data, split)]
    pixels = np.concatenate([_all_of(image)[0] for _, image, _ in columns], axis=2)
    validity = np.concatenate([image.validity for _, image, _ in columns], axis=1)
    into.scene(
        pixels,
        columns[0][1].bands,
        validity,
        np.concatenate([mask for _, _, mask in columns], axis=1),
        np.concatenate([np.repeat(split, image.width // TILE) for split, image, _ in columns]),
    )
    return into.evidence("water", WATER_CLASSES)


def sky(data: Path, bands: tuple[str, ...]) -> Evidence:
    """Cloud, land and water of a coastal series; a group is a tile of the place on all dates."""
    into = _Scenes("sky", bands, 10.0)
    for split in SPLITS:
        for image, mask in masks.coast(data, split, masks.LAND_WATER_CLOUD):
            into.scene(*_all_of(image), mask, np.repeat(split, image.width // TILE), place=0)
    return into.evidence("sky", SKY_CLASSES)


def dubai(data: Path, bands: tuple[str, ...]) -> Evidence:
    """Masks of Dubai at half resolution, at most 2×2 tiles of each picture; a group is a picture."""
    into = _Scenes("dubai", bands, None)
    for split in SPLITS:
        for image, mask in masks.aerial(data, split, len(DUBAI_CLASSES)):
            height, width = image.height // 2 * 2, image.width // 2 * 2
            small = scenes.halve(image.reflectance(0, 0, height, width))
            cut = np.s_[:height:2, :width:2]
            splits = np.repeat(split, small.shape[2] // TILE)
            into.scene(
                small, image.bands, image.validity[cut], mask[cut], splits, most=_DUBAI_TILES, one_group=True
            )
    return into.evidence("segments", DUBAI_CLASSES)


def _all_of(image: Raster) -> tuple[FloatArray, tuple[str, ...], BoolArray]:
    return image.reflectance(0, 0, image.height, image.width), image.bands, image.validity


def _with_bands(tiles: TileSet, bands: tuple[str, ...]) -> TileSet:
    """The tiles in the order of `bands`; those that the set lacks are absent."""
    pixels = np.zeros((len(tiles), len(bands), TILE, TILE), np.float32)
    present = np.zeros((len(tiles), len(bands)), np.bool_)
    for i, name in enumerate(tiles.bands):
        if name in bands:
            pixels[:, bands.index(name)] = tiles.pixels[:, i]
            present[:, bands.index(name)] = tiles.present[:, i]
    if not present.any(1).all():
        raise InputError(f"set {tiles.name!r} has none of these bands", expected=bands, found=tiles.bands)
    return TileSet(
        tiles.name, bands, pixels, present, tiles.validity, tiles.scene, tiles.place, tiles.groups, tiles.gsd
    )


SETS: Mapping[str, Callable[[Path, tuple[str, ...]], Evidence]] = {
    "eurosat": eurosat,
    "ucmerced": ucmerced,
    "landuse": landuse,
    "water": water,
    "sky": sky,
    "dubai": dubai,
}
MULTISPECTRAL = ("eurosat", "water", "landuse", "sky")


def read(names: Sequence[str], data: Path, bands: tuple[str, ...]) -> dict[str, Evidence]:
    """Evidence by name, in the encoder's bands."""
    unknown = [name for name in names if name not in SETS]
    if unknown:
        raise InputError(f"there is no set {unknown[0]}", expected=", ".join(SETS), found=unknown)
    return {name: SETS[name](Path(data), bands) for name in names}
