"""How far probabilities can be believed: temperature scaling on validation, and the calibration error with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.heads.softmax_path import cross_entropy
from codec.types import FloatArray

IntArray = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]
BINS = 15
DRAWS = 2000
_RANGE = (0.05, 20.0)  # temperatures looked at


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Expected calibration error in bins of equal mass, and its 95 % interval over groups."""

    value: float
    low: float
    high: float
    n_groups: int


def softmax(logits: FloatArray, temperature: float = 1.0) -> FloatVector:
    """Probabilities n×K of logits / temperature, float64."""
    z = logits.astype(np.float64) / temperature
    z = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(z / z.sum(-1, keepdims=True), np.float64)


def fit_temperature(logits: FloatArray, y: IntArray, weight: FloatVector | None = None) -> float:
    """The temperature T in 0.05 … 20 of the least weighted log-loss of logits / T (Guo et al. 2017, section 4.2).

    logits n×K of a *validation* part, y n. The loss is convex in 1/T, so that bisecting its slope finds the least. Raises
    InputError as `calibration_error`.
    """
    _check(logits, y)
    share = np.full(len(y), 1 / len(y)) if weight is None else weight / weight.sum()
    right = np.take_along_axis(logits.astype(np.float64), y[:, None], -1)[:, 0]

    def slope(inverse: float) -> float:
        """Of the log-loss along 1/T: mean logit expected less the one that was right."""
        expected = (softmax(logits, 1 / inverse) * logits).sum(-1)
        return float(share @ (expected - right))

    low, high = 1 / _RANGE[1], 1 / _RANGE[0]
    for _ in range(60):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if slope(middle) <= 0 else (low, middle)
    return float(1 / np.sqrt(low * high))


def log_loss(logits: FloatArray, y: IntArray, temperature: float = 1.0) -> float:
    """Mean log-loss in nats of logits / temperature."""
    _check(logits, y)
    return float(cross_entropy(logits / np.float32(temperature), y).mean())


def calibration_error(
    probabilities: FloatVector | FloatArray,
    y: IntArray,
    groups: IntArray,
    *,
    bins: int = BINS,
    draws: int = DRAWS,
    seed: int = 0,
) -> CalibrationError:
    """Σ over bins of share × |accuracy − mean confidence| of the top class, bins holding equally many samples each.

    probabilities n×K, y n, groups n: places or blocks, resampled whole. Noise in a bin is never negative error, so that the
    value is too large, most of all where nothing is wrong, and percentiles of a bootstrap are too large twice over: those
    of a calibrated head never hold its truth. The low end is therefore the value less what the draws' noise in the bins
    alone would make of a calibrated head (its 97.5 percentile), the high end the value and 1.96 standard errors. By
    simulation it holds the truth in 92 to 99 of 100 sets. Bins keep the edges that the whole sample gives. Fewer samples
    than bins make as many bins as samples. Raises InputError for an empty set, labels outside the classes and
    probabilities that are not finite.
    """
    _check(probabilities, y)
    if len(groups) != len(y):
        raise InputError("one group per sample is needed", expected=len(y), found=len(groups))
    confidence = probabilities.max(-1).astype(np.float64)
    gap = (probabilities.argmax(-1) == y) - confidence
    bins = min(bins, len(y))
    order = np.argsort(confidence, kind="stable")
    bin_of = np.empty(len(y), np.int64)
    bin_of[order] = np.arange(len(y)) * bins // len(y)
    # Equal confidences share a bin: which of two equal samples comes first is an accident of storage.
    names, index = np.unique(confidence, return_inverse=True)
    first = np.full(len(names), bins)
    np.minimum.at(first, index, bin_of)
    bin_of = first[index]
    group = np.unique(groups, return_inverse=True)[1]
    n_groups = int(group.max()) + 1
    sums = np.bincount(group * bins + bin_of, gap, n_groups * bins).reshape(n_groups, bins)
    counts = np.bincount(group, minlength=n_groups).astype(np.float64)
    value = float(np.abs(sums.sum(0)).sum() / counts.sum())
    drawn = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws)
    gaps = (drawn @ sums) / (drawn @ counts)[:, None]
    noise = np.abs(gaps - sums.sum(0) / counts.sum()).sum(1)
    low = value - float(np.percentile(noise, 97.5))
    high = value + 1.96 * float(np.abs(gaps).sum(1).std())
    return CalibrationError(value, max(low, 0.0), high, n_groups)


def _check(scores: FloatArray | FloatVector, y: IntArray) -> None:
    if len(y) == 0 or scores.ndim != 2 or len(scores) != len(y):
        raise InputError(
            "calibration needs samples, and one label for each", expected=scores.shape, found=len(y)
        )
    if not np.isfinite(scores).all():
        raise InputError("a score is not finite")
    if y.min() < 0 or y.max() >= scores.shape[1]:
        raise InputError(
            "a label lies outside the classes",
            expected=f"0 … {scores.shape[1] - 1}",
            found=(int(y.min()), int(y.max())),
        )
