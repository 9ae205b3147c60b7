"""Intervals of a mean over splits that share most of their items.

Forty random splits of one set are not forty experiments: any two share about 81 % of their training items, so the variance
of their mean does not fall as 1/40. Nadeau and Bengio (Inference for the generalization error, Machine Learning 52, 2003)
correct the sample variance of J resampled scores to (1/J + m/n)·s² for m held-out and n training items. With 10 % held out
the forty splits are worth 1/(1/40 + 1/9) ≈ 7.3 independent ones. The correction is for random splits and, exactly, for
the difference of two methods on the same splits; it is what is done with the forty scores of one method, too.
"""

from __future__ import annotations

import numpy as np

from codec.errors import InputError
from codec.evaluate.intervals import Interval
from codec.evaluate.rate.types import FloatVector


def effective_splits(n_splits: int, ratio: float) -> float:
    """How many independent splits these are worth; `ratio` held-out to training items."""
    return 1 / (1 / n_splits + ratio)


def corrected(scores: FloatVector, ratio: float) -> Interval:
    """Mean of the defined scores (NaN: not defined) with its corrected 95 % interval, Student's t of J − 1 degrees."""
    from scipy.special import stdtrit

    values = scores[np.isfinite(scores)]
    if len(values) < 2:
        raise InputError("fewer than two splits have a score", found=len(values))
    mean, variance = float(values.mean()), float(values.var(ddof=1))
    half = float(stdtrit(len(values) - 1, 0.975)) * np.sqrt(variance / effective_splits(len(values), ratio))
    return Interval(mean, mean - half, mean + half)


def corrected_difference(ours: FloatVector, rival: FloatVector, ratio: float) -> Interval:
    """Of two methods on the same splits."""
    if ours.shape != rival.shape:
        raise InputError("a paired difference needs the same splits", expected=rival.shape, found=ours.shape)
    return corrected(ours - rival, ratio)
