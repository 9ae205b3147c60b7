"""Tables for symbols that are chosen by rate and distortion: frequencies and reconstruction points of what then remains.

Rounding and table depend on each other: a dearer magnitude is chosen less often and becomes dearer still, and what is
still chosen lies further out. Both are found in turns (entropy-constrained scalar quantisation, Chou, Lookabaugh and Gray
1989), for each level by itself.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from codec.transform.levels import Pool, fit_level
from codec.transform.rate import magnitude_costs
from codec.transform.rdo import reconstructed
from codec.transform.tables import Level

_TURNS = 8
_LARGEST_R1, _LARGEST_R2 = 2.0, 1.0  # bitstream §6
_MOST_SAMPLES = 1 << 20  # of one level
_LEAST_APART = (
    0.05  # steps, of the points of neighbouring magnitudes: a level of few samples may have them cross
)
_PRIOR = 32.0  # observations that plain rounding's table counts for: decides what training has not seen
_COST_UNITS_PER_BIT = 256

FloatVector = npt.NDArray[np.float64]


def fit_traded_level(pools: list[Pool], ratio: float, tradeoff: float) -> Level:
    """The table at which the scale is `ratio` steps, of symbols chosen at `tradeoff` squared steps for a bit.

    Like `fit_level`, which it equals at 0; a level whose non-zeros become negligible has no thresholds.
    """
    rounded = fit_level(pools, ratio)
    if not tradeoff or not rounded.thresholds:
        return rounded
    x = _sample(pools) * ratio
    sums = np.concatenate([[0.0], np.cumsum(x)])
    n = int(x[-1]) + 3
    bits, values = magnitude_costs(rounded, n) / _COST_UNITS_PER_BIT, reconstructed(rounded, n)
    signs = (np.arange(n) > 0).astype(np.float64)
    before = _PRIOR * 2.0 ** -(bits - signs)
    for _ in range(_TURNS):
        at = np.concatenate([[0], np.searchsorted(x, decision_edges(bits, values, tradeoff)), [len(x)]])
        p = np.diff(at) + before
        bits = signs - np.log2(p / p.sum())
        r1, r2 = _points(at, sums)
        values = reconstructed(replace(rounded, r1=r1, r2=r2), n)
    return replace(_table(x, at, ratio), r1=r1, r2=r2)


def decision_edges(bits: FloatVector, values: FloatVector, tradeoff: float) -> FloatVector:
    """From which |x| on, in steps, magnitudes 1 … n−1 are chosen over the one below and over zero; never falling.

    `bits` and `values` (steps) are those of magnitudes 0 … n−1. Rounding comes first and is only ever lowered
    (`codec.transform.rdo`), so no edge lies below m − ½.
    """
    above, below = np.arange(1, len(bits)), np.arange(len(bits) - 1)

    def over(other: npt.NDArray[np.int64]) -> FloatVector:
        rise = np.square(values[above]) - np.square(values[other]) + tradeoff * (bits[above] - bits[other])
        return np.asarray(
            rise / (2 * np.maximum(values[above] - values[other], _LEAST_APART)), dtype=np.float64
        )

    edges = np.maximum(np.maximum(over(below), over(np.zeros_like(below))), below + 0.5)
    return np.asarray(np.maximum.accumulate(edges), dtype=np.float64)


def _sample(pools: list[Pool]) -> FloatVector:
    """Magnitudes of all pools, ascending; every k-th where they are many."""
    step = max(1, -(-sum(len(pool.magnitudes) for pool in pools) // _MOST_SAMPLES))
    return np.sort(np.concatenate([pool.magnitudes[step // 2 :: step] for pool in pools]))


def _points(at: npt.NDArray[np.int64], sums: FloatVector) -> tuple[float, float]:
    """Means of what became 1, in steps, and of what became more, less its magnitude; one pseudo-observation each."""
    ones, more = at[2] - at[1], at[-1] - at[2]
    r1 = (sums[at[2]] - sums[at[1]] + 0.95) / (ones + 1.0)
    magnitudes = float((np.diff(at)[2:] * np.arange(2, len(at) - 1)).sum())
    r2 = (sums[at[-1]] - sums[at[2]] - magnitudes) / (more + 1.0)
    return (
        float(np.float32(np.clip(r1, 0.5, _LARGEST_R1))),
        float(np.float32(np.clip(r2, -_LARGEST_R2, _LARGEST_R2))),
    )


def _table(x: FloatVector, at: npt.NDArray[np.int64], ratio: float) -> Level:
    """Frequencies by `fit_level`, of values that round to the magnitudes which x (ascending) became."""
    magnitude = np.repeat(np.arange(len(at) - 1), np.diff(at))
    inside = (np.clip(x - magnitude, -0.45, 0.45) + magnitude) / ratio  # ascending, as x is
    return fit_level([Pool(inside, np.concatenate([[0.0], np.cumsum(inside)]))], ratio)
