"""Joining tiles to pictures and bands to channels is exact both ways; what was not measured is filled smoothly."""

from __future__ import annotations

import numpy as np
import pytest

from codec.errors import InputError
from codec.evaluate.rate.pixels.fill import filled
from codec.evaluate.rate.pixels.layout import Layout, grid, laid, picture_shape, taken
from codec.evaluate.rate.pixels.mosaic import assembled, blocks, disassembled, near_square
from codec.evaluate.rate.types import TileSet

SIDE = 8


def tile_set(scene: list[int], place: list[tuple[int, int]], present: np.ndarray | None = None) -> TileSet:
    n = len(scene)
    pixels = np.random.default_rng(1).random((n, 3, SIDE, SIDE), np.float32)
    shown = np.ones((n, 3), np.bool_) if present is None else present
    valid = np.ones((n, SIDE, SIDE), np.bool_)
    return TileSet(
        "small",
        ("blue", "green", "red"),
        pixels,
        shown,
        valid,
        np.array(scene),
        np.array(place),
        np.arange(n),
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 7, 10, 12])
@pytest.mark.parametrize("layout", list(Layout))
def test_bands_come_back_from_every_layout(channels: int, layout: Layout) -> None:
    planes = np.random.default_rng(channels).integers(0, 4096, (channels, 6, 10)).astype(np.uint16)
    picture = laid(planes, layout)
    assert picture.shape == picture_shape((channels, 6, 10), layout)
    assert np.array_equal(taken(picture, channels, layout), planes)


def test_grey_bands_lie_row_by_row_on_the_fullest_grid() -> None:
    planes = np.arange(12, dtype=np.uint16)[:, None, None] * np.ones((1, 2, 2), np.uint16)
    picture = laid(planes, Layout.GREY)[::2, ::2, 0]
    assert picture.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert [grid(n) for n in (1, 2, 4, 6, 7, 9, 12)] == [
        (1, 1),
        (1, 2),
        (2, 2),
        (2, 3),
        (1, 7),
        (3, 3),
        (3, 4),
    ]


def test_colour_bands_fill_the_last_three_with_the_last_band() -> None:
    planes = np.arange(4, dtype=np.uint16)[:, None, None] * np.ones((1, 2, 2), np.uint16)
    picture = laid(planes, Layout.COLOUR)
    assert picture.shape == (2, 4, 3)
    assert picture[0, 0].tolist() == [0, 1, 2]
    assert picture[0, 2].tolist() == [3, 3, 3]


def test_tiles_of_a_scene_lie_where_they_are_on_the_ground() -> None:
    tiles = tile_set([4, 4, 4], [(2, 5), (3, 5), (3, 6)])  # a corner of the square is empty
    (block,) = blocks(tiles, joined=True)
    picture = assembled(tiles.pixels[block.index], tiles.validity[block.index], block)
    assert picture.shape == (3, 2 * SIDE, 2 * SIDE)
    assert np.array_equal(picture[:, :SIDE, :SIDE], tiles.pixels[0])
    assert np.array_equal(picture[:, SIDE:, SIDE:], tiles.pixels[2])
    assert np.array_equal(disassembled(picture, block), tiles.pixels)


def test_lone_tiles_join_a_near_square_and_scenes_stay_apart() -> None:
    tiles = tile_set([0, 1, 1, 2, 3, 4, 5], [(0, 0), (0, 0), (0, 1), (0, 0), (0, 0), (9, 9), (0, 0)])
    found = blocks(tiles, joined=True)
    assert [b.index.tolist() for b in found] == [[1, 2], [0, 3, 4, 5, 6]]
    assert [b.shape for b in found] == [(1, 2), (2, 3)]
    for block in found:
        parts = tiles.pixels[block.index]
        assert np.array_equal(
            disassembled(assembled(parts, tiles.validity[block.index], block), block), parts
        )
    assert near_square(5).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]]


def test_tiles_of_other_bands_never_share_a_picture() -> None:
    present = np.array([[1, 1, 1], [1, 1, 1], [1, 0, 0], [1, 1, 1], [0, 1, 1]], np.bool_)
    tiles = tile_set([0, 0, 0, 1, 2], [(0, 0), (0, 1), (0, 2), (0, 0), (0, 0)], present)
    found = blocks(tiles, joined=True)
    assert sorted(i for b in found for i in b.index.tolist()) == [0, 1, 2, 3, 4]
    for block in found:
        assert (tiles.present[block.index] == block.present).all()


def test_two_tiles_on_one_place_are_refused() -> None:
    with pytest.raises(InputError, match="same place"):
        blocks(tile_set([0, 0], [(1, 1), (1, 1)]), joined=True)


def test_filling_keeps_what_was_measured_and_stays_between_its_extremes() -> None:
    rng = np.random.default_rng(3)
    planes = rng.normal(size=(2, 13, 9)).astype(np.float32)
    validity = rng.random((13, 9)) < 0.2
    spoilt = np.where(validity, planes, np.float32(np.nan))
    found = filled(spoilt, validity)
    assert np.array_equal(found[:, validity], planes[:, validity])
    for plane, known in zip(found, planes[:, validity], strict=True):
        assert known.min() <= plane.min()
        assert plane.max() <= known.max()


def test_filling_takes_the_mean_of_the_smallest_cell_that_knows_one() -> None:
    validity = np.zeros((4, 4), np.bool_)
    validity[0, 0] = validity[0, 1] = validity[3, 3] = True
    planes = np.zeros((1, 4, 4), np.float32)
    planes[0, 0, 0], planes[0, 0, 1], planes[0, 3, 3] = 1, 3, 8
    # Cells of 2×2: the first knows the mean 2, the last 8; the others take the mean of both, 5.
    assert filled(planes, validity)[0].tolist() == [[1, 3, 5, 5], [2, 2, 5, 5], [5, 5, 8, 8], [5, 5, 8, 8]]


def test_nothing_known_fills_with_the_training_mean() -> None:
    assert not filled(np.full((2, 5, 5), np.nan, np.float32), np.zeros((5, 5), np.bool_)).any()
