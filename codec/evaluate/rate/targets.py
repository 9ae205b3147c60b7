"""What is asked of an embedding: a class or a number per scene, per tile or per token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.evaluate.rate.types import UNLABELLED, FloatVector, IntArray, TileSet

Level = Literal["scene", "tile", "token"]


@dataclass(frozen=True, slots=True)
class Target:
    """Labels of one task on one tile set. Classes are numbered from 0, −1 is none.

    Numbers are standardised (a loss of 1 is no skill), missing ones NaN; V of them may be asked for at once.
    """

    name: str
    level: Level
    labels: (
        IntArray | FloatVector
    )  # N (tile, scene: the same for all its tiles) or N×h×w (token); numbers also …×V
    classes: tuple[str, ...] = ()  # none: a regression

    @property
    def is_class(self) -> bool:
        return bool(self.classes)

    def __post_init__(self) -> None:
        n_axes = 3 if self.level == "token" else 1
        if self.labels.ndim != n_axes and (self.is_class or self.labels.ndim != n_axes + 1):
            raise InputError(
                f"the labels of {self.name!r} do not fit its level",
                expected=self.level,
                found=self.labels.shape,
            )
        if self.is_class and (self.labels.min() < UNLABELLED or self.labels.max() >= len(self.classes)):
            raise InputError(
                f"a label of {self.name!r} lies outside its classes",
                expected=f"−1 … {len(self.classes) - 1}",
                found=(int(self.labels.min()), int(self.labels.max())),
            )


@dataclass(frozen=True, slots=True)
class Evidence:
    """A tile set with what is asked of it."""

    tiles: TileSet
    targets: tuple[Target, ...]
    split: npt.NDArray[np.str_]  # N, of the collection or the folder: train, val or test
    keeps_split: bool = False  # however few its scenes: the only set of a run has no other to fit codecs on

    def __post_init__(self) -> None:
        if len(self.split) != len(self.tiles) or any(len(t.labels) != len(self.tiles) for t in self.targets):
            raise InputError(f"set {self.tiles.name!r} needs a split and labels for every tile")


@dataclass(frozen=True, slots=True)
class Samples:
    """The labelled samples of one target, in the order in which features are gathered."""

    y: IntArray | FloatVector  # n, or n×V numbers
    groups: IntArray  # n
    tile: IntArray  # n, index of the (first) tile

    def part(self, keep: npt.NDArray[np.bool_]) -> Samples:
        return Samples(self.y[keep], self.groups[keep], self.tile[keep])


def labelled(target: Target, tiles: TileSet) -> npt.NDArray[np.bool_]:
    """Which entries of the labels count: N or N×h×w; of a scene its first tile."""
    known = target.labels != UNLABELLED
    if not target.is_class:
        known = np.isfinite(target.labels)
        if target.labels.ndim in (2, 4):
            known = known.all(-1)
    if target.level == "scene":
        first = np.zeros(len(tiles), np.bool_)
        first[np.unique(tiles.scene, return_index=True)[1]] = True
        known = known & first
    if not known.any():
        raise InputError(f"no sample of {tiles.name!r} has a label of {target.name!r}")
    return np.asarray(known, np.bool_)


def samples(target: Target, tiles: TileSet) -> Samples:
    """Labels, groups and tiles of the samples of a target."""
    known = labelled(target, tiles)
    index = np.nonzero(known)[0].astype(np.int64)
    return Samples(target.labels[known], tiles.groups[index], index)
