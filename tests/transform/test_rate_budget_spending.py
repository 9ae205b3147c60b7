"""How a budget is shared out among records, on sizes made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from codec.errors import InputError
from codec.transform.budget import (
    Sizes,
    at_most_one,
    by_importance,
    check_amount,
    check_count,
    check_importance,
    mean_importance,
)


def sizes(low: list[int], high: list[int], order: list[int] | None = None) -> Sizes:
    return Sizes(np.array(low), np.array(high), np.array(order if order is not None else range(len(low))))


def test_records_are_coded_finer_in_order_until_the_budget_is_spent() -> None:
    of = sizes([100, 100, 100], [110, 120, 130], [2, 0, 1])
    assert of.spend(300).tolist() == [False, False, False]
    assert of.spend(330).tolist() == [False, False, True]
    assert of.spend(345).tolist() == [True, False, True]
    assert of.spend(360).tolist() == [True, True, True]
    assert of.taken(of.spend(345)) == 340


def test_a_record_that_does_not_fit_is_passed_over() -> None:
    assert sizes([100, 100], [190, 110]).spend(215).tolist() == [False, True]


def test_where_much_would_be_left_the_largest_come_first() -> None:
    of = sizes([100, 100, 100], [102, 103, 190])
    assert of.spend(392, worth=390).tolist() == [True, True, False]  # 87 bytes left, and nobody minds
    assert of.spend(392, worth=4).tolist() == [True, False, True]


def test_nothing_is_finer_below_the_lower_sizes() -> None:
    assert not sizes([100, 100], [101, 101]).spend(150).any()


def test_the_record_given_up_is_the_least_that_suffices() -> None:
    of = sizes([100, 100, 100, 100], [140, 105, 110, 110], [3, 2, 1, 0])
    assert of.to_give_up([True] * 4, 6) == 2  # saves 10, as record 3 does, which is more important
    assert of.to_give_up([True] * 4, 11) == 0
    assert of.to_give_up([False, True, True, True], 25) == 2  # none suffices: one of the largest
    assert of.to_give_up([False, True, False, False], 25) == 1


def test_order_is_by_importance_then_layer_then_plane_then_tile() -> None:
    layer, plane, first = np.array([1, 0, 0, 0]), np.array([0, 1, 0, 0]), np.array([0, 0, 9, 3])
    assert by_importance(np.ones(4), layer, plane, first).tolist() == [3, 2, 1, 0]
    assert by_importance(np.array([5.0, 1, 1, 1]), layer, plane, first).tolist() == [0, 3, 2, 1]


def test_importance_of_a_record_is_the_mean_over_its_coded_tiles() -> None:
    weights, coded = np.array([1.0, 9.0, 2.0, 4.0, 7.0]), np.array([True, False, True, True, False])
    got = mean_importance(weights, coded, np.array([0, 2, 4]), np.array([2, 2, 1]))
    assert got.tolist() == [1.0, 3.0, 0.0]


@pytest.mark.parametrize("largest", [1e308, 1.7976931348623157e308])
def test_the_largest_weights_have_means_too(largest: float) -> None:
    n_tiles = 65_536  # as many as a file may have
    weights = np.full(n_tiles, largest)
    got = mean_importance(
        weights, np.ones(n_tiles, dtype=bool), np.array([0, 4096]), np.array([4096, 61_440])
    )
    np.testing.assert_allclose(got, largest, rtol=1e-12)
    half = np.where(np.arange(n_tiles) < 4096, largest / 2, largest)
    got = mean_importance(half, np.ones(n_tiles, dtype=bool), np.array([0, 4096]), np.array([4096, 61_440]))
    assert got[0] < got[1]


@pytest.mark.parametrize("value", ["a", None, 1.5, True, float("nan"), -1, [1]])
def test_what_is_no_count_is_refused_by_name(value: object) -> None:
    with pytest.raises(InputError, match="budget is a whole number of at least 0"):
        check_count(value, "budget")
    assert check_count(np.int64(5), "budget") == 5


@pytest.mark.parametrize("value", ["a", None, True, float("nan"), float("inf"), -1.0, 0, 1j])
def test_what_is_no_amount_is_refused_by_name(value: object) -> None:
    with pytest.raises(InputError, match="budget is a finite number above 0"):
        check_amount(value, "budget")
    assert check_amount(np.float32(2.5), "budget") == 2.5


@pytest.mark.parametrize(
    "weights", ["a", [1, 2], [1, 2, "x"], [1, 2, -1], [1, np.inf, 1], [[1, 2, 3]], [1, 2, 10**400]]
)
def test_what_is_no_weight_per_tile_is_refused(weights: object) -> None:
    with pytest.raises(InputError, match="importance"):
        check_importance(weights, 3)


def test_one_of_several_choices_is_allowed() -> None:
    at_most_one(a=None, b=3)
    with pytest.raises(InputError, match="not both: a and b"):
        at_most_one(a=1, b=0)
