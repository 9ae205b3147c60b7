"""Ranks, areas and precision against hand calculation and scipy; draws are paired and see whole places."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, spearmanr

from benchmarks.open_questions.spread import (
    Drawn,
    area,
    average_precision,
    bytes_at,
    draws_of,
    over_encoders,
    rank_correlation,
)


def test_average_precision_of_a_short_list() -> None:
    # Positives at ranks 1, 3 and 4: (1/1 + 2/3 + 3/4) / 3.
    score = np.array([5.0, 4, 3, 2, 1])
    positive = np.array([True, False, True, True, False])
    assert average_precision(score, positive) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_average_precision_of_equal_scores_is_the_share_of_positives() -> None:
    assert average_precision(np.zeros(8), np.arange(8) < 2) == pytest.approx(0.25)


def test_area_and_rank_correlation_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 60).astype(float), rng.integers(0, 9, 60).astype(float)
    positive = rng.random(60) < 0.4
    assert rank_correlation(a, b) == pytest.approx(float(spearmanr(a, b).statistic))
    u = mannwhitneyu(a[positive], a[~positive]).statistic
    assert area(a, positive) == pytest.approx(float(u) / (positive.sum() * (~positive).sum()))


def test_draws_take_whole_places() -> None:
    groups = np.array([3, 3, 3, 8, 8, 5])
    first, *others = draws_of(groups, draws=20)
    assert first.tolist() == list(range(6))
    for index in others:
        for place in (3, 8, 5):
            members = np.flatnonzero(groups == place)
            counts = np.bincount(index, minlength=6)[members]
            assert len(set(counts.tolist())) == 1


def test_a_constant_difference_has_no_spread_for_draws_are_paired() -> None:
    rng = np.random.default_rng(1)
    values, groups = rng.normal(size=40), np.arange(40) // 4
    ours = over_encoders(groups, [lambda i: np.array([values[i].mean() + 1])])
    rival = over_encoders(groups, [lambda i: np.array([values[i].mean()])])
    (found,) = ours.minus(rival).intervals()
    assert found.low == pytest.approx(1)
    assert found.high == pytest.approx(1)


def test_bytes_are_interpolated_in_their_logarithm_and_open_ends_are_said() -> None:
    utility = Drawn(np.array([0.9, 0.7]), np.array([[0.9, 0.7]] * 50))
    wanted = Drawn(np.array([0.8]), np.full((50, 1), 0.8))
    inside = bytes_at(np.array([64.0, 16.0]), utility, wanted)
    assert inside.value == pytest.approx(32)
    assert inside.note == "95% interval"
    above = bytes_at(np.array([64.0, 16.0]), utility, Drawn(np.array([0.95]), np.full((50, 1), 0.95)))
    assert above.value == pytest.approx(64)
    assert "not reached" in above.note
    assert "high end open" in above.note
