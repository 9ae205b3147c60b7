"""Scores, calibration errors and what a card says about skill, by hand calculation."""

from __future__ import annotations

import numpy as np
import pytest

from codec.errors import InputError
from codec.heads.card import limits
from codec.heads.fit import FittedHead
from codec.heads.linear import LinearHead
from codec.heads.rates import Rate
from codec.heads.score import Score, class_ious, expected_calibration_error, score
from codec.heads.tasks import TASKS

PLAIN = Rate(None, float("inf"))
COARSE = Rate(48, 40.0)


def logits_of(predicted: list[int], n_classes: int = 2, confidence: float = 0.9) -> np.ndarray:
    """Logits whose softmax gives `confidence` to the predicted class and shares the rest."""
    p = np.full((len(predicted), n_classes), (1 - confidence) / (n_classes - 1), np.float32)
    p[np.arange(len(predicted)), predicted] = confidence
    return np.log(p)


def fitted(*scores: Score, classes: tuple[str, ...] = ("clear", "cloud")) -> FittedHead:
    task = next(task for task in TASKS if task.name == "cloud")
    head = LinearHead(np.zeros((1, len(classes)), np.float32), np.zeros(len(classes), np.float32))
    return FittedHead(task, classes, head, (PLAIN, COARSE), 0.1, "places", scores, "val")


def test_score_by_hand() -> None:
    truth = np.array([0, 0, 0, 1])
    found = score(logits_of([0, 0, 1, 1]), truth, np.array([1, 1, 2, 2]), "12", PLAIN)
    assert found.accuracy == 0.75
    assert found.mean_iou == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found.class_iou == pytest.approx((2 / 3, 1 / 2))
    # Groups have accuracies 1 and ½, a constant 0 has 1 and ½ too: the draws are (1,1), (1,½), (½,½).
    assert (found.low, found.high) == (0.5, 1.0)
    assert (found.majority, found.majority_accuracy, found.gain) == (0, 0.75, 0.0)
    assert (found.gain_low, found.gain_high) == (0.0, 0.0)
    assert found.majority_mean_iou == pytest.approx((3 / 4 + 0) / 2)
    assert found.n_groups == 2
    assert not found.shows_skill


def test_the_gain_is_paired_over_groups() -> None:
    """Each group has one token of each class and the head is right on both: gain ½ in every draw."""
    truth = np.tile([0, 1], 10)
    found = score(logits_of(truth.tolist()), truth, np.arange(20) // 2, "all", PLAIN)
    assert (found.gain, found.gain_low, found.gain_high) == (0.5, 0.5, 0.5)
    assert found.shows_skill


def test_calibration_error_by_hand() -> None:
    """Two bins: confidence 0.9 and right in half, confidence 0.6 and always right."""
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]], np.float32)
    truth = np.array([0, 1, 0, 1])
    assert expected_calibration_error(p, truth) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4, abs=1e-6)


def test_a_sure_and_right_head_is_calibrated() -> None:
    assert expected_calibration_error(np.eye(3, dtype=np.float32), np.arange(3)) == 0.0


def test_no_sample_is_refused() -> None:
    with pytest.raises(InputError, match="no held-out sample"):
        score(np.zeros((0, 2), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64), "all", PLAIN)


def test_a_class_without_truth_has_no_intersection_over_union() -> None:
    assert class_ious(np.array([0, 2, 0]), np.array([0, 0, 0]), 3) == (pytest.approx(2 / 3), None, None)


def test_a_head_without_skill_says_so_with_its_numbers() -> None:
    truth = np.array([1, 1, 1, 0] * 4)
    poor = score(logits_of([1] * 16), truth, np.arange(16) // 4, "all", PLAIN)
    (first, second, third) = limits(fitted(poor))
    assert "not shown to be better than calling everything cloud (75.0 % against 75.0 %)" in first
    assert "every rate" in second
    assert "clear (intersection over union 0.0 %)" in third


def test_a_head_that_is_worse_than_a_constant_says_worse() -> None:
    truth = np.array([1, 1, 1, 0] * 4)
    bad = score(logits_of([0] * 16), truth, np.arange(16) // 4, "all", PLAIN)
    assert "is worse than calling everything cloud (25.0 % against 75.0 %)" in limits(fitted(bad))[0]


def test_conditions_without_skill_are_named_beside_those_with_it() -> None:
    truth = np.tile([0, 1], 10)
    good = score(logits_of(truth.tolist()), truth, np.arange(20) // 2, "all", PLAIN)
    poor = score(logits_of([0] * 20), truth, np.arange(20) // 2, "3", COARSE)
    said = limits(fitted(good, poor))
    assert said == ["not shown to be better than calling everything clear with 3 bands index 48"]
    assert limits(fitted(good)) == []


def test_classes_that_were_not_tested_are_named() -> None:
    truth = np.tile([0, 1], 10)
    good = score(logits_of(truth.tolist(), 3), truth, np.arange(20) // 2, "all", PLAIN)
    assert limits(fitted(good, classes=("clear", "cloud", "snow"))) == [
        "not tested, for lack of held-out samples: snow"
    ]
