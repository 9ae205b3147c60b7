"""What heads on whole grids are asked: token grids of a class target's samples, their labels, groups and folds.

tile    one grid a tile, one class                  → knn, linear, attention
scene   its tiles as one long grid, one class       → the same
token   one grid a tile, a class per token          → dense heads
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from codec.errors import InputError
from codec.evaluate.rate.targets import UNLABELLED, Evidence, Target, labelled
from codec.evaluate.rate.types import IntArray
from codec.heads.label_shares import strata_of_maps
from codec.types import BoolArray, FloatArray


@dataclass(frozen=True)
class Grids:
    """n samples of one target. Samples without a valid token did not arrive anywhere and are left out."""

    target: Target
    index: tuple[IntArray, ...]  # tiles of each sample, side by side
    validity: BoolArray  # n×h×w
    y: IntArray  # n classes, or n×h×w, −1 none
    groups: IntArray  # n

    def __len__(self) -> int:
        return len(self.y)

    @property
    def is_dense(self) -> bool:
        return self.target.level == "token"

    @property
    def tile(self) -> IntArray:
        """The (first) tile of each sample."""
        return np.array([tiles[0] for tiles in self.index], np.int64)

    @property
    def strata(self) -> IntArray:
        """Class of each sample, of a map its commonest: what a share of the labels is drawn by."""
        return strata_of_maps(self.y, len(self.target.classes)) if self.is_dense else self.y

    def of(self, tokens: FloatArray) -> FloatArray:
        """Grids n×h×w×C of the samples from tokens of all tiles."""
        return np.stack([side_by_side(tokens[tiles]) for tiles in self.index])

    def all_of(self, tokens: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The same of every setting."""
        return {setting: self.of(x) for setting, x in tokens.items()}


def side_by_side(x: FloatArray) -> FloatArray:
    """k×h×w… → h×(k·w)…"""
    return np.concatenate(list(x), axis=1)


def grids(evidence: Evidence, target: Target, validity: BoolArray) -> Grids:
    """The samples of a class target. `validity`: N×h×w of the tokens. Raises InputError for a target of numbers."""
    if not target.is_class:
        raise InputError(f"{target.name!r} asks for numbers: these heads answer with classes")
    tiles = evidence.tiles
    known = labelled(target, tiles)
    if target.level == "token":
        y = np.where(validity, target.labels, UNLABELLED).astype(np.int64)
        index = [np.array([i]) for i in np.flatnonzero((y != UNLABELLED).any((1, 2)))]
        y = y[[i[0] for i in index]]
    else:
        first = np.flatnonzero(known)
        whole = target.level == "scene"
        index = [np.flatnonzero(tiles.scene == tiles.scene[i]) if whole else np.array([i]) for i in first]
        index = [i for i in index if validity[i].any()]
        y = np.asarray(target.labels[[i[0] for i in index]], np.int64)
    if not index:
        raise InputError(f"no sample of {tiles.name!r} has a label of {target.name!r} and a valid token")
    shown = np.stack([np.concatenate(list(validity[i]), axis=1) for i in index])
    return Grids(target, tuple(index), shown, y, tiles.groups[[i[0] for i in index]])
