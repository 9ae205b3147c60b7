"""Token labels are majorities of pixels, and labelled tiles keep pixels, masks and places together."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from codec.data.aerial import aerial_scenes, reduced
from codec.data.labelled import (
    BLOCKS_PER_PLACE,
    EUROSAT_CLASSES,
    UNLABELLED,
    LabelledTiles,
    cut,
    eurosat_scenes,
    place_bands,
    token_labels,
)
from codec.data.raster import Raster
from codec.data.sun import latitude_deg, sine_of_sun_elevation
from codec.data.token_tasks import EUROSAT, cloud, landcover, water, water_index, whole_tiles
from codec.errors import InputError
from codec.models.bands import RGB_BANDS, S2_NANO_BANDS

TOKEN_TASKS = {"landcover": landcover, "water": water, "cloud": cloud}


def test_a_token_has_the_label_of_sixty_percent_of_its_pixels() -> None:
    mask = np.zeros((8, 24), np.int64)
    mask[:5, :8] = 1  # 40 of 64 pixels: 62.5 %
    mask[:4, 8:16] = 1  # 50 %: undecided
    mask[:, 16:] = UNLABELLED
    assert token_labels(mask).tolist() == [[1, UNLABELLED, UNLABELLED]]


def test_unlabelled_pixels_do_not_win_and_do_not_vote() -> None:
    mask = np.full((8, 8), UNLABELLED, np.int64)
    mask[:4] = 1
    assert token_labels(mask).tolist() == [[UNLABELLED]]
    mask[:5] = 1
    assert token_labels(mask).tolist() == [[1]]
    assert token_labels(np.full((8, 16), UNLABELLED, np.int64)).tolist() == [[UNLABELLED, UNLABELLED]]


def test_bands_are_placed_by_name() -> None:
    pixels = np.stack([np.full((2, 2), v, np.float32) for v in (3.0, 1.0)])
    placed, present = place_bands(pixels, ("red", "blue"), ("blue", "green", "red"))
    assert placed[:, 0, 0].tolist() == [1.0, 0.0, 3.0]
    assert present.tolist() == [True, False, True]


def test_windows_of_one_block_share_a_group_and_other_places_do_not() -> None:
    image = Raster("x", "x", ("red",), np.zeros((1, 128, 192), np.uint8), 1.0, 0.0, np.ones((128, 192), bool))
    labels = np.zeros((128, 192), np.int64)
    first = [part[4] for part in cut(image, labels, ("red",), 3, 64)]
    assert first == [300, 301, 302, 310, 311, 312]
    assert set(first).isdisjoint(part[4] for part in cut(image, labels, ("red",), 4, 64))
    assert {part[4] for part in cut(image, labels, ("red",), 3, 32)} == set(first)


def test_windows_without_a_label_are_left_out() -> None:
    image = Raster("x", "x", ("red",), np.zeros((1, 64, 128), np.uint8), 1.0, 0.0, np.ones((64, 128), bool))
    labels = np.full((64, 128), UNLABELLED, np.int64)
    labels[:, 64:] = 1
    assert [part[4] for part in cut(image, labels, ("red",), 0, 64)] == [1]


def test_whole_tile_labels_follow_the_class_and_spare_unnamed_ones() -> None:
    names = ("Forest", "River", "SeaLake")
    tiles = LabelledTiles(
        np.zeros((3, 1, 64, 64), np.float32), np.ones((3, 1), bool), np.ones((3, 64, 64), bool),
        np.array([EUROSAT_CLASSES.index(n) for n in names]), np.arange(3), EUROSAT_CLASSES,
    )  # fmt: skip
    labels = whole_tiles(tiles, {"Forest": "trees", "SeaLake": "water"}, ("water", "trees"))
    assert [set(np.unique(of_tile).tolist()) for of_tile in labels] == [{-1, 1}, {-1}, {-1, 0}]
    chosen = labels[0] == 1
    assert chosen.sum(0).tolist() == chosen.sum(1).tolist() == [1] * 8  # no row or column is preferred


def test_water_index_by_hand() -> None:
    pixels = np.zeros((1, 2, 8, 16), np.float32)
    pixels[0, 0], pixels[0, 1, :, :8], pixels[0, 1, :, 8:] = 0.1, 0.3, 0.025  # green; near infrared
    np.testing.assert_allclose(water_index(pixels, ("green", "nir")), [[[-0.5, 0.6]]], rtol=1e-5)


def test_rows_of_the_landsat_grid_lie_at_their_published_latitudes() -> None:
    """Centres as the WRS-2 descriptor gives them: 34 at 37.5 N, 17 at 60.9 N, 60 at 0.0."""
    for row, expected in ((34, 37.48), (17, 60.9), (60, 0.0)):
        assert latitude_deg(row) == pytest.approx(expected, abs=0.6)
    with pytest.raises(InputError, match="day side"):
        latitude_deg(200)


def test_sun_over_the_equator_at_equinox_follows_from_the_hour_alone() -> None:
    """10:11 is 109 minutes before noon, 27.25 degrees; at latitude and declination 0 the sine is its cosine."""
    assert sine_of_sun_elevation(60, date(2016, 3, 20)) == pytest.approx(np.cos(np.radians(27.25)), abs=2e-3)


def test_the_sun_is_lower_in_winter_and_farther_north() -> None:
    summer, winter = (sine_of_sun_elevation(34, date(2016, month, 21)) for month in (6, 12))
    assert summer > 1.5 * winter
    assert sine_of_sun_elevation(17, date(2016, 6, 21)) < summer
    with pytest.raises(InputError, match="below the horizon"):
        sine_of_sun_elevation(2, date(2016, 12, 21))


def test_reduction_means_four_pixels_and_repeats_the_edge_of_short_pictures() -> None:
    pixels = np.random.default_rng(0).random((3, 256, 256)).astype(np.float32)
    np.testing.assert_allclose(reduced(pixels)[:, 5, 7], pixels[:, 10:12, 14:16].mean((1, 2)), rtol=1e-5)
    assert reduced(np.full((3, 253, 255), 0.5, np.float32)).tolist() == np.full((3, 128, 128), 0.5).tolist()


def _check(tiles: LabelledTiles, n_bands: int) -> None:
    n = len(tiles.pixels)
    assert tiles.pixels.shape == (n, n_bands, 64, 64)
    assert tiles.labels.shape in ((n,), (n, 8, 8))
    assert tiles.groups.shape == (n,)
    known = tiles.labels[tiles.labels != UNLABELLED]
    assert len(np.unique(known)) >= 2
    assert known.max() < len(tiles.classes)
    assert np.all(tiles.pixels[~tiles.present] == 0)


@pytest.mark.shared_data
@pytest.mark.parametrize("task", sorted(TOKEN_TASKS))
@pytest.mark.parametrize("split", ["train", "val"])
def test_token_tasks_have_labels_of_several_classes_and_matching_shapes(
    shared_data: Path, task: str, split: str
) -> None:
    tiles = TOKEN_TASKS[task](shared_data, split, S2_NANO_BANDS)
    _check(tiles, 12)
    weak = tiles.groups // BLOCKS_PER_PLACE == EUROSAT
    assert weak.any() == (split == "train")  # held-out labels are those of masks alone


@pytest.mark.shared_data
def test_tile_tasks_have_every_class_and_matching_shapes(shared_data: Path) -> None:
    scenes, aerial = (
        eurosat_scenes(shared_data, "val", S2_NANO_BANDS),
        aerial_scenes(shared_data, "val", RGB_BANDS),
    )
    _check(scenes, 12)
    _check(aerial, 3)
    assert np.unique(scenes.labels).tolist() == list(range(10))
    assert np.unique(aerial.labels).tolist() == list(range(21))
    assert len(aerial.labels) == 4 * 105


@pytest.mark.shared_data
def test_water_tokens_are_darker_in_the_near_infrared_than_dry_ones(shared_data: Path) -> None:
    tiles = water(shared_data, "train", S2_NANO_BANDS)
    nir = tiles.pixels[:, S2_NANO_BANDS.index("nir")].reshape(-1, 8, 8, 8, 8).mean((2, 4))
    assert np.median(nir[tiles.labels == 1]) < 0.5 * np.median(nir[tiles.labels == 0])


@pytest.mark.shared_data
def test_cloud_tokens_are_brighter_than_clear_ones(shared_data: Path) -> None:
    tiles = cloud(shared_data, "train", S2_NANO_BANDS)
    blue = tiles.pixels[:, S2_NANO_BANDS.index("blue")].reshape(-1, 8, 8, 8, 8).mean((2, 4))
    assert np.median(blue[tiles.labels == 1]) > 2 * np.median(blue[tiles.labels == 0])
