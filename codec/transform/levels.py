"""One static table per scale level, from pooled training coefficients.

A level is the ratio of a coefficient's scale to the quantiser step, in quarter octaves. Coefficients of one ratio have
nearly one distribution whatever their channel, frequency or the quality, so all of them are pooled into it: that is
what lets one small set of tables serve every rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.transform.tables import TOTAL, Level, index_of

FloatVector = npt.NDArray[np.float64]

MAX_THRESHOLDS = 255  # K fits a byte
MAX_LOW_BITS = 8
MAX_MAGNITUDE = 32767
# Low bits may make a table's symbols longer by this share of their bits.
_LOW_BITS_SHARE = 0.001
# Weight of the smoothing prior in observations: it decides tails that training has not seen, and nothing else.
_PRIOR_WEIGHT = 32.0
# A table is cut after the magnitude where escapes would cost this share of its entropy, and at most this probability.
_ESCAPE_COST_SHARE = 0.002
_ESCAPE_PROBABILITY = 1e-3
# Below this probability of a non-zero a level has no table: spending its bits would cost more distortion elsewhere
# than it saves here (a rare ±1 costs about 12 bits and removes 0.3 step² on average; other coefficients remove ten
# times that for the same bits).
NEGLIGIBLE = 1e-3
_MAX_MAGNITUDE = MAX_MAGNITUDE + 1  # of the histogram; larger ones count as this


@dataclass(frozen=True)
class Pool:
    """Magnitudes of training coefficients of one class in units of the class' scale: sorted, with running sums."""

    magnitudes: FloatVector
    sums: FloatVector  # sums[i] = sum of the i smallest

    @classmethod
    def of(cls, magnitudes: npt.NDArray[np.floating]) -> Pool:
        ordered = np.sort(np.asarray(magnitudes, dtype=np.float64))
        return cls(ordered, np.concatenate([[0.0], np.cumsum(ordered)]))


@dataclass(frozen=True)
class Histogram:
    """Counts of magnitudes 0 … n−1 at one level, and sums of the scaled coefficients that fell on each (in steps)."""

    counts: FloatVector
    sums: FloatVector


def histogram(pools: list[Pool], ratio: float, theta: float = 0.0) -> Histogram:
    """Quantise the pools with steps of 1/`ratio` of their scale."""
    largest = max((float(pool.magnitudes[-1]) for pool in pools if len(pool.magnitudes)), default=0.0)
    n = int(min(_MAX_MAGNITUDE, np.rint(largest * ratio) + 2))
    edges = (np.arange(n - 1) + 0.5 + theta) / ratio
    counts, sums = np.zeros(n), np.zeros(n)
    for pool in pools:
        at = np.concatenate([[0], np.searchsorted(pool.magnitudes, edges), [len(pool.magnitudes)]])
        counts += np.diff(at)
        sums += np.diff(pool.sums[at]) * ratio
    return Histogram(counts, sums)


def _laplace(ratio: float, n: int, theta: float) -> FloatVector:
    """Probabilities of magnitudes 0 … n−1 (the last: that or more) of a Laplace density with deviation `ratio` steps."""
    survival = np.exp(-np.sqrt(2.0) / ratio * (np.arange(n) - 0.5 + theta))
    survival[0] = 1.0
    return -np.diff(np.append(survival, 0.0))


def _integer_frequencies(probability: FloatVector, unit: int = 1) -> npt.NDArray[np.int64]:
    """Multiples of `unit`, none 0, that sum to 65536, nearest to the probabilities; ties go to the lower index."""
    total = TOTAL // unit
    ideal = probability / probability.sum() * total
    result = np.maximum(np.floor(ideal), 1).astype(np.int64)
    missing = total - int(result.sum())
    if missing > 0:
        order = np.argsort(-(ideal - result), kind="stable")
        result[order[:missing]] += 1
    while (
        missing < 0
    ):  # tiny probabilities were rounded up: take it from the most frequent, where it costs least
        top = int(np.argmax(result))
        result[top] -= 1
        missing += 1
    return result * unit


