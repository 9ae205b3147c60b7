"""The transforms decide where a pixel lies. Fields that are linear in the coordinates have known values anywhere,
and bilinear interpolation reproduces them exactly, so every expectation here is a formula of x and y."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codec.errors import InputError
from codec.scene.scene import Scene, open_scene

X0, Y0 = 500000.0, 5000000.0


def field(transform: tuple[float, ...], height: int, width: int) -> npt.NDArray[np.uint16]:
    """DN at pixel centres: 2000 + (x − X0) + 2·(Y0 − y), linear in the coordinates, whole for even pixel sizes."""
    a, _, c, _, e, f = transform
    x = c + a * (np.arange(width) + 0.5)
    y = f + e * (np.arange(height) + 0.5)
    return (2000 + (x - X0)[None, :] + 2 * (Y0 - y)[:, None]).astype(np.uint16)


def reflectance(scene: Scene, row: int, col: int, height: int, width: int) -> npt.NDArray[np.float64]:
    a, _, c, _, e, f = scene.transform
    x = c + a * (np.arange(col, col + width) + 0.5)
    y = f + e * (np.arange(row, row + height) + 0.5)
    return (2000 + (x - X0)[None, :] + 2 * (Y0 - y)[:, None]) / 1e4


def grid_of(size: float, dx: float = 0.0, dy: float = 0.0) -> tuple[float, ...]:
    return (size, 0.0, X0 + dx, 0.0, -size, Y0 - dy)


def open_s2(*paths: Path, **options: Any) -> Scene:
    return open_scene(paths, sensor="sentinel2-l1c", scaling="no-offset", **options)


def three_bands(write_raster: Any) -> list[Path]:
    return [
        write_raster("B02.tif", field(grid_of(10), 60, 90), transform=grid_of(10)),
        write_raster("B11.tif", field(grid_of(20), 30, 45), transform=grid_of(20)),
        write_raster("B01.tif", field(grid_of(60), 10, 15), transform=grid_of(60)),
    ]


def test_bands_of_10_20_and_60_m_agree_on_every_inner_pixel(write_raster: Any) -> None:
    with open_s2(*three_bands(write_raster)) as scene:
        assert (scene.height, scene.width) == (60, 90)
        assert scene.bands == ("coastal", "blue", "swir16")  # the sensor's order, not the files'
        pixels, validity = scene.read((0, 0, 60, 90), scene.bands)
        assert validity.all()
        inner = np.s_[3:-3, 3:-3]  # half a 60 m pixel from the edge nothing lies around the centre
        expected = reflectance(scene, 0, 0, 60, 90)
        for band in pixels:
            np.testing.assert_allclose(band[inner], expected[inner], atol=1e-7)
        assert any("swir16" in note and "coastal" in note for note in scene.notes)


def test_equal_shapes_with_other_extents_are_not_stacked(write_raster: Any) -> None:
    # The trap of the Sentinel-2 sample: 20 m files of the same shape cover twice the extent.
    paths = [
        write_raster("B04.tif", field(grid_of(10), 40, 50), transform=grid_of(10)),
        write_raster("B12.tif", field(grid_of(20), 40, 50), transform=grid_of(20)),
    ]
    with open_s2(*paths) as scene:
        assert (scene.height, scene.width) == (40, 50)
        pixels, validity = scene.read((0, 0, 40, 50), ["red", "swir22"])
        assert validity.all()
        np.testing.assert_allclose(pixels[1][1:, 1:], pixels[0][1:, 1:], atol=1e-7)
        assert scene.raw_bytes_of(["swir22"]) == 20 * 25 * 2  # only what lies inside the scene
        _, beyond = scene.read((38, 47, 6, 6), ["swir22"])  # it has data there, but the scene has no pixels
        assert beyond[:2, :3].all()
        assert beyond.sum() == 2 * 3


def test_a_band_that_covers_less_makes_the_rest_invalid_only_where_it_is_used(write_raster: Any) -> None:
    small = grid_of(10, dx=100, dy=50)
    paths = [
        write_raster("B02.tif", field(grid_of(10), 40, 50), transform=grid_of(10)),
        write_raster("B03.tif", field(small, 20, 30), transform=small),
    ]
    with open_s2(*paths) as scene:
        _, alone = scene.read((0, 0, 40, 50), ["blue"])
        pixels, both = scene.read((0, 0, 40, 50), ["blue", "green"])
        assert alone.all()
        expected = np.zeros((40, 50), bool)
        expected[5:25, 10:40] = True
        np.testing.assert_array_equal(both, expected)
        np.testing.assert_allclose(pixels[0][both], pixels[1][both], atol=1e-7)
        assert not pixels[:, ~both].any()


def test_the_scene_covers_the_union_of_the_finest_bands(write_raster: Any) -> None:
    east = grid_of(10, dx=200)
    paths = [
        write_raster("B02.tif", field(grid_of(10), 20, 30), transform=grid_of(10)),
        write_raster("B03.tif", field(east, 20, 30), transform=east),
    ]
    with open_s2(*paths) as scene:
        assert (scene.height, scene.width) == (20, 50)
        _, validity = scene.read((0, 0, 20, 50), ["green"])
        assert validity[:, 20:].all()
        assert not validity[:, :20].any()


def test_the_union_may_begin_before_the_first_band(write_raster: Any) -> None:
    south_east = grid_of(10, dx=200, dy=100)
    paths = [
        write_raster("B02.tif", field(south_east, 20, 30), transform=south_east),
        write_raster("B03.tif", field(grid_of(10), 20, 30), transform=grid_of(10)),
    ]
    with open_s2(*paths) as scene:
        assert (scene.height, scene.width) == (30, 50)
        assert scene.georeference.transform == grid_of(10)
        pixels, validity = scene.read((10, 20, 20, 30), ["blue"])
        assert validity.all()
        np.testing.assert_allclose(pixels[0], reflectance(scene, 10, 20, 20, 30), atol=1e-7)


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a 10 m and a 20 m band that both have holes."""
    import rasterio
    from rasterio.transform import Affine

    folder = tmp_path_factory.mktemp("holed")
    rng = np.random.default_rng(7)
    for name, size, shape in (("B02", 10, (44, 58)), ("B11", 20, (22, 29))):
        data = rng.integers(500, 5000, shape).astype(np.uint16)
        data[rng.random(shape) < 0.1] = 0
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", count=1, height=shape[0], width=shape[1], dtype="uint16",
            crs="EPSG:32632", transform=Affine(*grid_of(size)),
        ) as dataset:  # fmt: skip
            dataset.write(data, 1)
    return folder


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(-9, 100), col=st.integers(-9, 130), height=st.integers(1, 40), width=st.integers(1, 40),
       zoom=st.sampled_from([1, 2]))  # fmt: skip
