"""Splits of a folder that has none: whole cells go to train, val or test, and a table says which.

Cells are squares on the ground where every file lies on the map. Elsewhere a picture is a cell, and a copy of it lies in the
same one; of a few large rasters, squares of tiles are. The largest squares that give enough cells are taken. Cells are the
groups of a run too: what lies in one is never split, and intervals are drawn over them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec.data.blocked_splits import Assigned, Cell, assign_cells, check, read_splits, write_splits
from codec.data.splits import Window
from codec.errors import InputError
from codec.evaluate.rate.sets import TILE
from codec.evaluate.rate.types import IntArray

ENOUGH = 40  # cells: six of them are scored
DEGREES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
TILES = (8, 4, 2, 1)  # sides of squares in a raster
SEED = 0  # of the choice of cells; another choice is another table


MOST_SHARED = 0.1  # of a scored picture's ground; boxes of neighbours share a little where the map is turned

Bounds = tuple[float, float, float, float]  # south, west, north, east, degrees


@dataclass(frozen=True, slots=True)
class Unit:
    """What goes to a split as a whole: a picture with a class, or a tile of a raster with a mask."""

    picture: str  # name in the folder
    split: str  # the folder's own, or ""
    label: str  # class; of a mask the one that most tokens have
    digest: str  # of the picture's numbers
    where: tuple[float, float] | None = None  # latitude and longitude of its centre, degrees
    bounds: Bounds | None = None  # on the ground
    corner: tuple[int, int] | None = None  # first row and column in the picture; None: the picture

    @property
    def window(self) -> Window | None:
        return None if self.corner is None else Window(self.picture, *self.corner, TILE, TILE)

    @property
    def name(self) -> str:
        """As tables of splits call it."""
        return self.picture if self.corner is None else f"{self.picture}/{self.corner[0]}/{self.corner[1]}"


def cells_of(units: Sequence[Unit]) -> list[Cell]:
    """The cell of each unit, which does not depend on splits."""
    if all(unit.where is not None for unit in units):
        return _enough([_on_the_ground(units, side) for side in DEGREES])
    first: dict[str, str] = {}
    names = [first.setdefault(unit.digest, unit.picture) for unit in units]
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    # Of pictures the row of a cell is its number: a table of splits has no column for its name.
    whole: list[Cell] = [("", number[name], 0) for name in names]
    if any(unit.corner is None for unit in units) or len(number) >= ENOUGH:
        return whole
    squares: list[list[Cell]] = []
    for side in TILES:
        px = side * TILE
        squares.append(
            [
                (name, unit.corner[0] // px, unit.corner[1] // px)
                for name, unit in zip(names, units, strict=True)
                if unit.corner is not None
            ]
        )
    return _enough([whole, *squares])


def _on_the_ground(units: Sequence[Unit], side: float) -> list[Cell]:
    return [
        ("", math.floor(unit.where[0] / side), math.floor(unit.where[1] / side))
        for unit in units
        if unit.where is not None
    ]


def _enough(choices: Sequence[list[Cell]]) -> list[Cell]:
    """The first with enough cells, else the first of those with the most."""
    for cells in choices:
        if len(set(cells)) >= ENOUGH:
            return cells
    return max(choices, key=lambda cells: len(set(cells)))


def choose(units: Sequence[Unit], path: Path, name: str) -> list[str]:
    """Split of each unit, written to `path` first. Raises InputError where there are too few cells."""
    cells = cells_of(units)
    members: dict[Cell, list[str]] = {}
    for unit, cell in zip(units, cells, strict=True):
        members.setdefault(cell, []).append(unit.label)
    chosen = assign_cells(members, SEED)
    found = [
        Assigned(unit.name, chosen[cell], cell, unit.label, unit.window)
        for unit, cell in zip(units, cells, strict=True)
    ]
    check(found, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_splits(path, found, name)
    return [one.split for one in found]


def given(units: Sequence[Unit], path: Path) -> list[str]:
    """Split of each unit by a table. Raises InputError for a table of other pictures or tiles."""
    table = {one.name: one.split for one in read_splits(path)}
    names = [unit.name for unit in units]
    remedy = "make the table from this folder: run once without --splits"
    for name in names:
        if name not in table:
            raise InputError(f"the table of splits does not name {name}", path=path, fix=remedy)
    if strange := sorted(set(table) - set(names)):
        raise InputError(f"the folder does not hold {strange[0]}", path=path, fix=remedy)
    return [table[name] for name in names]


def refuse_twins(units: Sequence[Unit], splits: Sequence[str]) -> None:
    """Raises InputError for a picture that is learnt and, under another name, scored."""
    where: dict[str, tuple[str, str]] = {}
    for unit, split in zip(units, splits, strict=True):
        name, other = where.setdefault(unit.digest, (unit.picture, split))
        if other != split and name != unit.picture:
            raise InputError(
                f"the same picture is in {other} and in {split}",
                path=unit.picture,
                found=name,
                fix="remove one of them",
            )


def refuse_shared_ground(units: Sequence[Unit], splits: Sequence[str]) -> None:
    """Raises InputError where a scored picture or tile shows ground that is learnt from: its pixels would be known."""
    placed = [(u.bounds, u.name, s) for u, s in zip(units, splits, strict=True) if u.bounds is not None]
    learnt = np.array([bounds for bounds, _, split in placed if split == "train"])
    if not len(learnt):
        return
    for bounds, name, split in placed:
        if split == "train":
            continue
        south, west, north, east = bounds
        height = np.minimum(learnt[:, 2], north) - np.maximum(learnt[:, 0], south)
        width = np.minimum(learnt[:, 3], east) - np.maximum(learnt[:, 1], west)
        shared = float((np.maximum(height, 0) * np.maximum(width, 0)).max())
        if shared > MOST_SHARED * (north - south) * (east - west):
            raise InputError(
                f"{name} is scored ({split}), and shows ground that is learnt from",
                found=f"{100 * shared / ((north - south) * (east - west)):.0f} % of it",
                fix="give --splits that keep what overlaps together, or cut pictures without overlap",
            )


def groups_of(cells: Sequence[Cell], splits: Sequence[str]) -> IntArray:
    """A number for each cell, and split where it was the folder or a table that tore it: by pictures, not by squares."""
    numbers: dict[tuple[Cell, str], int] = {}
    return np.array(
        [numbers.setdefault(key, len(numbers)) for key in zip(cells, splits, strict=True)], np.int64
    )
