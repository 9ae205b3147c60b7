"""95 % bootstrap intervals that resample whole places and, where there are several, seeds.

A score is kept as sums: an array S×G×F of what its statistic needs, added up over the samples of one group (a
1-degree cell, a block of a scene), for each of S seeds. For an accuracy F = 2 (right, counted); for macro-F1 and mean
IoU F = K·K, the confusion matrix. The statistic of a draw is the mean over the drawn seeds of the statistic of the sums
over the drawn groups. Ours and a rival share the drawn groups (that is what makes a difference *paired*); their seeds are
drawn apart, because seed 1 of one has nothing in common with seed 1 of the other, unless both are the same encoders.
The variance between three seeds comes out a third too small (a bootstrap of three values); the places dominate here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.errors import InputError

FloatVector = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Statistic = Callable[[FloatVector], FloatVector]  # …×F → …
DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Of a paired difference: the smallest that this set can tell from none."""
        return (self.high - self.low) / 2

    def scaled(self, factor: float) -> Interval:
        return Interval(self.value * factor, self.low * factor, self.high * factor)


def mean_of(sums: FloatVector) -> FloatVector:
    """Statistic of sums (values, counts): their mean."""
    return np.asarray(sums[..., 0] / sums[..., 1], np.float64)


def mean_sums(values: FloatVector, groups: IntArray) -> FloatVector:
    """Scores of N samples, S×N (or N, one seed), as sums S×G×2 for `mean_of`; groups in the order of their numbers."""
    values = np.atleast_2d(np.asarray(values, np.float64))
    if values.shape[1] != len(groups) or not len(groups):
        raise InputError("one group per score is needed", expected=values.shape[1], found=len(groups))
    names, index = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(values), len(names), 2))
    for s, row in enumerate(values):
        sums[s, :, 0] = np.bincount(index, row, len(names))
        sums[s, :, 1] = np.bincount(index, minlength=len(names))
    return sums


def _point(sums: FloatVector, statistic: Statistic) -> float:
    return float(statistic(sums.sum(1)).mean())


def _per_seed(sums: FloatVector, weights: FloatVector, statistic: Statistic) -> FloatVector:
    """Statistic of each seed and draw, S×draws; `weights` draws×G says how often each group was drawn."""
    return np.stack([statistic(weights @ one) for one in sums])


def _over_seeds(per_seed: FloatVector, rng: np.random.Generator) -> FloatVector:
    """Each draw's mean over as many drawn seeds."""
    if len(per_seed) == 1:
        return np.asarray(per_seed[0], np.float64)
    picks = rng.integers(len(per_seed), size=per_seed.shape)
    return np.asarray(np.take_along_axis(per_seed, picks, axis=0).mean(0), np.float64)


def bootstrap(
    ours: FloatVector,
    rival: FloatVector | None = None,
    *,
    statistic: Statistic = mean_of,
    same_seeds: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """The statistic of `ours` (S×G×F), or its difference to that of `rival` over the same groups, with its interval.

    `same_seeds`: row s of both sides is the same encoder under two conditions, so seeds are drawn together.
    """
    value, drawn = drawn_values(
        ours, rival, statistic=statistic, same_seeds=same_seeds, draws=draws, seed=seed
    )
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return Interval(value, float(low), float(high))


def drawn_values(
    ours: FloatVector,
    rival: FloatVector | None = None,
    *,
    statistic: Statistic = mean_of,
    same_seeds: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, FloatVector]:
    """What `bootstrap` makes its interval of: the value, and that of each draw."""
    if same_seeds and rival is not None and len(rival) != len(ours):
        raise InputError("the same seeds on both sides are needed", expected=len(ours), found=len(rival))
    if ours.ndim != 3 or (rival is not None and rival.shape[1:] != ours.shape[1:]):
        raise InputError(
            "sums are seeds × groups × parts, with the same groups on both sides",
            expected=ours.shape,
            found=None if rival is None else rival.shape,
        )
    rng = np.random.default_rng(seed)
    groups = ours.shape[1]
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws).astype(np.float64)
    value, values = _point(ours, statistic), _per_seed(ours, weights, statistic)
    if rival is None:
        return value, _over_seeds(values, rng)
    value, others = value - _point(rival, statistic), _per_seed(rival, weights, statistic)
    if same_seeds:
        return value, _over_seeds(values - others, rng)
    return value, _over_seeds(values, rng) - _over_seeds(others, rng)


def confusion_sums(truth: IntArray, found: IntArray, groups: IntArray, n_classes: int) -> FloatVector:
    """Confusion matrices per group, S×G×K·K (row: truth), of predictions S×N (or N)."""
    found = np.atleast_2d(found)
    names, index = np.unique(groups, return_inverse=True)
    cells = n_classes * n_classes
    flat = (index * cells + truth * n_classes)[None, :] + found
    return np.stack(
        [np.bincount(row, minlength=len(names) * cells).reshape(len(names), cells) for row in flat]
    ).astype(np.float64)


def _matrix(sums: FloatVector) -> FloatVector:
    k = round(sums.shape[-1] ** 0.5)
    return sums.reshape(*sums.shape[:-1], k, k)


def accuracy_of(sums: FloatVector) -> FloatVector:
    """Statistic of confusion sums: share on the diagonal."""
    matrix = _matrix(sums)
    return np.asarray(np.trace(matrix, axis1=-2, axis2=-1) / matrix.sum((-2, -1)), np.float64)


def _over_classes(matrix: FloatVector, extra: float) -> FloatVector:
    """Mean over the classes that occur in the truth of hits·(1+extra) / (truth + found − hits·(1−extra))."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    truth, found = matrix.sum(-1), matrix.sum(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (1 + extra) * hits / (truth + found - (1 - extra) * hits)
    return np.asarray(np.nanmean(np.where(truth > 0, share, np.nan), axis=-1), np.float64)


def macro_f1_of(sums: FloatVector) -> FloatVector:
    """Statistic of confusion sums: F1 = 2·hits / (truth + found), mean over the classes that occur in the truth."""
    return _over_classes(_matrix(sums), 1.0)


def mean_iou_of(sums: FloatVector) -> FloatVector:
    """Statistic of confusion sums: IoU = hits / (truth + found − hits), mean over the classes of the truth."""
    return _over_classes(_matrix(sums), 0.0)
