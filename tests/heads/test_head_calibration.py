"""Temperature and calibration error against scipy, hand calculation and a simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from codec.errors import InputError
from codec.heads.calibration import calibration_error, fit_temperature, log_loss, softmax


def overconfident(n: int, factor: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(z); logits are z · factor, so that the right temperature is about `factor`."""
    rng = np.random.default_rng(seed)
    z = 1.5 * rng.standard_normal((n, 4))
    p = softmax(z)
    y = (p.cumsum(1) < rng.random((n, 1))).sum(1)
    return (z * factor).astype(np.float32), np.minimum(y, 3)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_temperature_is_where_scipy_finds_the_least_log_loss(factor: float) -> None:
    logits, y = overconfident(800, factor, 0)
    oracle = minimize_scalar(
        lambda log_t: (
            -log_softmax(logits.astype(np.float64) / np.exp(log_t), axis=1)[np.arange(800), y].mean()
        ),
        bounds=(-3, 3),
        method="bounded",
        options={"xatol": 1e-8},
    )
    found = fit_temperature(logits, y)
    assert found == pytest.approx(np.exp(oracle.x), rel=1e-3)
    assert found == pytest.approx(factor, rel=0.2)
    assert log_loss(logits, y, found) < log_loss(logits, y)


def test_a_perfect_separation_has_the_coldest_temperature() -> None:
    logits = np.array([[2.0, 0], [0, 2.0]], np.float32)
    assert fit_temperature(logits, np.array([0, 1])) == pytest.approx(0.05)


def test_the_calibration_error_agrees_with_hand_calculation() -> None:
    """Two bins of two: confidences .6 .7 | .8 .9, right, wrong | right, right: (|1 − 1.3| + |2 − 1.7|) / 4."""
    p = np.array([[0.6, 0.4], [0.7, 0.3], [0.2, 0.8], [0.9, 0.1]])
    found = calibration_error(p, np.array([0, 1, 1, 0]), np.arange(4), bins=2)
    assert found.value == pytest.approx(0.15)
    assert found.n_groups == 4


def test_the_order_of_equal_confidences_does_not_matter() -> None:
    p = np.tile([[0.7, 0.3]], (10, 1))
    right = np.array([0] * 7 + [1] * 3)
    for order in (right, right[::-1], np.random.default_rng(0).permutation(right)):
        assert calibration_error(p, order, np.arange(10), bins=5).value == pytest.approx(0)


def test_bins_hold_equally_many_samples_where_widths_would_not() -> None:
    """All confidences above 0.9, upper half overconfident by 0.2, lower right: equal widths would see one bin's mean."""
    n = 1000
    confidence = np.linspace(0.9, 0.99, n)
    p = np.stack([confidence, 1 - confidence], 1)
    rng = np.random.default_rng(0)
    chance = np.where(np.arange(n) < n // 2, confidence + 0.01, confidence - 0.2)
    y = (rng.random(n) > np.minimum(chance, 1)).astype(np.int64)
    found = calibration_error(p, y, np.arange(n))
    assert found.value == pytest.approx(0.105, abs=0.035)


@pytest.mark.parametrize("error", [0.0, 0.03, 0.1], ids=["calibrated", "a little", "much"])
def test_the_interval_holds_the_simulated_truth(error: float) -> None:
    """Accuracy c − error at confidence c. Labels of a group of 5 share their luck in part."""
    hits = 0
    for seed in range(80):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(100), 5)
        confidence = rng.uniform(0.6, 1.0, 500)
        u = np.where(rng.random(500) < 0.3, rng.random(100)[groups], rng.random(500))
        right = u < confidence - error
        p = np.stack([confidence, 1 - confidence], 1)
        found = calibration_error(p, np.where(right, 0, 1), groups, draws=200, bins=5)
        hits += found.low <= error <= found.high
    assert hits >= 70  # of 80 at 95 %: fewer in 3 of 1000 repetitions


def test_a_miscalibrated_head_is_told_from_a_calibrated_one() -> None:
    logits, y = overconfident(1000, 3.0, 1)
    groups = np.arange(1000) // 4
    before = calibration_error(softmax(logits), y, groups)
    after = calibration_error(softmax(logits, fit_temperature(*overconfident(1000, 3.0, 2))), y, groups)
    assert before.low > 0.05
    assert before.value > 3 * after.value
    assert after.low == 0


def test_bad_input_has_its_own_error() -> None:
    p, y = np.full((3, 2), 0.5), np.array([0, 1, 0])
    with pytest.raises(InputError, match="needs samples"):
        calibration_error(p[:0], y[:0], y[:0])
    with pytest.raises(InputError, match="not finite"):
        calibration_error(np.where(y[:, None] == 1, np.nan, p), y, y)
    with pytest.raises(InputError, match="outside the classes"):
        fit_temperature(p.astype(np.float32), y + 1)
    with pytest.raises(InputError, match="one group"):
        calibration_error(p, y, y[:2])
