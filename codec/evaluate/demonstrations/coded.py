"""Tokens of any tiles, as they are and as `base` sends them at one rate; and what a demonstration found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.data.labelled import eurosat_scenes
from codec.errors import InputError
from codec.evaluate.rate.embedding.base import BASE
from codec.evaluate.rate.opened import Opened
from codec.evaluate.rate.plane_encoder import PlaneEncoder
from codec.evaluate.rate.types import EmbeddingCoder, IntArray, Planes, TileSet
from codec.heads.kinds import Fitted, fit_head
from codec.heads.regimes import UNCOMPRESSED, training_sets
from codec.types import BoolArray, FloatArray

TILE = 64
CODED = "base"
MARK = "demonstration: too little data here for a claim"


@dataclass(frozen=True)
class Sent:
    """Tokens of N tiles on the ground: `uncompressed` and `base`, N×h×w×C each."""

    tokens: Mapping[str, FloatArray]
    validity: BoolArray  # N×h×w
    bytes_per_tile: float  # of the coded ones


@dataclass(frozen=True)
class Sender:
    """An encoder and a codec of its tokens that saw no tile of any demonstration."""

    encoder: PlaneEncoder
    bands: tuple[str, ...]
    coder: EmbeddingCoder
    setting: str

    def __call__(self, name: str, pixels: FloatArray, present: BoolArray, validity: BoolArray) -> Sent:
        """Tiles N×B×64×64 in the order of `bands`; `present`: B, the same for all."""
        planes = tokens_only(self.encoder(tile_set(name, self.bands, pixels, present, validity)))
        coded = self.coder.code(planes, self.setting)
        tokens = {UNCOMPRESSED: planes.values["tokens"], CODED: coded.planes["tokens"]}
        return Sent(tokens, planes.validity, coded.bytes_per_tile)


@dataclass(frozen=True)
class Demonstration:
    """One task's score on val, of one head for both: trained on uncompressed and coded tokens of train."""

    task: str
    metric: str
    values: Mapping[str, float]  # by `uncompressed` and `base`
    n: int  # what was scored
    of: str  # what n counts
    n_train: int  # the same of training
    bytes_per_tile: float


def sender(found: Opened, data: Path, bytes_per_tile: float) -> Sender:
    """`base` fitted on EuroSAT's training tiles, at the setting whose size there is nearest to the one asked for."""
    if not bytes_per_tile > 0:
        raise InputError("a tile takes some bytes", found=bytes_per_tile)
    tiles = eurosat_scenes(data, "train", found.bands)
    whole = tile_set("eurosat", found.bands, tiles.pixels, np.asarray(tiles.present.all(0)), tiles.validity)
    planes = tokens_only(found.encoder(whole))
    coder = BASE.fit(planes)
    sizes = {setting: coder.code(planes, setting).bytes_per_tile for setting in coder.settings}
    nearest = min(sizes, key=lambda setting: abs(np.log(sizes[setting] / bytes_per_tile)))
    return Sender(found.encoder, found.bands, coder, nearest)


def tile_set(
    name: str, bands: tuple[str, ...], pixels: FloatArray, present: BoolArray, validity: BoolArray
) -> TileSet:
    """Tiles without places: nothing here is folded."""
    n = len(pixels)
    return TileSet(
        name, bands, pixels, np.tile(present, (n, 1)), validity, np.arange(n), np.zeros((n, 2), np.int64), np.arange(n),
    )  # fmt: skip


def tokens_only(planes: Planes) -> Planes:
    return Planes({"tokens": planes.values["tokens"]}, planes.validity)


def cut(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """…×H×W into whole 64-pixel tiles, row by row from the first pixel: N×…×64×64."""
    rows, cols = (side // TILE for side in x.shape[-2:])
    if not rows * cols:
        raise InputError("the picture is smaller than a tile", expected=TILE, found=x.shape[-2:])
    parts = x[..., : rows * TILE, : cols * TILE].reshape(*x.shape[:-2], rows, TILE, cols, TILE)
    order = (parts.ndim - 4, parts.ndim - 2, *range(parts.ndim - 4), parts.ndim - 3, parts.ndim - 1)
    return np.ascontiguousarray(parts.transpose(order).reshape(rows * cols, *x.shape[:-2], TILE, TILE))


def fitted(
    kind: str,
    features: Mapping[str, FloatArray],
    y: IntArray | FloatArray,
    groups: IntArray,
    n_classes: int,
    validity: BoolArray | None = None,
) -> Fitted:
    """One head for both, what it chooses chosen by folds of the groups of its training set."""
    (train,) = training_sets("mixed", features, y, groups, validity=validity).values()
    return fit_head(kind, train, None, n_classes)
