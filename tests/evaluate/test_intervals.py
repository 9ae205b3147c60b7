"""Intervals and dense metrics against brute force and hand calculation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from codec.errors import InputError
from codec.evaluate.intervals import (
    accuracy_of,
    bootstrap,
    confusion_sums,
    macro_f1_of,
    mean_iou_of,
    mean_sums,
)


def brute_force(
    ours: np.ndarray, rival: np.ndarray, groups: np.ndarray, draws: int, seed: int
) -> tuple[float, float, float]:
    """The paired interval written out: draw whole groups and, apart for each side, seeds; subtract the plain means."""
    rng = np.random.default_rng(seed)
    names = np.unique(groups)
    found = []
    for _ in range(draws):
        members = np.concatenate([np.flatnonzero(groups == g) for g in rng.choice(names, len(names))])
        a = np.mean([ours[s][members].mean() for s in rng.integers(len(ours), size=len(ours))])
        b = np.mean([rival[s][members].mean() for s in rng.integers(len(rival), size=len(rival))])
        found.append(a - b)
    low, high = np.percentile(found, (2.5, 97.5))
    return ours.mean() - rival.mean(), low, high


def test_a_paired_interval_is_what_a_brute_force_bootstrap_gives() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(24), rng.integers(1, 6, 24))
    easy = rng.random(len(groups))  # shared by both sides: pairing must take it out
    ours = (rng.random((3, len(groups))) < 0.4 + 0.5 * easy).astype(float)
    rival = (rng.random((2, len(groups))) < 0.2 + 0.5 * easy).astype(float)
    value, low, high = brute_force(ours, rival, groups, 6000, 1)
    found = bootstrap(mean_sums(ours, groups), mean_sums(rival, groups), draws=6000)
    assert found.value == pytest.approx(value)
    spread = high - low  # both ends are Monte Carlo estimates; 6000 draws know a quantile to about 2 % of it
    assert found.low == pytest.approx(low, abs=0.05 * spread)
    assert found.high == pytest.approx(high, abs=0.05 * spread)
    assert found.half_width == pytest.approx((found.high - found.low) / 2)


def test_two_groups_give_exactly_the_three_possible_means() -> None:
    """Groups of means 0 and 1 and equal size: a draw of two gives 0, 1/2 or 1, with 1/4, 1/2, 1/4."""
    possible = [np.mean(pair) for pair in itertools.product((0.0, 1.0), repeat=2)]
    found = bootstrap(mean_sums(np.array([0.0, 0.0, 1.0, 1.0]), np.array([7, 7, 9, 9])), draws=4000)
    assert (found.value, found.low, found.high) == (0.5, min(possible), max(possible))


def test_equal_sides_differ_by_nothing_however_large_the_spread_of_places() -> None:
    values = np.random.default_rng(0).random(50)
    sums = mean_sums(values, np.arange(50) // 5)
    found = bootstrap(sums, sums)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)
    alone = bootstrap(sums)
    assert alone.low < values.mean() < alone.high


def test_seeds_widen_the_interval() -> None:
    """One place where every seed is constant: all of the spread is between the seeds."""
    groups = np.zeros(10, np.int64)
    one = bootstrap(mean_sums(np.full(10, 0.5), groups))
    three = bootstrap(mean_sums(np.array([[0.4], [0.5], [0.6]]) * np.ones(10), groups))
    assert one.high - one.low == 0.0
    assert three.low == pytest.approx(0.4, abs=0.02)
    assert three.high == pytest.approx(0.6, abs=0.02)


def test_dense_metrics_agree_with_hand_calculation() -> None:
    """Truth 0 0 0 1 1 2, found 0 0 1 1 2 2: F1 of the classes 4/5, 1/2, 2/3; IoU 2/3, 1/3, 1/2."""
    truth, found = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    groups = np.array([0, 0, 1, 1, 2, 2])
    sums = confusion_sums(truth, found, groups, 4)  # class 3 never occurs and must not count
    assert sums.shape == (1, 3, 16)
    total = sums.sum(1)
    assert accuracy_of(total)[0] == pytest.approx(4 / 6)
    assert macro_f1_of(total)[0] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert mean_iou_of(total)[0] == pytest.approx((2 / 3 + 1 / 3 + 1 / 2) / 3)


def test_sides_over_other_groups_cannot_be_paired() -> None:
    with pytest.raises(InputError, match="same groups"):
        bootstrap(mean_sums(np.ones(4), np.arange(4)), mean_sums(np.ones(4), np.zeros(4, np.int64)))
