"""A few table sets, one of which every file (or tile) names: what they save over one set for all.

The sets are found on training files by hard assignment: each file goes to the set that codes it shortest, each set is fitted
to its files, until nothing moves. Naming one costs its bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.open_questions.code_length import N_BINS, Bits, Symbols, context_costs, level_costs

_ROUNDS = 12
_STARTS = 3


def by_unit(symbols: Symbols, unit: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """U×(levels·bins): how often each bin of each level occurs in the tiles of each unit; `unit` N numbers from 0."""
    rows = symbols.levels.astype(np.int64)
    width = symbols.n_levels * N_BINS
    found = np.zeros((int(unit.max()) + 1, width))
    for tile, of in zip(symbols.bins, unit, strict=True):
        found[of] += np.bincount(rows * N_BINS + tile, minlength=width)
    return found


@dataclass(frozen=True)
class Mixture:
    """K table sets."""

    costs: Bits  # K×(levels·bins)

    @classmethod
    def fit(cls, units: npt.NDArray[np.float64], n_levels: int, sets: int, seed: int) -> Mixture:
        """`units`: counts of training units."""
        everything = units.sum(axis=0).reshape(n_levels, N_BINS)
        levels = level_costs(everything)
        of_level = np.arange(n_levels)
        best, least = levels.reshape(1, -1), np.inf
        rng = np.random.default_rng([seed, sets])
        for _ in range(_STARTS):
            # From single units far from one another: a random division would start with four equal sets.
            chosen = rng.permutation(len(units))[:sets]
            costs = _sets(units[chosen], of_level, levels)
            for _ in range(_ROUNDS):
                given = (units @ costs.T).argmin(axis=1)
                totals = np.stack([units[given == k].sum(axis=0) for k in range(sets)])
                costs = _sets(totals, of_level, levels)
            total = float((units @ costs.T).min(axis=1).sum())
            if total < least:
                best, least = costs, total
        return cls(best)

    def bits(self, symbols: Symbols, unit: npt.NDArray[np.integer]) -> Bits:
        """N: every tile by the set that codes its unit shortest, with its part of what naming that takes."""
        chosen = (by_unit(symbols, unit) @ self.costs.T).argmin(axis=1)
        tiles = by_unit(symbols, np.arange(len(symbols.magnitude)))
        naming = np.log2(len(self.costs)) / np.bincount(unit)[unit]
        return np.asarray(np.einsum("nb,nb->n", tiles, self.costs[chosen[unit]]) + naming, np.float64)


def _sets(totals: npt.NDArray[np.float64], of_level: npt.NDArray[np.integer], levels: Bits) -> Bits:
    return np.stack([context_costs(t.reshape(levels.shape), of_level, levels).ravel() for t in totals])
