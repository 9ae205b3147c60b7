"""Spending a budget of bytes: which records are coded finer than the others.

Every record can be had in two sizes: as the file's quality has it, and one rung finer. Sizes are estimates from the
integer cost tables (bitstream §10.2), so two machines spend alike.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.types import BoolArray

Int64Array = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]

_LARGE = 2.0**1000  # a file has 2¹⁶ tiles at most: sums of smaller weights stay below 2¹⁰¹⁶


@dataclass(frozen=True)
class Sizes:
    """What R records take, bytes: at the lower of two qualities and at the finer one; and which comes first."""

    low: Int64Array  # R
    high: Int64Array  # R
    order: Int64Array  # a permutation of the R records: the first is coded finer first

    def spend(self, budget: int, worth: int = 0) -> BoolArray:
        """Which records are coded finer (R) so that all together take at most `budget` bytes.

        In the order given; a record that does not fit any more is passed over for later ones that do. Where that leaves
        more than `worth` bytes, the records that grow most come first instead, if that leaves less. Nothing is finer where
        even the lower sizes exceed the budget.
        """
        finer = self._spend(self.order, budget)
        if budget - self.taken(finer) > worth:
            other = self._spend(
                self.order[np.argsort(-(self.high - self.low)[self.order], kind="stable")], budget
            )
            if self.taken(other) > self.taken(finer):
                return other
        return finer

    def _spend(self, order: Int64Array, budget: int) -> BoolArray:
        finer = np.zeros(len(self.low), dtype=bool)
        left = budget - int(self.low.sum())
        more = (self.high - self.low)[order].tolist()
        for record, extra in zip(order.tolist(), more, strict=True):
            if extra <= left:
                finer[record] = True
                left -= extra
        return finer

    def taken(self, finer: BoolArray) -> int:
        """Bytes of all records."""
        return int(np.where(finer, self.high, self.low).sum())

    def to_give_up(self, finer: Sequence[bool], bytes_over: int) -> int:
        """The finer record whose lower size saves enough with the least to spare; if none does, the one that saves most."""
        saved = (self.high - self.low)[self.order]
        mine = np.asarray(finer, dtype=bool)[self.order]
        enough = mine & (saved >= bytes_over)
        if enough.any():
            at = np.flatnonzero(enough)
            return int(self.order[at[saved[at] == saved[at].min()][-1]])
        at = np.flatnonzero(mine)
        return int(self.order[at[saved[at] == saved[at].max()][-1]])


def by_importance(
    importance: FloatVector, layer: Int64Array, plane: Int64Array, first_tile: Int64Array
) -> Int64Array:
    """The order of R records: the more important first; among equals lower layers, then planes, then tiles."""
    return np.lexsort((first_tile, plane, layer, -importance)).astype(np.int64)


def mean_importance(
    weights: FloatVector, coded: BoolArray, first_tile: Int64Array, count: Int64Array
) -> FloatVector:
    """Mean weight of the coded tiles of each of R records, R; 0 where a record has none."""
    largest = weights.max(initial=0.0)
    if largest > _LARGE:  # sums would overflow
        return mean_importance(weights / largest, coded, first_tile, count) * largest
    sums = np.concatenate([[0.0], np.cumsum(np.where(coded, weights, 0.0))])
    tiles = np.concatenate([[0], np.cumsum(coded)])
    end = first_tile + count
    return np.asarray((sums[end] - sums[first_tile]) / np.maximum(1, tiles[end] - tiles[first_tile]))


def check_importance(weights: object, n_tiles: int) -> FloatVector:
    """Weights of N tiles as float64. Raises InputError unless there is a finite number of at least 0 for every tile."""
    try:
        found = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:  # the last: an integer beyond all floats
        raise InputError(
            "the importance of tiles is no array of numbers", fix="give one number per tile"
        ) from error
    if found.shape != (n_tiles,):
        raise InputError("the importance needs one number per tile", expected=(n_tiles,), found=found.shape)
    wrong = ~(np.isfinite(found) & (found >= 0))
    if wrong.any():
        at = int(wrong.argmax())
        raise InputError(
            f"the importance of tile {at} is no finite number of at least 0",
            found=float(found[at]),
            fix="use 0 for the least",
        )
    return found


def check_count(value: object, name: str, least: int = 0) -> int:
    """A whole number of at least `least`. Raises InputError for anything else, True and 1.5 included."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        raise InputError(
            f"{name} is a whole number of at least {least}", found=repr(value), fix="give such a number"
        )
    return int(value)


def check_amount(value: object, name: str) -> float:
    """A finite number above 0. Raises InputError for anything else."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(float(value)) or not float(value) > 0:  # type: ignore[arg-type]
        raise InputError(f"{name} is a finite number above 0", found=repr(value), fix="give such a number")
    return float(value)  # type: ignore[arg-type]


def at_most_one(**given: object) -> None:
    """Raises InputError where more than one of these was given (is not None)."""
    names: Sequence[str] = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise InputError(f"give a ladder index or one budget of bytes, not both: {' and '.join(names)}")
