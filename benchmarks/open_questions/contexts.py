"""Contexts of a magnitude from magnitudes beside it: at neighbouring frequencies, in neighbouring channels, or both.

Four contexts, static: nothing beside it, and three parts of equal weight of how much there is, in units of what the tables
of the neighbours' levels expect. Neighbours lie before the coefficient in the order of a record; the mean of the tile is no
neighbour, for it is quantised more finely. What is measured is a bound: real records of a layer could see neighbours of the
same layer only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.open_questions.code_length import Bits, Symbols, context_costs, counted

N_CONTEXTS = 4
KINDS = ("frequency", "channel", "frequency and channel")


def activity(
    symbols: Symbols, side: int, kind: str, expected: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """N×C×F: magnitudes beside each coefficient over what is expected of them; `expected` C×F. −1 where it has none."""
    _, channels, frequencies = symbols.magnitude.shape
    around = np.zeros(symbols.magnitude.shape, np.float32)
    likely = np.zeros((channels, frequencies), np.float32)
    magnitude = np.where(symbols.coded, symbols.magnitude, 0).astype(np.float32)
    u, v = np.divmod(np.arange(frequencies), side)
    if "frequency" in kind:
        for du, dv in ((1, 0), (0, 1)):
            at = np.flatnonzero((u >= du) & (v >= dv) & ((u - du) + (v - dv) > 0))
            source = at - du * side - dv
            around[:, :, at] += magnitude[:, :, source]
            likely[:, at] += expected[:, source]
    if "channel" in kind:
        for back in (1, 2):
            around[:, back:, 1:] += magnitude[:, :-back, 1:]
            likely[back:, 1:] += expected[:-back, 1:]
    known = likely > 0
    return np.where(known, around / np.where(known, likely, 1), -1).astype(np.float32)


@dataclass(frozen=True)
class ContextTables:
    """A table for every level and context."""

    kind: str
    side: int
    expected: npt.NDArray[np.float64]  # C×F mean magnitudes
    limits: npt.NDArray[np.float64]  # levels×2: where the second and third part begin
    costs: Bits  # (levels·contexts)×bins

    @classmethod
    def fit(cls, train: Symbols, side: int, kind: str, levels: Bits) -> ContextTables:
        """`levels`: costs of the tables without contexts, that rare contexts fall back to."""
        by_level = np.zeros(train.n_levels)
        np.add.at(by_level, train.level.ravel(), train.magnitude.mean(axis=0).ravel())
        times = np.bincount(train.level.ravel(), minlength=train.n_levels)
        expected = np.where(train.coded, (by_level / np.maximum(times, 1))[train.level], 0.0)
        found = activity(train, side, kind, expected)[:, train.coded]
        limits = np.full((train.n_levels, 2), np.inf)
        for level in np.unique(train.levels):
            there = found[:, train.levels == level]
            there = there[there > 0]
            if there.size:
                limits[level] = np.quantile(there, (1 / 3, 2 / 3))
        empty = cls(kind, side, expected, limits, np.zeros((0, 0)))
        rows = empty.rows_of(train)
        counts = counted(rows, train.bins, train.n_levels * N_CONTEXTS)
        of_level = np.repeat(np.arange(train.n_levels), N_CONTEXTS)
        return cls(kind, side, expected, limits, context_costs(counts, of_level, levels))

    def rows_of(self, symbols: Symbols) -> npt.NDArray[np.int64]:
        """N×M: which table each coded coefficient takes."""
        found = activity(symbols, self.side, self.kind, self.expected)[:, symbols.coded]
        limits = self.limits[symbols.levels]
        context = np.where(found > 0, 1 + (found > limits[:, 0]) + (found > limits[:, 1]), 0)
        return symbols.levels.astype(np.int64) * N_CONTEXTS + context

    def bits(self, symbols: Symbols) -> Bits:
        """N."""
        return np.asarray(self.costs[self.rows_of(symbols), symbols.bins].sum(axis=1), np.float64)
