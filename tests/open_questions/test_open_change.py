"""Distances between dates, and what takes a shift of a whole date off."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.open_questions.change import distance, less_dates


def test_distances_of_two_vectors_by_hand() -> None:
    a, b = np.array([3.0, 0.0], np.float32), np.array([0.0, 4.0], np.float32)
    assert distance(a, b, "L2") == pytest.approx(5)
    assert distance(a, b, "cosine") == pytest.approx(1)
    assert distance(a, 2 * a, "cosine") == pytest.approx(0, abs=1e-6)


def test_a_shift_of_a_whole_date_is_taken_off_and_unmeasured_tokens_do_not_count() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(4, 2, 2, 3)).astype(np.float32)
    tokens = np.concatenate([first, first + np.float32(7)])
    valid = np.ones((8, 2, 2), bool)
    valid[[1, 5], 0, 0] = False
    tokens[[1, 5], 0, 0] = 1000
    found = less_dates(tokens, valid, np.array([10] * 4 + [11] * 4))
    np.testing.assert_allclose(found[:4][valid[:4]], found[4:][valid[4:]], atol=1e-5)
    np.testing.assert_allclose(found[:4][valid[:4]].mean(axis=0), 0, atol=1e-5)
