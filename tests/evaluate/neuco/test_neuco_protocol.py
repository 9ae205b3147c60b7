"""The protocol's parts by hand, and against the implementations that it was defined with."""

from __future__ import annotations

import numpy as np
import pytest

from codec.errors import InputError
from codec.evaluate.neuco.leaderboard import leaderboard, ranks
from codec.evaluate.neuco.overlap import corrected, corrected_difference, effective_splits
from codec.evaluate.neuco.probe import f1, r_squared
from codec.evaluate.neuco.protocol import Entry, Protocol, Task, quality, scaled, splits_of, standardised


def test_standardisation_is_of_all_numbers_padding_included() -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(50, 7)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (0, 1024 - 7)))
    expected = (padded - padded.mean()) / padded.std()
    found = standardised(x)
    assert found.whole.shape == (50, 1024)
    np.testing.assert_allclose(found.whole, expected, atol=1e-4)
    assert found.constant != 0


def test_vectors_of_the_cap_are_not_padded_and_equal_ones_do_not_divide_by_zero() -> None:
    assert standardised(np.ones((3, 1024), np.float32)).padding == 0
    np.testing.assert_array_equal(standardised(np.ones((3, 1024), np.float32)).values, 0)


def test_vectors_above_the_cap_are_refused_by_its_name() -> None:
    with pytest.raises(InputError, match="cap of 1024 floats"):
        Entry("long", ("a",), np.zeros((1, 1025), np.float32))


@pytest.mark.parametrize(
    ("ids", "vectors", "what"),
    [
        (("a", "b"), np.array([[1.0], [np.nan]]), "not finite.*first in item b"),
        (("a", "b"), np.array([[1.0], [np.inf]]), "not finite"),
        (("a", "a"), np.ones((2, 3)), "twice"),
        (("a",), np.ones((2, 3)), "no table"),
        ((), np.ones((0, 3)), "no table"),
    ],
)
def test_entries_that_are_no_table_of_finite_vectors_are_refused(
    ids: tuple[str, ...], vectors: np.ndarray, what: str
) -> None:
    with pytest.raises(InputError, match=what):
        Entry("entry", ids, vectors.astype(np.float32))


def test_an_entry_without_a_labelled_item_is_refused() -> None:
    entry = Entry("entry", ("a", "b"), np.ones((2, 3), np.float32))
    with pytest.raises(InputError, match="lacks 1 of 2 labelled items, first c"):
        entry.of(("b", "c"))


@pytest.mark.parametrize(
    ("kind", "labels", "what"),
    [
        ("classification", [0, 0, 0, 1], "one sample"),
        ("classification", [0, 1, 2, 2], "two classes"),
        ("classification", [1, 1, 1, 1], "equal"),
        ("regression", [2.5, 2.5, 2.5, 2.5], "equal"),
        ("regression", [1, 2, 3, np.nan], "finite"),
    ],
)
def test_labels_that_cannot_be_learnt_are_refused(kind: str, labels: list[float], what: str) -> None:
    with pytest.raises(InputError, match=what):
        Task("task", kind, ("a", "b", "c", "d"), np.array(labels, float))  # type: ignore[arg-type]


def test_labels_run_from_0_to_1() -> None:
    np.testing.assert_allclose(scaled(np.array([3.0, 5.0, 4.0])), [0, 1, 0.5])


@pytest.mark.parametrize("n", [20, 401])
def test_splits_are_those_of_scikit_learn(n: int) -> None:
    from sklearn.model_selection import ShuffleSplit

    ours = splits_of(n, Protocol())
    theirs = list(ShuffleSplit(n_splits=40, test_size=0.1, random_state=42).split(np.zeros(n)))
    np.testing.assert_array_equal(ours.train, [train for train, _ in theirs])
    np.testing.assert_array_equal(ours.held_out, [test for _, test in theirs])


def test_blocked_splits_keep_groups_whole() -> None:
    groups = np.random.default_rng(0).integers(0, 30, 200)
    splits = splits_of(200, Protocol(splits=20), groups)
    for train, held_out in zip(splits.train, splits.held_out, strict=True):
        assert not set(groups[train]) & set(groups[held_out])
    assert 0.03 < splits.ratio < 0.15


@pytest.mark.parametrize("n", [1, 3, 9])
def test_a_split_with_an_empty_part_is_refused(n: int) -> None:
    with pytest.raises(InputError, match="too few"):
        splits_of(n, Protocol())
    with pytest.raises(InputError, match="one group"):
        splits_of(50, Protocol(), np.zeros(50, np.int64))


def test_q_by_hand() -> None:
    # mean 0.85, population deviation 0.05
    assert quality([0.8, 0.9, np.nan]) == pytest.approx(2 * 0.85 / 0.07)
    assert quality([1.0, 1.0]) == pytest.approx(100)  # the largest that there is
    assert quality([-1.0, -1.0]) == pytest.approx(-100)


