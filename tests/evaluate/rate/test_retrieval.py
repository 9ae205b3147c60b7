"""Retrieval measures against hand calculations and brute force over orders."""

from __future__ import annotations

from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError
from codec.evaluate.intervals import bootstrap
from codec.evaluate.rate.retrieval import (
    Neighbours,
    Visits,
    average_precision_at,
    chance_within,
    exact_neighbours,
    naip_years,
    overlap_at,
    recall_across_years,
    similarities,
    vectors,
)
from codec.evaluate.rate.types import Planes, TileSet


def visits_of(year: list[int], place: list[int]) -> Visits:
    n = len(year)
    tiles = TileSet(
        "made", ("red",), np.zeros((n, 1, 8, 8), np.float32), np.ones((n, 1), bool), np.ones((n, 8, 8), bool),
        np.array(year), np.zeros((n, 2), np.int64), np.array(place),
    )  # fmt: skip
    return Visits(tiles, np.array(year), np.array(place))


def directions(*degrees: float) -> np.ndarray:
    angle = np.deg2rad(np.array(degrees))
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def test_recall_of_a_ranking_made_by_hand() -> None:
    # Three places in two years. By angle, place 0 finds itself first, place 1 second (25° is nearer to 20° than 34°),
    # place 2 first; backwards 0 → 0 first, 1 (34°) → 1 (25°) first, 2 → 2 first.
    visits = visits_of([2012] * 3 + [2019] * 3, [0, 1, 2, 0, 1, 2])
    x = directions(18, 25, 80, 20, 34, 85)
    top1, top2 = recall_across_years(x, visits, 1), recall_across_years(x, visits, 2)
    np.testing.assert_array_equal(top1.values, [1, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(top2.values, 1)
    assert top1.mean == pytest.approx(5 / 6)


def test_equal_vectors_find_by_chance_only() -> None:
    visits = visits_of([2012] * 5 + [2019] * 5, [*range(5)] * 2)
    same = np.ones((10, 4), np.float32)
    np.testing.assert_allclose(recall_across_years(same, visits, 1).values, 1 / 5)
    np.testing.assert_allclose(recall_across_years(np.zeros_like(same), visits, 2).values, 2 / 5)


def test_recall_is_the_mean_over_the_other_years() -> None:
    visits = visits_of([2012, 2012, 2015, 2015, 2019, 2019], [0, 1] * 3)
    x = directions(0, 90, 0, 90, 90, 0)  # 2019 is swapped
    np.testing.assert_allclose(recall_across_years(x, visits, 1).values, [0.5, 0.5, 0.5, 0.5, 0, 0])


def test_an_uncompressed_archive_can_be_searched_with_decoded_queries() -> None:
    visits = visits_of([2012, 2012, 2019, 2019], [0, 1, 0, 1])
    exact, lost = directions(0, 90, 5, 85), np.ones((4, 2), np.float32)
    assert recall_across_years(exact, visits, 1, database=exact).mean == 1
    assert recall_across_years(exact, visits, 1, database=lost).mean == 0.5


def test_a_place_without_another_year_is_refused() -> None:
    with pytest.raises(InputError, match="one year only"):
        recall_across_years(directions(0, 90, 0), visits_of([2012, 2012, 2019], [0, 1, 0]), 1)


def test_chances_add_up_to_the_places_of_the_list() -> None:
    rng = np.random.default_rng(0)
    similarity = rng.integers(0, 4, size=(20, 30)).astype(float)
    for k in (1, 5, 29):
        np.testing.assert_allclose(chance_within(similarity, k).sum(1), k)


@pytest.mark.parametrize("seed", range(8))
def test_measures_are_expectations_over_all_orders_of_equal_items(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = 7, 3
    # Three directions of exact cosines, so that many similarities are equal.
    values = np.array([[1, 0], [0, 1], [1, 1]], np.float32)[rng.integers(0, 3, n)]
    relevant = np.zeros((n, n), bool)
    for q in range(n):
        relevant[q, rng.choice([i for i in range(n) if i != q], k, replace=False)] = True
    neighbours = Neighbours(relevant, ~np.eye(n, dtype=bool), np.arange(n), k)
    lengths = np.linalg.norm(values, axis=1)
    cosines = np.round(values @ values.T / np.outer(lengths, lengths), 6)
    overlap, precision = np.zeros(n), np.zeros(n)
    for q in range(n):
        orders = [
            order
            for order in permutations([i for i in range(n) if i != q])
            if all(cosines[q, a] >= cosines[q, b] for a, b in pairwise(order))
        ]
        for order in orders:
            hits = np.array([relevant[q, i] for i in order[:k]])
            overlap[q] += hits.sum() / k / len(orders)
            precision[q] += (np.cumsum(hits) / np.arange(1, k + 1) * hits).sum() / k / len(orders)
    np.testing.assert_allclose(overlap_at(neighbours, values).values, overlap, atol=1e-12)
    np.testing.assert_allclose(average_precision_at(neighbours, values).values, precision, atol=1e-12)


def test_average_precision_of_a_ranking_made_by_hand() -> None:
    # Query at 0°, exact neighbours 10°, 20°, 30° (k = 3). Decoded order: 20° (hit), 60° (miss), 10° (hit), 30°.
    exact = directions(0, 10, 20, 30, 60)
    neighbours = exact_neighbours(exact, np.arange(5), 3)
    decoded = directions(0, 12, 1, 70, 5)
    expected = (1 / 1 + 0 + 2 / 3) / 3
    assert average_precision_at(neighbours, decoded).values[0] == pytest.approx(expected)
    assert overlap_at(neighbours, decoded).values[0] == pytest.approx(2 / 3)


def test_the_largest_cosine_is_the_smallest_distance_of_unit_vectors() -> None:
    values = np.random.default_rng(1).normal(size=(80, 16)).astype(np.float32)
    ours = exact_neighbours(values, np.arange(80), 10).relevant
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    for q in range(80):
        distance = ((unit - unit[q]) ** 2).sum(1)
        assert set(np.flatnonzero(ours[q])) == set(np.argsort(distance)[1:11])


def test_the_exact_ranking_scores_one_and_noise_lowers_both_measures() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(120, 32)).astype(np.float32)
    neighbours = exact_neighbours(values, np.arange(120) // 4, 10)
    assert overlap_at(neighbours, values).mean == 1
    assert average_precision_at(neighbours, values).mean == 1
    noisy = [
        overlap_at(neighbours, (values + s * rng.normal(size=values.shape)).astype(np.float32)).mean
        for s in (0.1, 0.5, 2)
    ]
    assert 1 > noisy[0] > noisy[1] > noisy[2]


def test_tiles_of_the_own_group_can_be_left_out() -> None:
    groups = np.array([0, 0, 0, 1, 1, 1])
    near = exact_neighbours(directions(0, 1, 2, 40, 41, 42), groups, 2, beyond_group=True)
    assert not near.relevant[:3, :3].any()
    assert not near.relevant[3:, 3:].any()


@pytest.mark.parametrize("k", [0, 5, 9])
def test_a_list_that_says_nothing_is_refused(k: int) -> None:
    with pytest.raises(InputError, match="say nothing"):
        exact_neighbours(directions(0, 1, 2, 3, 4, 5), np.arange(6), k)


def test_length_does_not_matter_and_no_direction_is_like_nothing() -> None:
    x = directions(0, 45, 90)
    scaled = x * np.array([[1], [100], [1e-3]], np.float32)
    np.testing.assert_allclose(similarities(scaled, x), np.cos(np.deg2rad([[0, 45, 90], [45, 0, 45], [90, 45, 0]])),
                               atol=1e-6)  # fmt: skip
    assert not similarities(np.zeros((1, 2), np.float32), x).any()


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        similarities(np.full((1, 2), np.nan, np.float32), directions(0))


def test_vectors_are_means_of_valid_tokens() -> None:
    tokens = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    validity = np.array([[[True, False], [False, True]]])
    np.testing.assert_array_equal(vectors(Planes({"tokens": tokens}, validity)), [[3.0, 4.0]])


def test_a_method_that_equals_its_rival_differs_by_nothing() -> None:
    values = np.random.default_rng(3).normal(size=(60, 8)).astype(np.float32)
    scores = overlap_at(exact_neighbours(values, np.arange(60) // 3, 5), (values > 0).astype(np.float32))
    paired = bootstrap(scores.sums(), scores.sums(), draws=200)
    assert (paired.value, paired.low, paired.high) == (0, 0, 0)


def test_the_same_place_is_found_in_another_year_far_above_chance(shared_data: Path) -> None:
    """Real tiles: mean colours alone find the place of another year more often than a guess."""
    visits = naip_years(shared_data, ("blue", "green", "red", "nir"))
    per_year = 11 * (140 // 64 + 234 // 64)
    assert np.bincount(np.unique(visits.year, return_inverse=True)[1]).tolist() == [per_year] * 3
    assert len(np.unique(visits.place)) == per_year
    colours = visits.tiles.pixels.mean((2, 3))
    top5 = recall_across_years((colours - colours.mean(0)).astype(np.float32), visits, 5)
    assert top5.mean > 1.5 * 5 / per_year


def test_a_place_lies_at_the_same_pixels_in_every_year(shared_data: Path) -> None:
    """Against the file: the tile of the test window's second row and third column, in 2015."""
    import rasterio

    visits = naip_years(shared_data, ("red",), splits=("test",))
    of = (visits.year == 2015) & (visits.tiles.place == (1, 2)).all(1)
    with rasterio.open(shared_data / "naip_prairie" / "20150926.jp2") as source:
        digital = source.read(1)[64:128, 700 + 128 : 700 + 192]
    np.testing.assert_allclose(visits.tiles.pixels[of][0, 0], digital * (0.4 / 255), rtol=1e-5)