def _escape_bits(n: int) -> FloatVector:
    """Length of the Exp-Golomb code of 0 … n−1 (bitstream §5.3)."""
    return 2.0 * np.floor(np.log2(np.arange(n) + 1.0)) + 1.0


def _thresholds_needed(p: FloatVector, most: int = MAX_THRESHOLDS) -> int:
    """The smallest K whose escapes are rare and cheap."""
    bits = -np.log2(np.maximum(p, 1e-12))
    entropy = float((p * bits).sum())
    tail = np.cumsum(p[::-1])[::-1]  # tail[k] = P(index ≥ k)
    for k in range(1, min(len(p) - 1, most)):
        if tail[k] > _ESCAPE_PROBABILITY:
            continue
        beyond = p[k:]
        extra = float((beyond * (-np.log2(max(tail[k], 1e-12)) + _escape_bits(len(beyond)) - bits[k:])).sum())
        if extra <= _ESCAPE_COST_SHARE * entropy:
            return k
    return min(len(p) - 1, most)


def _by_index(p: FloatVector, low_bits: int) -> FloatVector:
    """Probabilities of the indices of a table with low bits, from those of the magnitudes."""
    return np.bincount(index_of(np.arange(len(p)), low_bits), weights=p).astype(np.float64)


def _magnitude_bits(thresholds: tuple[int, ...], low_bits: int, n: int) -> FloatVector:
    """Bits of the indices 0 … n−1 of a table; signs, low bits and escape codes included."""
    k = len(thresholds)
    share = np.diff(np.array([0, *thresholds, TOTAL], dtype=np.float64)) / TOTAL
    bits = -np.log2(share)[np.minimum(np.arange(n), k)]
    bits[1:] += 1 + low_bits
    bits[k:] += _escape_bits(n - k)
    return np.asarray(bits)


def table_bits(level: Level, n: int) -> FloatVector:
    """Bits of the magnitudes 0 … n−1 under a table, as exact as a coder can be: integer costs round what is nearly free."""
    index = index_of(np.arange(n), level.low_bits)
    count = max(int(index.max(initial=0)) + 1, len(level.thresholds) + 1)
    return _magnitude_bits(level.thresholds, level.low_bits, count)[index]


def _mean_bits(p: FloatVector, thresholds: tuple[int, ...], low_bits: int) -> float:
    """Expected bits of one symbol under a table, sign included."""
    by_index = _by_index(p, low_bits)
    return float((by_index * _magnitude_bits(thresholds, low_bits, len(by_index))).sum())


def _table(
    p: FloatVector,
    least_escape: Callable[[int], float] = lambda _: 0.0,
    most_low_bits: int = MAX_LOW_BITS,
    *,
    is_cut: bool = False,
) -> tuple[tuple[int, ...], int]:
    """Thresholds and low bits of a table for magnitudes with these probabilities.

    A search takes its time for each threshold, and low bits halve their number each: as many as keep the rate within
    `_LOW_BITS_SHARE` of the cheapest table, whose own thresholds may have come to their end at 255.
    `least_escape(m)` bounds the probability of an escape from magnitude m on from below. `is_cut`: the last of `p` stands
    for all larger magnitudes too. Where that is much, nobody knows what low bits would cost there: none are taken.
    """
    if is_cut and p[-1] > _ESCAPE_PROBABILITY:
        most_low_bits = 0
    found = []
    for low_bits in range(most_low_bits + 1):
        grouped = _by_index(p, low_bits)
        if len(grouped) < 3 and low_bits:
            break
        most = min(MAX_THRESHOLDS, MAX_MAGNITUDE >> low_bits, (TOTAL >> low_bits) - 1)
        k = max(1, _thresholds_needed(grouped, most))
        escape = max(float(grouped[k:].sum()), least_escape(((k - 1) << low_bits) + 1))
        frequencies = _integer_frequencies(np.append(grouped[:k], escape), 1 << low_bits)
        thresholds = tuple(int(t) for t in np.cumsum(frequencies)[:-1])
        found.append((_mean_bits(p, thresholds, low_bits), thresholds))
    limit = min(bits for bits, _ in found) * (1 + _LOW_BITS_SHARE)
    chosen = max(b for b, (bits, _) in enumerate(found) if bits <= limit)
    return found[chosen][1], chosen