def test_r_squared_and_f1_by_hand() -> None:
    truth = np.array([1.0, 2.0, 3.0, 4.0])[None, :, None]
    found = np.array([1.0, 2.0, 3.0, 2.0])[None, :, None]
    assert r_squared(truth, found)[0, 0] == pytest.approx(1 - 4 / 5)
    assert np.isnan(r_squared(np.ones((1, 4, 1)), found)[0, 0])
    yes = np.array([1.0, 1.0, 0.0, 0.0, 1.0])[None, :, None]
    logits = np.array([0.1, -2.0, 3.0, -1.0, 5.0])[None, :, None]
    assert f1(yes, logits)[0, 0] == pytest.approx(2 / 3)  # two hits, one missed, one false
    assert f1(np.zeros((1, 5, 1)), -np.ones((1, 5, 1)))[0, 0] == 0


def test_the_corrected_interval_by_hand() -> None:
    # Scores 1, 2, 3, 4: s² = 5/3; with m/n = 1/9 the variance is (1/4 + 1/9)·5/3; t of 3 degrees is 3.182446.
    found = corrected(np.array([1.0, 2.0, 3.0, 4.0, np.nan]), 1 / 9)
    half = 3.182446 * ((1 / 4 + 1 / 9) * 5 / 3) ** 0.5
    assert found.value == 2.5
    assert (found.high - 2.5, 2.5 - found.low) == pytest.approx((half, half), rel=1e-6)
    assert effective_splits(40, 1 / 9) == pytest.approx(7.347, abs=1e-3)


def test_more_splits_of_the_same_items_do_not_narrow_the_interval_without_end() -> None:
    scores = np.random.default_rng(0).normal(size=4000)
    few, many = corrected(scores[:40], 1 / 9), corrected(scores, 1 / 9)
    naive = 1.96 * scores.std() / 4000**0.5
    assert many.half_width > 10 * naive
    assert many.half_width == pytest.approx(1.96 * scores.std() / 3, rel=0.01)
    assert few.half_width > many.half_width * 0.8


def test_the_corrected_interval_covers_where_the_naive_one_does_not() -> None:
    """The mean over splits estimates a population's score: sets of 60 items, scores that are means of held-out items.

    Over 300 sets the mean of 40 overlapping splits must lie within its interval of the truth, 0, about 95 % of the time;
    that of 40 supposedly independent splits does so far less often.
    """
    rng = np.random.default_rng(5)
    corrected_hits = naive_hits = 0
    for _ in range(300):
        items = rng.normal(size=60)
        scores = np.array([items[rng.permutation(60)[:6]].mean() for _ in range(40)])
        interval = corrected(scores, 6 / 54)
        corrected_hits += interval.low <= 0 <= interval.high
        naive_hits += abs(scores.mean()) <= 2.02 * scores.std(ddof=1) / 40**0.5
    assert corrected_hits >= 0.90 * 300
    assert naive_hits < 0.80 * 300


def test_paired_differences_cancel_what_the_splits_share() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(size=40)
    ours, rival = common + 0.1 + 0.01 * rng.normal(size=40), common
    assert corrected_difference(ours, rival, 1 / 9).low > 0
    assert corrected(ours, 1 / 9).low < 0
    with pytest.raises(InputError, match="same splits"):
        corrected_difference(ours, rival[:39], 1 / 9)


def test_equal_entrants_share_the_better_rank() -> None:
    np.testing.assert_array_equal(ranks(np.array([[3.0], [5.0], [5.0], [1.0]]))[:, 0], [3, 1, 1, 4])


def test_the_leaderboard_by_hand() -> None:
    # Task a: deviations of 10, 8, 6 (n − 1): 2; task b: 1, 3, 2: 1. Weights 2/3 and 1/3.
    q = {"x": {"a": 10.0, "b": 1.0}, "y": {"a": 8.0, "b": 3.0}, "z": {"a": 6.0, "b": 2.0}}
    places = {p.entry: p for p in leaderboard(q)}
    assert [p.entry for p in leaderboard(q)] == ["x", "y", "z"]
    assert places["x"].weighted_rank == pytest.approx(1 * 2 / 3 + 3 * 1 / 3)
    assert places["y"].weighted_rank == pytest.approx(2 * 2 / 3 + 1 * 1 / 3)
    assert places["z"].weighted_rank == pytest.approx(3 * 2 / 3 + 2 * 1 / 3)
    assert [places[name].place for name in "xyz"] == [1, 1, 3]  # x and y share 5/3
    assert places["x"].mean_q == 5.5


def test_a_place_depends_on_who_else_entered() -> None:
    """The weakness that makes mean Q and plain means necessary: a third entrant swaps the first two."""
    two = {"x": {"a": 10.0, "b": 1.0}, "y": {"a": 8.0, "b": 2.0}}
    three = {**two, "z": {"a": 9.9, "b": 60.0}}
    first = [p.entry for p in leaderboard(two)]
    then = [p.entry for p in leaderboard(three) if p.entry != "z"]
    assert (first, then) == (["x", "y"], ["y", "x"])


def test_an_entrant_without_a_task_is_refused() -> None:
    with pytest.raises(InputError, match="'y' was not scored"):
        leaderboard({"x": {"a": 1.0}, "y": {"b": 1.0}})
