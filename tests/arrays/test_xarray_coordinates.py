"""Where the cells of a dataset lie: against rasterio and PROJ, which know nothing of this project."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

xr = pytest.importorskip("xarray", reason="the `arrays` extra is not installed")
rasterio = pytest.importorskip("rasterio")

from rasterio.crs import CRS  # noqa: E402
from rasterio.transform import Affine, xy  # noqa: E402
from rasterio.warp import transform as project  # noqa: E402

from codec.arrays import map_coordinates  # noqa: E402
from codec.arrays.xarray_backend import NecBackendEntrypoint  # noqa: E402
from codec.types import Georeference  # noqa: E402
from swathpack.cli import main  # noqa: E402
from tests.arrays.nec_samples import Sample, make_sample  # noqa: E402
from tests.pipeline import small_scene  # noqa: E402
from tests.swathpack.small_scene import ARGUMENTS, write_scene  # noqa: E402

PATCH = 4
ROTATED = (8.0, 3.0, 5e5, 2.0, -9.0, 6e6)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("coordinates"))


def dataset_of(sample: Sample, georeference: Georeference):
    latents = small_scene.latents(sample.package, small_scene.planes(), small_scene.all_valid())
    data = small_scene.encode_scene(sample.package, latents, georeference=georeference)
    return xr.open_dataset(io.BytesIO(data), engine=NecBackendEntrypoint, package=sample.package)


@pytest.mark.parametrize("epsg", [32633, 32721, 4326, 3035, 2263])
def test_cells_lie_where_rasterio_puts_their_centres(sample: Sample, epsg: int) -> None:
    affine = (0.01, 0.0, 10.0, 0.0, -0.01, 50.0) if epsg == 4326 else (10.0, 0.0, 5e5, 0.0, -10.0, 6e6)
    dataset = dataset_of(sample, Georeference(affine, epsg))
    of_cells = Affine(*affine) @ Affine.scale(PATCH)
    np.testing.assert_allclose(dataset["x"], xy(of_cells, [0] * 45, range(45))[0], rtol=1e-12)
    np.testing.assert_allclose(dataset["y"], xy(of_cells, range(38), [0] * 38)[1], rtol=1e-12)
    mapping = dataset["spatial_ref"].attrs
    assert dataset["tokens"].attrs["grid_mapping"] == "spatial_ref"
    assert CRS.from_wkt(mapping["crs_wkt"]) == CRS.from_epsg(epsg) == CRS.from_wkt(mapping["spatial_ref"])
    assert Affine.from_gdal(*map(float, mapping["GeoTransform"].split())) == of_cells
    unit = {4326: "degrees_east", 2263: "US survey foot"}.get(epsg, "m")
    assert dataset["x"].attrs["units"] == unit
    assert dataset["x"].attrs["standard_name"] == ("longitude" if epsg == 4326 else "projection_x_coordinate")


@pytest.mark.parametrize("epsg", [32601, 32633, 32660, 32701, 32721, 32760])
def test_the_named_parameters_of_utm_are_the_projection_that_proj_knows(epsg: int) -> None:
    named = map_coordinates.grid_mapping(Georeference((10.0, 0.0, 5e5, 0.0, -10.0, 6e6), epsg))
    assert named["grid_mapping_name"] == "transverse_mercator"
    ours = CRS.from_dict(
        proj="tmerc", lat_0=named["latitude_of_projection_origin"], lon_0=named["longitude_of_central_meridian"],
        k=named["scale_factor_at_central_meridian"], x_0=named["false_easting"], y_0=named["false_northing"],
        a=named["semi_major_axis"], rf=named["inverse_flattening"], units="m",
    )  # fmt: skip
    xs, ys = [3e5, 5e5, 6.5e5], [1e6, 5.2e6, 8e6]
    np.testing.assert_allclose(project(ours, CRS.from_epsg(epsg), xs, ys), (xs, ys), atol=1e-3)


def test_a_rotated_map_has_coordinates_in_the_plane(sample: Sample) -> None:
    dataset = dataset_of(sample, Georeference(ROTATED, 32633))
    assert "x" not in dataset.coords
    of_cells = Affine(*ROTATED) @ Affine.scale(PATCH)
    expected_x, expected_y = xy(of_cells, [0, 37, 12], [44, 0, 30])
    np.testing.assert_allclose(dataset["xc"].values[[0, 37, 12], [44, 0, 30]], expected_x, rtol=1e-12)
    np.testing.assert_allclose(dataset["yc"].values[[0, 37, 12], [44, 0, 30]], expected_y, rtol=1e-12)


def test_a_rotated_map_of_very_many_cells_has_its_transform_alone(sample: Sample) -> None:
    of_cells = Georeference(ROTATED, 32633)
    assert set(map_coordinates.coordinates(of_cells, 4096, 4096)) == {"yc", "xc"}
    assert map_coordinates.coordinates(of_cells, 4096, 4097) == {}
    assert map_coordinates.grid_mapping(of_cells)["GeoTransform"] == "500000.0 8.0 3.0 6000000.0 2.0 -9.0"


def test_a_map_without_a_crs_counts_pixels(sample: Sample) -> None:
    dataset = dataset_of(sample, Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0)))
    np.testing.assert_array_equal(dataset["x"][:3], [2.0, 6.0, 10.0])
    assert "standard_name" not in dataset["x"].attrs
    assert set(dataset["spatial_ref"].attrs) == {"GeoTransform"}


def test_a_crs_that_has_no_code_is_given_as_the_text_it_came_with(sample: Sample) -> None:
    wkt = CRS.from_proj4("+proj=longlat +R=3396190 +no_defs").to_wkt(version="WKT2_2019")  # Mars
    mapping = dataset_of(sample, Georeference((10.0, 0.0, 5e5, 0.0, -10.0, 6e6), wkt=wkt))[
        "spatial_ref"
    ].attrs
    assert CRS.from_wkt(mapping["crs_wkt"]) == CRS.from_wkt(wkt)
    assert "epsg" not in mapping


def test_without_rasterio_the_code_is_given_and_utm_is_named(root: Path) -> None:
    script = """
