"""What a head reaches on a held-out part, and how that compares with calling everything one class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.heads.linear import IntArray
from codec.heads.rates import Rate
from codec.types import FloatArray

DRAWS = 2000
BINS = 15  # of the calibration error, Guo et al. 2017, equal widths


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy with its 95 % bootstrap interval over groups, beside that of the best constant answer."""

    bands: str
    rate: Rate
    accuracy: float
    low: float
    high: float
    mean_iou: float  # over the classes that occur in the truth
    n: int
    n_groups: int
    majority: int  # the commonest class of the truth
    majority_accuracy: float
    majority_mean_iou: float
    gain: float  # accuracy less that of the majority class
    gain_low: float  # paired: the same drawn groups for both
    gain_high: float
    calibration_error: float
    class_iou: tuple[float | None, ...]  # one per class; None: not in the truth

    @property
    def shows_skill(self) -> bool:
        """Whether the head is shown to beat the best constant answer."""
        return self.gain_low > 0


def expected_calibration_error(probabilities: FloatArray, truth: IntArray, bins: int = BINS) -> float:
    """Σ over bins of confidence: share of the samples × |accuracy − mean confidence| (Guo et al. 2017, equation 3)."""
    confidence = probabilities.max(-1).astype(np.float64)
    right = (probabilities.argmax(-1) == truth).astype(np.float64)
    # Bins are open below and closed above; a confidence of 1 belongs to the last.
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(index, right - confidence, bins)
    return float(np.abs(gap).sum() / len(truth))


def class_ious(predicted: IntArray, truth: IntArray, n_classes: int) -> tuple[float | None, ...]:
    """Intersection over union of each class; None where the truth does not have it."""
    found: list[float | None] = []
    for c in range(n_classes):
        both = float(((predicted == c) & (truth == c)).sum())
        either = float(((predicted == c) | (truth == c)).sum())
        found.append(both / either if (truth == c).any() else None)
    return tuple(found)


def _group_sums(values: npt.NDArray[Any], groups: IntArray) -> npt.NDArray[np.float64]:
    """Sum of the values over each group, in the order of the groups' numbers."""
    index = np.unique(groups, return_inverse=True)[1]
    return np.asarray(np.bincount(index, values.astype(np.float64)), np.float64)


def score(logits: FloatArray, truth: IntArray, groups: IntArray, bands: str, rate: Rate) -> Score:
    """Score N×K logits; groups are resampled whole, the same ones for the head and for the constant answer.

    Raises InputError without samples.
    """
    if not len(truth):
        raise InputError("no held-out sample has a class that the head knows")
    predicted = np.asarray(logits.argmax(-1), np.int64)
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    majority = int(np.bincount(truth).argmax())
    right, constant = predicted == truth, truth == majority
    ours, theirs, counts = (_group_sums(v, groups) for v in (right, constant, np.ones(len(truth))))
    n_groups = len(counts)
    weights = np.random.default_rng(0).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=DRAWS)
    drawn = weights @ counts
    low, high = np.percentile(weights @ ours / drawn, (2.5, 97.5))
    gain_low, gain_high = np.percentile(weights @ (ours - theirs) / drawn, (2.5, 97.5))
    ious = class_ious(predicted, truth, logits.shape[-1])
    present = [value for value in ious if value is not None]
    return Score(
        bands=bands,
        rate=rate,
        accuracy=float(right.mean()),
        low=float(low),
        high=float(high),
        mean_iou=float(np.mean(present)),
        n=len(truth),
        n_groups=n_groups,
        majority=majority,
        majority_accuracy=float(constant.mean()),
        majority_mean_iou=float(constant.mean()) / len(present),
        gain=float(right.mean() - constant.mean()),
        gain_low=float(gain_low),
        gain_high=float(gain_high),
        calibration_error=expected_calibration_error(powers / powers.sum(-1, keepdims=True), truth),
        class_iou=ious,
    )