def density(h: Histogram, ratio: float, theta: float = 0.0) -> FloatVector:
    """Probabilities of the magnitudes 0 … n−1 at a level of `ratio` steps: what was seen, and a little Laplace."""
    n = max(len(h.counts), int(np.ceil(ratio * 8)) + 3)
    p = np.pad(h.counts, (0, n - len(h.counts))) + _PRIOR_WEIGHT * _laplace(ratio, n, theta)
    return np.asarray(p / p.sum(), dtype=np.float64)


def sampling_bits(h: Histogram) -> float:
    """Bits a symbol by which a density that was counted seems better than it is (G. Miller, 1955)."""
    return float(max(0, np.count_nonzero(h.counts) - 1) / (2 * np.log(2) * max(1.0, h.counts.sum())))


def expected_bits(h: Histogram, p: FloatVector) -> float:
    """Mean bits of the magnitudes of `h` and of their signs under a density of at least as many magnitudes."""
    bits = -np.log2(np.maximum(p[: len(h.counts)], np.finfo(np.float64).tiny))
    bits[1:] += 1
    return float((h.counts * bits).sum() / h.counts.sum())


def fit_level(pools: list[Pool], ratio: float, theta: float = 0.0) -> Level:
    """The table of the level at which the scale is `ratio` steps, with its reconstruction points.

    `theta` is the dead zone of the quantiser. Reconstruction points are the conditional means of magnitude 1 and of
    all larger ones. A level whose non-zeros are negligible has no thresholds.
    """
    h = histogram(pools, ratio, theta)
    p = density(h, ratio, theta)
    n = len(p)
    counts = np.pad(h.counts, (0, n - len(h.counts)))
    sums = np.pad(h.sums, (0, n - len(h.sums)))
    # One pseudo-observation in the middle of the bin keeps the points defined where training has none.
    middle = 1.0 + theta
    r1 = (sums[1] + 0.95 * middle) / (counts[1] + 1.0)
    above = counts[2:]
    r2 = float((sums[2:] - above * np.arange(2, n)).sum() + 0.9 * theta) / float(above.sum() + 1.0)
    points = float(np.float32(np.clip(r1, 0.5, 2.0))), float(np.float32(np.clip(r2, -1.0, 1.0)))
    if 1.0 - p[0] < NEGLIGIBLE:
        return Level((), *points, theta)
    thresholds, low_bits = _table(p, is_cut=len(h.counts) == _MAX_MAGNITUDE)
    return Level(thresholds, *points, theta, low_bits)


def level_of_counts(
    counts: npt.NDArray[np.integer], *, most_low_bits: int = MAX_LOW_BITS, is_cut: bool = False
) -> Level:
    """The table of integer magnitudes with these counts (0, 1, …): what codes them exactly in the fewest bits.

    Unlike `fit_level` it always has a threshold, as an exact plane may not lose a rare value, and no reconstruction
    points, as nothing is reconstructed. `is_cut`: the last count is that of all larger magnitudes too.
    """
    n = max(2, len(counts))
    observed = np.pad(counts.astype(np.float64), (0, n - len(counts)))
    total = observed.sum()
    mean = float(observed @ np.arange(n)) / max(1.0, total)
    # A geometric prior of the same mean decides what training has not seen.
    ratio = (mean + 0.02) / (mean + 1.02)
    prior = (1 - ratio) * ratio ** np.arange(n)
    p = observed + _PRIOR_WEIGHT * prior
    p /= p.sum()
    # What training has not seen at all may still come: it costs an escape, and that must have a frequency.
    thresholds, low_bits = _table(p, lambda m: max(ratio**m * 1e-3, 1e-6), most_low_bits, is_cut=is_cut)
    return Level(thresholds, 1.0, 0.0, 0.0, low_bits)