def test_any_window_equals_that_part_of_the_whole(
    holed: Path, row: int, col: int, height: int, width: int, zoom: int
) -> None:
    with open_s2(holed, zoom=zoom) as scene:
        whole, valid = scene.read((-10, -10, 160, 190), scene.bands)
        part, part_valid = scene.read((row, col, height, width), scene.bands)
    where = np.s_[row + 10 : row + 10 + height, col + 10 : col + 10 + width]
    expected, expected_valid = whole[:, where[0], where[1]], valid[where]
    h, w = expected_valid.shape  # the window may end beyond what was read as the whole
    np.testing.assert_array_equal(part[:, :h, :w], expected)
    np.testing.assert_array_equal(part_valid[:h, :w], expected_valid)
    assert not part_valid[h:].any()
    assert not part_valid[:, w:].any()


def test_nodata_neither_grows_nor_bleeds_into_its_neighbours(write_raster: Any) -> None:
    data = np.full((10, 10), 3000, np.uint16)
    data[4, 6] = 0
    path = write_raster("B11.tif", data, transform=grid_of(20))
    fine = write_raster("B02.tif", np.full((20, 20), 1000, np.uint16), transform=grid_of(10))
    with open_s2(path, fine) as scene:
        pixels, validity = scene.read((0, 0, 20, 20), ["swir16"])
    hole = np.zeros((20, 20), bool)
    hole[8:10, 12:14] = True  # exactly the four fine pixels of the coarse one
    np.testing.assert_array_equal(validity, ~hole)
    np.testing.assert_allclose(pixels[0][validity], 0.3, atol=1e-7)


def test_what_lies_outside_is_invalid_and_zero(write_raster: Any) -> None:
    with open_s2(write_raster("B02.tif", field(grid_of(10), 20, 20), transform=grid_of(10))) as scene:
        pixels, validity = scene.read((-5, 15, 30, 10), ["blue"])
        far, far_valid = scene.read((1000, 1000, 4, 4), ["blue"])
    assert validity.sum() == 20 * 5
    assert validity[5:25, :5].all()
    assert not pixels[:, ~validity].any()
    assert not far_valid.any()
    assert not far.any()


def test_zoom_samples_the_same_ground_more_finely(write_raster: Any) -> None:
    with open_s2(*three_bands(write_raster), zoom=2) as scene:
        assert (scene.height, scene.width) == (120, 180)
        assert scene.georeference.transform == (5.0, 0.0, X0, 0.0, -5.0, Y0)
        pixels, validity = scene.read((10, 20, 80, 120), scene.bands)
        assert validity.all()
        expected = reflectance(scene, 10, 20, 80, 120)
        for band in pixels:
            np.testing.assert_allclose(band, expected, atol=1e-7)
        assert scene.raw_bytes == 2 * (60 * 90 + 30 * 45 + 10 * 15)  # native pixels, whatever the zoom


