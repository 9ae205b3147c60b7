"""At most 128 shared tables for channels of known distributions, as a fit would leave them in `tables.bin`.

Channels come by falling scale; neighbours share a table. Which ones is decided by exact dynamic programming over the bits
that sharing costs. Each table codes magnitudes, zero first, as far as escapes stay cheap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.entropy.latents import LARGEST, TOTAL, Int64Array
from codec.transform.tables import Level, PlaneMaps, Tables
from codec.types import PlaneKind

FloatArray64 = npt.NDArray[np.float64]
MAX_TABLES = 128


@dataclass(frozen=True, slots=True)
class Choice:
    """What a fit may choose: bytes against speed."""

    n_tables: int = MAX_TABLES
    escape_share: float = 0.0001  # of a table's bits that escapes may cost; more thresholds cost time instead
    escape_probability: float = 1e-3  # at most; escapes leave the vector loop


def folded(frequencies: Int64Array) -> FloatArray64:
    """Probabilities of the magnitudes 0 … 60 from those of −60 … 60, row by row."""
    right = frequencies[:, LARGEST:].astype(np.float64)
    right[:, 1:] += frequencies[:, :LARGEST][:, ::-1]
    return right / TOTAL


def fit(
    frequencies: Int64Array,
    *,
    rows: int,
    cols: int,
    choice: Choice | None = None,
    kind: PlaneKind = PlaneKind.INTEGER,
) -> Tables:
    """A table file of one plane and one layer for channels with these distributions.

    An integer plane has one band; one of kind float has the token mean alone in band 0, with the same tables.
    """
    choice = choice or Choice()
    p = folded(frequencies)
    dead = p[:, 0] >= 1.0  # one possible value: no table, no bits
    live = np.flatnonzero(~dead)
    groups = [live[part] for part in _share(p[live], choice.n_tables - int(dead.any()))] if len(live) else []
    levels = [table(p[group].mean(axis=0), choice) for group in groups]
    classes = np.zeros(len(p), dtype=np.uint8)
    for number, group in enumerate(groups):
        classes[group] = number
    if dead.any():
        classes[dead] = len(levels)
        levels.append(Level((), 1.0, 0.0))
    n_bands = 1 if kind is PlaneKind.INTEGER or rows * cols == 1 else 2
    bands = np.zeros(rows * cols, dtype=np.uint8)
    bands[1:] = n_bands - 1
    class_map = np.tile(classes, (n_bands, 1))
    plane = PlaneMaps(rows, cols, len(p), kind, (0,), bands, np.zeros_like(class_map), class_map)
    return Tables(np.array([1.0], dtype=np.float32), tuple(levels), (plane,))


def _share(p: FloatArray64, n: int) -> list[slice]:
    """Cut rows into at most n runs of neighbours such that coding each run by its mean costs the fewest bits."""
    rows = len(p)
    n = min(n, rows)
    sums = np.vstack([np.zeros(p.shape[1]), np.cumsum(p, axis=0)])
    cost = np.full((rows, rows + 1), np.inf)  # of the run first … end−1, bits per token
    for first in range(rows):
        total = sums[first + 1 :] - sums[first]
        count = np.arange(1, rows - first + 1)[:, None]
        mean = total / count
        logarithm = np.log2(mean, out=np.zeros_like(mean), where=mean > 0)
        cost[first, first + 1 :] = -(total * logarithm).sum(axis=1)
    best = np.full(rows + 1, np.inf)
    best[0] = 0.0
    came: list[npt.NDArray[np.int64]] = []
    for _ in range(n):
        through = best[:-1, None] + cost
        came.append(through.argmin(axis=0))
        best = through.min(axis=0)
    cuts, end = [], rows
    for step in reversed(came):
        first = int(step[end])
        cuts.append(slice(first, end))
        end = first
    return cuts[::-1]


def table(p: FloatArray64, choice: Choice) -> Level:
    """The table of magnitudes with probabilities `p`: the fewest thresholds whose escapes are rare and cheap."""
    # With K = k the magnitude k is an escape, which takes at least one more bit: so up to one above the largest.
    most = int(np.flatnonzero(p)[-1]) + 1
    bits = _expected_bits(p, most)
    k = most
    for fewer in range(1, most):
        rare = float(p[fewer:].sum()) <= choice.escape_probability
        if rare and _expected_bits(p, fewer) <= (1 + choice.escape_share) * bits:
            k = fewer
            break
    edges = np.cumsum(_frequencies(p, k))[:-1]
    return Level(tuple(int(t) for t in edges), 1.0, 0.0)


def _frequencies(p: FloatArray64, k: int) -> Int64Array:
    """Integers ≥ 1 of 65536 for the magnitudes 0 … k−1 and the escape; the most frequent takes the rest."""
    q = np.append(p[:k], p[k:].sum())
    result = np.maximum(np.rint(q * TOTAL), 1).astype(np.int64)
    result[int(np.argmax(result))] += TOTAL - int(result.sum())
    return result


def _expected_bits(p: FloatArray64, k: int) -> float:
    """Of one symbol, without its sign, when magnitudes from k on are escapes."""
    f = _frequencies(p, k)
    magnitude = np.arange(len(p))
    cost = -np.log2(f / TOTAL)[np.minimum(magnitude, k)]
    cost[k:] += 2 * np.floor(np.log2(magnitude[k:] - k + 1)) + 1
    return float((p * cost).sum())
