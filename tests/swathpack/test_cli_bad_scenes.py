"""Scenes that cannot be encoded: one line, the documented exit code, no output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.swathpack.conftest import Cli
from tests.swathpack.small_scene import ARGUMENTS, BANDS, pixels, write_scene


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.nec"


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path, out: Path) -> object:
    yield
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))  # temporary files


def test_a_missing_file_is_named(cli: Cli, tmp_path: Path, out: Path) -> None:
    cli("encode", tmp_path / "absent.tif", "-o", out).refused(3, "absent.tif", "no such file")


def test_an_empty_file_is_named(cli: Cli, tmp_path: Path, out: Path) -> None:
    (tmp_path / "empty.tif").touch()
    cli("encode", tmp_path / "empty.tif", "-o", out).refused(3, "empty.tif", "empty")


def test_a_file_that_is_no_raster_is_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    (tmp_path / "text.tif").write_text("not a raster")
    cli("encode", tmp_path / "text.tif", "-o", out).refused(3, "text.tif", "GDAL cannot read it")


def test_a_folder_without_rasters_is_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    cli("encode", tmp_path, "-o", out).refused(3, "no raster file")


def test_standard_input_is_no_scene(cli: Cli, out: Path) -> None:
    cli("encode", "-", "-o", out, stdin=b"II*\0").refused(3, "no such file")


def test_a_sensor_that_nothing_tells_is_asked_for(cli: Cli, scene_tif: Path, out: Path) -> None:
    cli("encode", scene_tif, "-o", out).refused(3, "nothing tells which sensor", "sentinel2-l2a")


def test_an_unknown_sensor_is_named(cli: Cli, scene_tif: Path, out: Path) -> None:
    cli("encode", scene_tif, "-o", out, "--sensor", "sputnik").refused(3, "sputnik", "landsat8")


def test_an_unknown_band_name_is_named_with_the_known_ones(cli: Cli, scene_tif: Path, out: Path) -> None:
    ran = cli("encode", scene_tif, "-o", out, *ARGUMENTS, "--band", "ultraviolet=1")
    ran.refused(3, "ultraviolet", "swir22")


def test_a_band_said_to_be_where_none_is_is_named(cli: Cli, scene_tif: Path, out: Path) -> None:
    ran = cli("encode", scene_tif, "-o", out, *ARGUMENTS, "--band", "red=17")
    ran.refused(3, "red", "17")


def test_bands_without_names_are_not_guessed(cli: Cli, tmp_path: Path, out: Path) -> None:
    path = write_scene(tmp_path / "nameless.tif", names=tuple("" for _ in BANDS))
    cli("encode", path, "-o", out, *ARGUMENTS).refused(3, "positions are not guessed")


def test_a_scene_with_no_band_of_the_model_is_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    path = write_scene(tmp_path / "pan.tif", pixels()[:1], names=("pan",))
    ran = cli(
        "encode", path, "-o", out, "--sensor", "landsat8", "--scaling", "reflectance", "--band", "pan=1"
    )
    ran.refused(3, "no band of the model", "found pan")


def test_a_scene_of_nodata_alone_is_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    path = write_scene(tmp_path / "nodata.tif", np.zeros((6, 80, 80), np.uint16))
    cli("encode", path, "-o", out, *ARGUMENTS).refused(3, "no valid pixel")


def test_a_scene_of_nan_alone_is_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    path = write_scene(tmp_path / "nan.tif", np.full((6, 80, 80), np.nan, np.float32), nodata=None)
    ran = cli("encode", path, "-o", out, "--sensor", "sentinel2-l2a", "--scaling", "reflectance")
    ran.refused(3, "no valid pixel")


def test_a_raster_of_zero_width_is_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    path = tmp_path / "flat.vrt"
    band = '<VRTRasterBand dataType="UInt16" band="1"><Description>red</Description></VRTRasterBand>'
    path.write_text(f'<VRTDataset rasterXSize="0" rasterYSize="64">{band}</VRTDataset>')
    cli("encode", path, "-o", out, *ARGUMENTS).refused(3, "flat.vrt")


def test_a_raster_whose_header_says_zero_columns_is_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    path = write_scene(tmp_path / "zero.tif", pixels(64, 64))
    data = bytearray(path.read_bytes())
    # TIFF 6.0: an entry is tag, type, count, value; ImageWidth is tag 256 of type SHORT. Older directories may be left.
    entry = (256).to_bytes(2, "little") + (3).to_bytes(2, "little") + (1).to_bytes(4, "little")
    assert entry in data
    data = data.replace(entry + (64).to_bytes(4, "little"), entry + bytes(4))
    path.write_bytes(data)
    cli("encode", path, "-o", out, *ARGUMENTS).refused(3, "zero.tif")


def test_a_scene_of_more_tiles_than_a_file_holds_is_refused_at_once(
    cli: Cli, tmp_path: Path, out: Path
) -> None:
    path = tmp_path / "strip.vrt"
    place = "<SRS>EPSG:32632</SRS><GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform>"
    band = '<VRTRasterBand dataType="UInt16" band="1"><Description>red</Description></VRTRasterBand>'
    path.write_text(f'<VRTDataset rasterXSize="20000" rasterYSize="20000">{place}{band}</VRTDataset>')
    cli("encode", path, "-o", out, *ARGUMENTS).refused(3, "97969 tiles", "65536")


def test_a_cut_raster_is_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    path = write_scene(tmp_path / "cut.tif")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cli("encode", path, "-o", out, *ARGUMENTS).refused(3, "cut.tif")


def test_nan_pixels_are_not_measured_and_that_is_said(cli: Cli, tmp_path: Path) -> None:
    data = pixels().astype(np.float32) / 10_000
    data[:, :70, :70] = np.nan
    path = write_scene(tmp_path / "holes.tif", data, nodata=None)
    nec = tmp_path / "holes.nec"
    ran = cli("encode", path, "-o", nec, "--sensor", "sentinel2-l2a", "--scaling", "reflectance")
    assert ran.code == 0, ran.err
    assert "NaN pixels, taken as not measured" in ran.err
    assert "1 of 12 tiles hold no data" in ran.err
    cli("decode", nec, "-o", tmp_path / "holes.npz")
    with np.load(tmp_path / "holes.npz") as arrays:
        assert not arrays["tokens_validity"][0].any()
        assert arrays["tokens_validity"][5].any()
        assert np.isfinite(arrays["tokens"]).all()
    import rasterio

    cli("decode", nec, "-o", tmp_path / "holes-map.tif")
    with rasterio.open(tmp_path / "holes-map.tif") as dataset:
        image = dataset.read()
    # Of 9 × 9 tokens that begin in the hole of 70 × 70 pixels, the last row and column are valid for 2 of 8 pixels: too few.
    assert np.isnan(image[:, :9, :9]).all()
    assert np.isfinite(image[:, 9:, 9:]).all()


def test_infinite_pixels_are_not_measured_either(cli: Cli, tmp_path: Path) -> None:
    data = pixels().astype(np.float32) / 10_000
    data[2, :70, :70] = np.inf
    path = write_scene(tmp_path / "inf.tif", data, nodata=None)
    ran = cli(
        "encode", path, "-o", tmp_path / "inf.nec", "--sensor", "sentinel2-l2a", "--scaling", "reflectance"
    )
    assert ran.code == 0, ran.err
    assert "note: inf.tif band 3 holds infinite pixels, taken as not measured" in ran.err
    assert "1 of 12 tiles hold no data" in ran.err
