"""Statistics that are no sums (ranks, areas, precision), drawn again over whole places and over encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata, t

from codec.errors import InputError
from codec.evaluate.intervals import Interval
from codec.evaluate.rate.curve_intervals import DEFINED, interval
from codec.evaluate.rate.curves import bytes_for, curve
from codec.evaluate.rate.types import FloatVector, IntArray

DRAWS = 200


def draws_of(groups: IntArray, draws: int = DRAWS, seed: int = 0) -> Iterator[IntArray]:
    """Samples of each draw: first all as they are, then those of as many places drawn again."""
    names, index = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(index == k) for k in range(len(names))]
    rng = np.random.default_rng([seed, len(names)])
    yield np.arange(len(groups))
    for _ in range(draws):
        yield np.concatenate([members[k] for k in rng.integers(len(names), size=len(names))])


@dataclass(frozen=True)
class Drawn:
    """A quantity, Q of them, as measured and in every draw."""

    value: FloatVector  # Q
    draws: FloatVector  # draws×Q

    def intervals(self) -> list[Interval]:
        return [interval(float(v), self.draws[:, q]) for q, v in enumerate(self.value)]

    def minus(self, other: Drawn) -> Drawn:
        """Paired: both were drawn alike."""
        return Drawn(self.value - other.value, self.draws - other.draws)


def over_encoders(
    groups: IntArray, statistics: Sequence[Callable[[IntArray], FloatVector]], seed: int = 0
) -> Drawn:
    """Mean over encoders of what each says of drawn samples (Q numbers). Equal groups and seeds give paired draws.

    Encoders are drawn too; their part is widened as in `codec.evaluate.rate.curve_intervals`, for few of them hide spread.
    """
    each = np.stack([np.stack([one(index) for one in statistics]) for index in draws_of(groups, seed=seed)])
    mean, n = each.mean(axis=1), len(statistics)
    drawn = mean[1:]
    if n > 1:
        widening = (n / (n - 1)) ** 0.5 * t.ppf(0.975, n - 1) / norm.ppf(0.975)
        picks = np.random.default_rng([seed, 1]).integers(n, size=(len(drawn), n))
        picked = np.take_along_axis(each[1:], picks[:, :, None], axis=1).mean(axis=1)
        drawn = drawn + widening * (picked - drawn)
    return Drawn(mean[0], drawn)


@dataclass(frozen=True)
class Reached:
    """Bytes at which a curve reaches a level, its ends in `note` as in `codec.evaluate.rate.curve_intervals`."""

    value: float
    low: float
    high: float
    note: str


def bytes_at(sizes: FloatVector, utility: Drawn, wanted: Drawn) -> Reached:
    """Smallest bytes at which the S utilities reach the wanted one, in every draw that gives a number."""
    found = bytes_for(curve(sizes, utility.value), float(wanted.value[0]))
    defined = np.isfinite(utility.draws).all(axis=1) & np.isfinite(wanted.draws[:, 0])
    if defined.mean() < DEFINED:
        return Reached(found.size, float("nan"), float("nan"), "too few draws give a number for an interval")
    pairs = zip(utility.draws[defined], wanted.draws[defined, 0], strict=True)
    drawn = [bytes_for(curve(sizes, u), float(w)) for u, w in pairs]
    low, high = np.percentile([f.size for f in drawn], (2.5, 97.5))
    said = ["95% interval"]
    if found.end != "inside":
        said.append(f"{'at least' if found.end == 'never' else 'at most'}: not reached inside the curves")
    if np.mean([f.end == "at most" for f in drawn]) > 0.025:
        said.append("low end open")
    if np.mean([f.end == "never" for f in drawn]) > 0.025:
        said.append("high end open")
    return Reached(found.size, float(low), float(high), "; ".join(said))


def area(score: FloatVector, positive: npt.NDArray[np.bool_]) -> float:
    """Probability that a positive has a higher score than a negative (ties half); NaN without one of them."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


def rank_correlation(a: FloatVector, b: FloatVector) -> float:
    """Spearman's; NaN where one of them is the same everywhere."""
    x, y = rankdata(a), rankdata(b)
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y / scale) if scale > 0 else float("nan")


def average_precision(score: FloatVector, positive: npt.NDArray[np.bool_]) -> float:
    """Mean over positives of the precision among all that score at least as high; NaN without a positive."""
    if len(score) != len(positive):
        raise InputError("one score for each sample is needed", expected=len(positive), found=len(score))
    if not positive.any():
        return float("nan")
    at_least = rankdata(-score, method="max")
    right = rankdata(-score[positive], method="max")
    return float((right / at_least[positive]).mean())
