"""Tiles cover the scene, every pixel belongs to one of them, and their tokens come together as one map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.errors import InputError
from codec.scene.scene import Scene, open_scene
from codec.scene.tiling import doubled_tokens, grid_for, mosaic, mosaic_georeference, tiles, token_validity
from codec.types import Georeference, TileGrid

BANDS = ("coastal", "blue", "nir")  # the scene below has no coastal band


@pytest.fixture
def scene(write_raster: Any) -> Any:
    """70×90 pixels; blue = row, nir = column, as reflectance in thousandths; the north-west 10×10 is nodata."""
    rows, cols = np.mgrid[0:70, 0:90]
    stack = np.stack([10 * (rows + 1), 10 * (cols + 1)]).astype(np.uint16)
    stack[:, :10, :10] = 0
    path = write_raster("x.tif", stack, descriptions=("B02", "B08"))
    with open_scene([path], sensor="sentinel2-l1c") as opened:
        yield opened


def test_tiles_hold_the_pixels_of_their_window(scene: Scene) -> None:
    grid = grid_for(scene, 32)
    for number, tile in enumerate(tiles(scene, BANDS, core=32, margin=4)):
        assert tile.index == number
        assert tile.pixels.shape == (3, 40, 40)
        assert tile.pixels.dtype == np.float32
        np.testing.assert_array_equal(tile.bands_present, [False, True, True])
        row, col = grid.origin(number)
        rows, cols = np.mgrid[row - 4 : row + 36, col - 4 : col + 36]
        inside = (rows >= 0) & (rows < 70) & (cols >= 0) & (cols < 90) & ((rows >= 10) | (cols >= 10))
        np.testing.assert_array_equal(tile.validity, inside)
        np.testing.assert_allclose(tile.pixels[1], np.where(inside, (rows + 1) / 1000, 0), atol=1e-7)
        np.testing.assert_allclose(tile.pixels[2], np.where(inside, (cols + 1) / 1000, 0), atol=1e-7)
        assert not tile.pixels[0].any()
    assert number == 8


def test_the_last_tiles_shift_inward(scene: Scene) -> None:
    last = list(tiles(scene, BANDS, core=32, margin=0))[-1]
    assert last.validity.all()
    assert last.pixels[1, -1, -1] == pytest.approx(0.070)
    assert last.pixels[2, -1, -1] == pytest.approx(0.090)


def test_a_tile_without_data_comes_out_invalid(scene: Scene) -> None:
    first = next(tiles(scene, BANDS, core=10, margin=0))
    assert not first.validity.any()
    assert not first.pixels.any()


def test_a_scene_smaller_than_a_tile_is_one_tile(scene: Scene) -> None:
    (only,) = tiles(scene, BANDS, core=128, margin=8)
    assert only.validity[8 + 10 : 8 + 70, 8 : 8 + 90].all()
    assert not only.validity[8 + 70 :].any()
    assert doubled_tokens(grid_for(scene, 128), 8, 0).sum() == 16 * 16 - 9 * 12  # 70/8 and 90/8, rounded up


def test_no_common_band_and_unknown_bands_are_refused(scene: Scene) -> None:
    with pytest.raises(InputError, match="none of the bands swir16, red; it has blue, nir"):
        next(tiles(scene, ["swir16", "red"], core=32, margin=0))
    with pytest.raises(InputError, match="unknown band B02"):
        next(tiles(scene, ["B02"], core=32, margin=0))


def test_a_foreign_grid_is_refused(scene: Scene) -> None:
    with pytest.raises(InputError, match="another than the scene's"):
        next(tiles(scene, BANDS, core=32, margin=0, grid=TileGrid(70, 91, 32, 32)))


extents = st.integers(1, 300)
cores = st.sampled_from([8, 16, 24, 64])


@settings(max_examples=200, deadline=None)
@given(height=extents, width=extents, core=cores)
def test_every_pixel_is_owned_by_exactly_one_tile(height: int, width: int, core: int) -> None:
    grid = TileGrid(height, width, core, core)
    owners = np.zeros((height, width), int)
    for index in range(grid.n_tiles):
        top, left = grid.origin(index)
        skip_rows, skip_cols = grid.doubled(index)
        owners[top + skip_rows : top + core, left + skip_cols : left + core] += 1
        assert top >= 0
        assert left >= 0
        assert top + core <= max(height, core)
        assert left + core <= max(width, core)
    assert (owners == 1).all()


@settings(max_examples=200, deadline=None)
@given(height=extents, width=extents, core=cores, patch=st.sampled_from([4, 8]))
def test_every_pixel_lies_in_a_token_that_is_not_masked(
    height: int, width: int, core: int, patch: int
) -> None:
    grid = TileGrid(height, width, core, core)
    covered = np.zeros((height, width), bool)
    for index in range(grid.n_tiles):
        top, left = grid.origin(index)
        own = ~doubled_tokens(grid, patch, index)
        pixels = np.kron(own, np.ones((patch, patch), bool))[: height - top, : width - left]
        covered[top : top + core, left : left + core] |= pixels
    assert covered.all()


@settings(max_examples=200, deadline=None)
@given(height=extents, width=extents, core=cores, patch=st.sampled_from([4, 8]))
def test_the_mosaic_takes_each_cell_from_the_nearest_token_of_its_owner(
    height: int, width: int, core: int, patch: int
) -> None:
    grid = TileGrid(height, width, core, core)
    h = core // patch
    centres = np.zeros((grid.n_tiles, h, h, 2), np.float32)  # each token carries where its centre lies
    validity = np.ones((grid.n_tiles, h, h), bool)
    for index in range(grid.n_tiles):
        top, left = grid.origin(index)
        at = np.arange(h) * patch + patch / 2
        centres[index, ..., 0], centres[index, ..., 1] = (top + at)[:, None], (left + at)[None, :]
        validity[index] = ~doubled_tokens(grid, patch, index)
    token_map, valid = mosaic(grid, patch, centres, validity)
    assert token_map.shape == (-(-height // patch), -(-width // patch), 2)
    assert valid.all()  # a masked token is never needed
    # A cell's centre, or where this lies beyond the scene, the scene's last pixel.
    rows = np.minimum(np.arange(token_map.shape[0]) * patch + patch / 2, height - 0.5)
    cols = np.minimum(np.arange(token_map.shape[1]) * patch + patch / 2, width - 0.5)
    assert np.abs(token_map[..., 0] - rows[:, None]).max() <= patch / 2
    assert np.abs(token_map[..., 1] - cols[None, :]).max() <= patch / 2


def test_the_mosaic_keeps_missing_tiles_invalid() -> None:
    grid = TileGrid(32, 64, 32, 32)
    validity = np.ones((2, 4, 4), bool)
    validity[1] = False
    token_map, valid = mosaic(grid, 8, np.ones((2, 4, 4, 3), np.float32), validity)
    assert valid[:, :4].all()
    assert not valid[:, 4:].any()
    assert not token_map[:, 4:].any()


def test_tokens_that_do_not_fit_are_refused() -> None:
    grid = TileGrid(32, 64, 32, 32)
    with pytest.raises(InputError, match="do not fit the tile grid"):
        mosaic(grid, 8, np.ones((3, 4, 4, 1), np.float32), np.ones((3, 4, 4), bool))
    with pytest.raises(InputError, match="whole patches"):
        token_validity(np.ones((30, 30), bool), 8)


def test_a_token_is_valid_from_half_of_its_pixels_on() -> None:
    validity = np.zeros((8, 16), bool)
    validity[:4, :8] = True  # 32 of 64
    validity[:4, 8:] = True
    validity[0, 8] = False  # 31 of 64
    np.testing.assert_array_equal(token_validity(validity, 8), [[True, False]])


def test_the_map_of_tokens_lies_where_the_scene_does() -> None:
    place = Georeference((10.0, 0.0, 500.0, 0.0, -10.0, 900.0), epsg=32632)
    assert mosaic_georeference(place, 8) == Georeference((80.0, 0.0, 500.0, 0.0, -80.0, 900.0), epsg=32632)