import sys
sys.modules["rasterio"] = None
from codec.arrays import map_coordinates as m
from codec.types import Georeference
for epsg in (32633, 3035):
    g = Georeference((10.0, 0.0, 5e5, 0.0, -10.0, 6e6), epsg)
    named, x = m.grid_mapping(g), m.coordinates(g, 2, 2)["x"].attributes
    print(named["spatial_ref"], "crs_wkt" in named, named.get("grid_mapping_name"), x.get("units"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "EPSG:32633 False transverse_mercator m",
        "EPSG:3035 False None None",
    ]


def test_an_encoded_scene_opens_as_the_geotiff_that_decode_writes(tmp_path: Path, root: Path) -> None:
    """Through the command line and the shipped package: scene → .nec → .tif by GDAL, against the dataset."""
    pytest.importorskip("onnxruntime")
    nec, tif = tmp_path / "scene.nec", tmp_path / "scene.tif"
    scene = write_scene(tmp_path / "in.tif")
    assert main(["encode", str(scene), "-o", str(nec), *ARGUMENTS]) == 0
    assert main(["decode", str(nec), "-o", str(tif)]) == 0
    dataset = xr.open_dataset(nec, engine=NecBackendEntrypoint, chunks={})
    with rasterio.open(tif) as decoded:
        bands = decoded.read()
        names = list(decoded.descriptions)
        values = dataset["tokens"].transpose("channel", "y", "x")
        n = values.shape[0]
        np.testing.assert_allclose(values, bands[:n], rtol=0, atol=1e-6, err_msg=str(names))
        left, top = decoded.xy(0, 0)
        right, bottom = decoded.xy(decoded.height - 1, decoded.width - 1)
    np.testing.assert_allclose(dataset["x"][[0, -1]], [left, right])
    np.testing.assert_allclose(dataset["y"][[0, -1]], [top, bottom])
    assert dataset["tokens"].shape == (19, 25, 128)  # 150×200 pixels in patches of 8
    assert CRS.from_wkt(dataset["spatial_ref"].attrs["crs_wkt"]) == CRS.from_epsg(32632)
    assert dataset.attrs["bands"].split() == ["blue", "green", "red", "nir", "swir16", "swir22"]
    assert dataset.attrs["source"] == "in.tif"
