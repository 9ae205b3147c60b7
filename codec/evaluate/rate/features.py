"""From planes to what a head of each level sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from codec.evaluate.rate.targets import Target, labelled
from codec.evaluate.rate.types import TileSet
from codec.heads.pooling import mean_and_spread
from codec.types import BoolArray, FloatArray

Pooling = Literal["mean", "mean-std-max"]


def pooled(tokens: FloatArray, validity: BoolArray, pooling: Pooling) -> FloatArray:
    """Over the valid tokens of each tile, N×h×w×C → N×C or N×3C; a tile without any gives zeros."""
    both = mean_and_spread(tokens, validity)
    if pooling == "mean":
        return np.ascontiguousarray(both[:, : tokens.shape[-1]])
    highest = np.where(validity[..., None], tokens, -np.inf).max((1, 2))
    return np.concatenate([both, np.where(np.isfinite(highest), highest, 0)], axis=1).astype(np.float32)


def gathered(
    planes: Mapping[str, FloatArray],
    names: Sequence[str],
    validity: BoolArray,
    tiles: TileSet,
    target: Target,
    pooling: Pooling = "mean",
) -> FloatArray:
    """Features n×F of a target's samples from the named planes side by side, in the order of `samples`."""
    x = np.concatenate([planes[name] for name in names], axis=-1)
    known = labelled(target, tiles)
    if target.level == "token":
        return np.ascontiguousarray(x[known])
    if target.level == "tile":
        return pooled(x[known], validity[known], pooling)
    # All tiles of a scene side by side are one long tile.
    first = np.flatnonzero(known)
    rows = []
    for scene in tiles.scene[first].tolist():
        of = np.flatnonzero(tiles.scene == scene)
        shape = (1, len(of) * x.shape[1], *x.shape[2:])
        rows.append(pooled(x[of].reshape(shape), validity[of].reshape(shape[:3]), pooling))
    return np.concatenate(rows)