def test_a_grid_shifted_by_half_a_pixel_is_interpolated(write_raster: Any) -> None:
    half = grid_of(10, dx=5, dy=5)
    paths = [
        write_raster("B02.tif", field(grid_of(10), 20, 20), transform=grid_of(10)),
        write_raster("B03.tif", field(half, 20, 20), transform=half),
    ]
    with open_s2(*paths) as scene:
        pixels, validity = scene.read((2, 2, 16, 16), ["green"])
        assert validity.all()
        np.testing.assert_allclose(pixels[0], reflectance(scene, 2, 2, 16, 16), atol=1e-7)


def test_a_south_up_band_lies_where_its_transform_says(write_raster: Any) -> None:
    south_up = (10.0, 0.0, X0, 0.0, 10.0, Y0 - 200)  # 20 rows from south to north
    data = field(south_up, 20, 20)
    paths = [
        write_raster("B02.tif", field(grid_of(10), 20, 20), transform=grid_of(10)),
        write_raster("B03.tif", data, transform=south_up),
    ]
    with open_s2(*paths) as scene:
        pixels, validity = scene.read((0, 0, 20, 20), ["blue", "green"])
    assert validity.all()
    np.testing.assert_allclose(pixels[0], pixels[1], atol=1e-7)


def test_a_band_rotated_against_the_others_is_refused(write_raster: Any) -> None:
    rotated = (8.0, 6.0, X0, 6.0, -8.0, Y0)
    paths = [
        write_raster("B02.tif", np.ones((9, 9), np.uint16), transform=grid_of(10)),
        write_raster("B03.tif", np.ones((9, 9), np.uint16), transform=rotated),
    ]
    with pytest.raises(InputError, match=r"B03\.tif.*rotated.*warp"):
        open_s2(*paths)


def test_crs_that_differ_in_name_only_are_one_and_it_is_said(write_raster: Any) -> None:
    # NAD83 and NAD83(HARN) of the same projection: EPSG:32119 and EPSG:3358.
    place = (28.5, 0.0, 630534.0, 0.0, -28.5, 228114.0)
    paths = [
        write_raster("B02.tif", np.full((9, 9), 1000, np.uint16), transform=place, crs="EPSG:32119"),
        write_raster("B03.tif", np.full((9, 9), 1000, np.uint16), transform=place, crs="EPSG:3358"),
    ]
    with open_s2(*paths) as scene:
        assert scene.georeference.epsg == 32119
        assert any(
            "EPSG:3358" in note and "EPSG:32119" in note and "taken as one" in note for note in scene.notes
        )


@pytest.mark.parametrize("other", ["EPSG:32633", "EPSG:3857"])
def test_another_crs_is_refused(write_raster: Any, other: str) -> None:
    paths = [
        write_raster("B02.tif", np.ones((9, 9), np.uint16)),
        write_raster("B03.tif", np.ones((9, 9), np.uint16), crs=other),
    ]
    with pytest.raises(InputError, match=rf"B03\.tif: its CRS is {other}.*warp"):
        open_s2(*paths)


def test_a_band_without_crs_takes_that_of_the_same_grid_only(write_raster: Any) -> None:
    same = [
        write_raster("a/B02.tif", np.full((9, 9), 500, np.uint16)),
        write_raster("a/B03.tif", np.full((9, 9), 500, np.uint16), crs=None),
    ]
    with open_s2(*same) as scene:
        assert scene.georeference.epsg == 32632
        assert any("B03.tif has no CRS" in note for note in scene.notes)
    moved = write_raster("b/B03.tif", np.ones((9, 9), np.uint16), crs=None, transform=grid_of(10, dx=40))
    with pytest.raises(InputError, match=r"B03\.tif: it has no CRS and another grid"):
        open_s2(same[0], moved)


def test_bands_without_any_georeference_must_have_one_shape(write_raster: Any) -> None:
    paths = [
        write_raster("B02.tif", np.ones((9, 9), np.uint16), crs=None, transform=None),
        write_raster("B03.tif", np.ones((9, 8), np.uint16), crs=None, transform=None),
    ]
    with pytest.raises(InputError, match="different shape and no georeference"):
        open_s2(*paths)


@pytest.mark.parametrize(
    "local",
    [
        "+proj=laea +lat_0=47.3 +lon_0=8.7 +x_0=1234 +y_0=0 +ellps=bessel +units=m",
        # GDAL takes this for EPSG:32632, which has a datum; it has only an ellipsoid.
        "+proj=utm +zone=32 +ellps=WGS84 +units=m",
    ],
)
def test_a_crs_that_no_code_says_exactly_is_kept_as_wkt(write_raster: Any, local: str) -> None:
    from rasterio.crs import CRS

    path = write_raster("B02.tif", np.full((9, 9), 500, np.uint16), crs=local)
    with open_s2(path) as scene:
        assert scene.georeference.epsg == 0
        assert CRS.from_wkt(scene.georeference.wkt) == CRS.from_proj4(local)
