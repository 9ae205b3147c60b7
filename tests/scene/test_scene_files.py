"""What may be opened as a scene, what is refused, and what is said about either."""

from __future__ import annotations

import zipfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from codec.errors import InputError
from codec.scene.scene import open_scene
from tests.scene.ramps import S2, ramp

# --- files -----------------------------------------------------------------------------------------------------


def test_a_folder_gives_its_bands_and_names_what_it_leaves_out(write_raster: Any, tmp_path: Path) -> None:
    write_raster("in/B02.tif", ramp(100, 200))
    write_raster("in/B03.tif", ramp(100, 200))
    write_raster("in/labels.tif", ramp(1, 2, "uint8"))
    with open_scene([tmp_path / "in"], sensor=S2) as scene:
        assert scene.bands == ("blue", "green")
        assert any("labels.tif" in note for note in scene.notes)


def test_the_true_colour_picture_beside_the_bands_is_not_taken_for_bands(
    write_raster: Any, tmp_path: Path
) -> None:
    write_raster("in/T22HBD_B04_10m.tif", ramp(100, 200))
    colours = np.full((3, 16, 16), 90, np.uint8)
    write_raster("in/T22HBD_TCI_10m.tif", colours, colours=("red", "green", "blue"), photometric="RGB")
    with open_scene([tmp_path / "in"], sensor="sentinel2-l2a") as scene:
        assert scene.bands == ("red",)
        assert scene.medians["red"] == pytest.approx(0.015, abs=0.001)


def test_a_named_file_without_a_band_is_refused(write_raster: Any) -> None:
    paths = [write_raster("B02.tif", ramp(100, 200)), write_raster("labels.tif", ramp(1, 2))]
    with pytest.raises(InputError, match=r"labels\.tif: no band of sentinel2-l1c is named"):
        open_scene(paths, sensor=S2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "no such file"),
        (lambda p: p.write_bytes(b""), "the file is empty"),
        (lambda p: p.write_text("not a raster"), "GDAL cannot read it"),
        (lambda p: p.mkdir(), "no raster file in this folder"),
    ],
)
def test_what_is_no_raster_is_refused_in_one_line(tmp_path: Path, make: Any, message: str) -> None:
    path = tmp_path / "B02.tif"
    make(path)
    with pytest.raises(InputError, match=message) as caught:
        open_scene([path], sensor=S2)
    assert "\n" not in str(caught.value)
    assert "B02.tif" in str(caught.value)


def test_no_path_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="no file is given"):
        open_scene([])


def test_a_cut_file_is_refused_when_its_pixels_are_read(write_raster: Any) -> None:
    noise = np.random.default_rng(1).integers(100, 5000, (600, 600)).astype(np.uint16)
    path = write_raster("B02.tif", noise, compress="deflate", tiled=True, blockxsize=256, blockysize=256)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"B02\.tif.*(cannot be read|GDAL cannot)"):
        open_scene([path], sensor=S2, scaling="no-offset")


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK\x03\x04 nothing more")
    with pytest.raises(InputError, match="zip is damaged"):
        open_scene([path])


def test_a_zip_without_a_product_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(InputError, match="GDAL cannot read it"):
        open_scene([tmp_path / "x.zip"])


def test_inputs_are_not_touched(write_raster: Any, tmp_path: Path) -> None:
    path = write_raster("B02.tif", ramp(100, 200))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with open_scene([path], sensor=S2) as scene:
        scene.read((0, 0, 16, 16), ["blue"])
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_missing_zone_means_utc(write_raster: Any) -> None:
    path = write_raster("B02.tif", ramp(100, 200))
    with open_scene([path], sensor=S2, time=datetime(2020, 5, 6, 7)) as scene:
        assert scene.time == datetime(2020, 5, 6, 7, tzinfo=timezone.utc)


# --- netCDF ----------------------------------------------------------------------------------------------------


def netcdf(write_raster: Any, name: str, array: Any = None, **tags: str) -> Path:
    import rasterio
    from rasterio.shutil import copy

    array = ramp(500, 3000, "float64") if array is None else array
    plain = write_raster("plain/x.tif", array, crs=None, band_tags=tags)
    path = plain.parent.parent / name
    with rasterio.open(plain) as dataset:
        copy(dataset, path, driver="netCDF")
    return path


@pytest.mark.parametrize("text", ["+init=epsg:32719", "32719"])
def test_a_crs_that_is_only_an_attribute_is_read_and_said(write_raster: Any, text: str) -> None:
    path = netcdf(write_raster, "red_band.nc", crs=text)
    with open_scene([path], sensor=S2) as scene:
        assert scene.georeference.epsg == 32719
        assert any("CRS stands only in the attribute 'crs'" in note for note in scene.notes)


def test_an_attribute_that_is_not_utf8_does_not_stop_reading(write_raster: Any) -> None:
    path = netcdf(write_raster, "red_band.nc", units="QQm", crs="+init=epsg:32719")
    data = path.read_bytes()
    assert b"QQm" in data
    path.write_bytes(data.replace(b"QQm", b"\xb5\xb5m"))  # Latin-1 for µ
    with open_scene([path], sensor=S2) as scene:
        _, validity = scene.read((0, 0, 16, 16), ["red"])
        assert validity.all()
        assert scene.georeference.epsg == 32719


def test_each_variable_of_a_netcdf_is_a_band(write_raster: Any) -> None:
    stack = np.stack([ramp(500, 500, "int16"), ramp(700, 700, "int16")])
    path = netcdf(write_raster, "x.nc", stack, crs="EPSG:32719")
    path.write_bytes(path.read_bytes().replace(b"Band1", b"green").replace(b"Band2", b"swir1"))
    with open_scene([path], sensor=S2) as scene:
        pixels, _ = scene.read((0, 0, 2, 2), ["green", "swir16"])
        assert pixels[:, 0, 0] == pytest.approx([0.05, 0.07])
        assert scene.georeference.epsg == 32719
    with open_scene([path], sensor=S2, bands={"red": "x.nc:swir1"}) as scene:
        assert scene.read((0, 0, 1, 1), ["red"])[0][0, 0, 0] == pytest.approx(0.07)


def test_a_dark_scene_is_odd_but_opens(write_raster: Any) -> None:
    with open_scene([write_raster("B02.tif", ramp(1, 5))], sensor=S2) as scene:
        assert any("check sensor and scaling" in note for note in scene.notes)


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_cut_png_is_refused_though_gdal_reads_it(tmp_path: Path, part: float) -> None:
    """GDAL leaves the missing rows to chance and says nothing."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    path = tmp_path / "cut.png"
    Image.fromarray(noise).save(path)
    with open_scene([path], sensor="rgb") as scene:
        assert scene.bands == ("red", "green", "blue")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(InputError, match=r"cut\.png.*the file ends.*restore the file"):
        open_scene([path], sensor="rgb")
