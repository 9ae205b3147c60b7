"""What may be opened, what is refused, and what is said about either."""

from __future__ import annotations

import zipfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from codec.errors import InputError
from codec.scene.names import bands_in_order
from codec.scene.scene import open_scene

S2 = "sentinel2-l1c"


def ramp(low: int, high: int, dtype: str = "uint16", side: int = 16) -> Any:
    return np.linspace(low, high, side * side).reshape(side, side).astype(dtype)


# --- bands -----------------------------------------------------------------------------------------------------


def test_descriptions_name_the_bands_of_one_file_in_any_order(write_raster: Any) -> None:
    stack = np.stack([ramp(100, 200), ramp(300, 400), ramp(500, 600)])
    path = write_raster("x.tif", stack, descriptions=("B8A", "Blue", "SCL"))
    with open_scene([path], sensor=S2) as scene:
        assert scene.bands == ("blue", "nir08")
        pixels, _ = scene.read((0, 0, 1, 1), ["blue", "nir08"])
        assert pixels[:, 0, 0] == pytest.approx([0.03, 0.01])
        assert any("not used" in note and "band 3" in note for note in scene.notes)


@pytest.mark.parametrize("key", ["long_name", "band_name", "COMMON_NAME"])
def test_band_attributes_name_bands(write_raster: Any, key: str) -> None:
    path = write_raster("scene.tif", ramp(100, 200), band_tags={key: "swir16"})
    with open_scene([path], sensor=S2) as scene:
        assert scene.bands == ("swir16",)


def test_a_word_counts_more_than_a_number_and_it_is_said(write_raster: Any) -> None:
    path = write_raster("nir_band.tif", ramp(100, 200), band_tags={"Band": "07"})
    with open_scene([path], sensor=S2) as scene:
        assert scene.bands == ("nir",)
        assert any("07" in note and "rededge078" in note and "nir" in note for note in scene.notes)


def test_a_number_counts_where_no_word_does(write_raster: Any) -> None:
    with open_scene([write_raster("x.tif", ramp(100, 200), band_tags={"Band": "07"})], sensor=S2) as scene:
        assert scene.bands == ("rededge078",)


def test_bands_without_names_are_refused_not_numbered(write_raster: Any) -> None:
    path = write_raster("stack.tif", np.ones((13, 4, 4), np.uint16))
    with pytest.raises(InputError, match=r"stack\.tif: none of 13 bands has a name.*B8A.*") as caught:
        open_scene([path], sensor=S2)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_an_explicit_mapping_names_bands_of_a_file(write_raster: Any) -> None:
    path = write_raster("stack.tif", np.stack([ramp(100, 200), ramp(300, 400)]))
    with open_scene([path], sensor=S2, bands=bands_in_order(["B04", "B03"])) as scene:
        assert scene.bands == ("green", "red")
        pixels, _ = scene.read((0, 0, 1, 1), ["red", "green"])
        assert pixels[:, 0, 0] == pytest.approx([0.01, 0.03])


def test_an_explicit_mapping_names_files_and_bands_of_files(write_raster: Any) -> None:
    one = write_raster("one.tif", ramp(100, 200))
    two = write_raster("two.tif", np.stack([ramp(300, 400), ramp(500, 600)]))
    with open_scene([one, two], sensor=S2, bands={"red": "one.tif", "B08": "two.tif#2"}) as scene:
        pixels, _ = scene.read((0, 0, 1, 1), ["red", "nir"])
        assert pixels[:, 0, 0] == pytest.approx([0.01, 0.05])


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"red": "3"}, r"band red is said to be 3, which is not there; there are x\.tif \(1–2\)"),
        ({"red": "y.tif"}, r"band red is said to be y\.tif, which is not there"),
        ({"swir": "1"}, "no band 'swir'; known are coastal"),
        ({"red": "1", "B04": "2"}, "band red is given twice"),
        ({}, "mapping of bands is empty"),
    ],
)
def test_a_wrong_mapping_is_refused(write_raster: Any, mapping: dict[str, str], message: str) -> None:
    path = write_raster("x.tif", np.ones((2, 4, 4), np.uint16))
    with pytest.raises(InputError, match=message):
        open_scene([path], sensor=S2, bands=mapping)


def test_two_rasters_for_one_band_are_refused_unless_one_is_finer(write_raster: Any) -> None:
    fine = write_raster("T_B02_10m.tif", ramp(100, 200))
    coarse = write_raster(
        "T_B02_20m.tif", ramp(100, 200, side=8), transform=(20.0, 0.0, 500000.0, 0.0, -20.0, 5000000.0)
    )
    with open_scene([fine, coarse], sensor=S2) as scene:
        assert scene.height == 16
    again = write_raster("copy/B02.tif", ramp(100, 200))
    with pytest.raises(InputError, match=r"two rasters are band blue: T_B02_10m\.tif#1 and B02\.tif#1"):
        open_scene([fine, again], sensor=S2)


def test_a_name_that_means_two_bands_is_refused(write_raster: Any) -> None:
    with pytest.raises(InputError, match=r"'ratio_B08_B04' names more than one band"):
        open_scene([write_raster("ratio_B08_B04.tif", ramp(1, 2))], sensor=S2)


def test_asking_for_a_missing_band_names_it_and_what_is_there(write_raster: Any) -> None:
    path = write_raster("B02.tif", ramp(100, 200))
    with pytest.raises(InputError, match=r"no band red, swir16; they have blue"):
        open_scene([path], sensor=S2, use=["blue", "B11", "B04"])
    with open_scene([path], sensor=S2) as scene, pytest.raises(InputError, match="no band red; it has blue"):
        scene.read((0, 0, 1, 1), ["red"])


def test_bands_that_do_not_see_the_ground_are_opened_only_by_name(write_raster: Any) -> None:
    pan_grid = (15.0, 0.0, 500000.0, 0.0, -15.0, 5000000.0)
    grid = (30.0, 0.0, 500000.0, 0.0, -30.0, 5000000.0)
    paths = [
        write_raster("SR_B4.tif", ramp(8000, 9000), transform=grid),
        write_raster("SR_B8.tif", ramp(8000, 9000, side=32), transform=pan_grid),
    ]
    with open_scene(paths, sensor="landsat8", scaling="c2-sr") as scene:
        assert (scene.bands, scene.height) == (("red",), 16)
    with open_scene(paths, sensor="landsat8", scaling="c2-sr", use=["red", "pan"]) as scene:
        assert (scene.bands, scene.height) == (("red", "pan"), 32)


# --- sensors ---------------------------------------------------------------------------------------------------


def test_a_plain_rgb_picture_opens_by_its_colours(write_raster: Any) -> None:
    rgb = np.stack([ramp(255, 255, "uint8"), ramp(51, 51, "uint8"), ramp(0, 0, "uint8")])
    path = write_raster(
        "x.png", rgb, driver="PNG", crs=None, transform=None, colours=("red", "green", "blue")
    )
    with open_scene([path]) as scene:
        assert scene.sensor.name == "rgb"
        pixels, validity = scene.read((0, 0, 1, 1), ["red", "green", "blue"])
        assert pixels[:, 0, 0] == pytest.approx([0.3, 0.06, 0.0])  # DN/255·0.3
        assert validity.all()  # 255 is a clipped measurement, 0 is black
        assert not scene.georeference.has_crs
        assert any("no CRS" in note for note in scene.notes)


def test_an_alpha_band_becomes_validity(write_raster: Any) -> None:
    alpha = np.full((16, 16), 255, np.uint8)
    alpha[3:5] = 0
    stack = np.stack([*(ramp(10, 200, "uint8") for _ in range(3)), alpha])
    path = write_raster("x.tif", stack, colours=("red", "green", "blue", "alpha"), photometric="RGB")
    with open_scene([path]) as scene:
        _, validity = scene.read((0, 0, 16, 16), scene.bands)
    np.testing.assert_array_equal(validity, alpha > 0)


def four_bands(write_raster: Any, **options: Any) -> Path:
    """What a writer makes of red, green, blue, near infrared as 8 bits when nobody says what they are."""
    stack = np.stack([ramp(10, 200, "uint8") for _ in range(4)])
    stack[3, 3:5] = 0  # dark in the near infrared, and measured
    return write_raster(
        "n.tif", stack, colours=("red", "green", "blue", "alpha"), photometric="RGB", **options
    )


def test_a_fourth_band_that_the_mapping_names_is_measured_and_masks_nothing(write_raster: Any) -> None:
    order = {"red": "1", "green": "2", "blue": "3", "nir": "4"}
    with open_scene([four_bands(write_raster)], sensor="naip", bands=order) as scene:
        assert tuple(scene.bands) == ("red", "green", "blue", "nir")
        pixels, validity = scene.read((0, 0, 16, 16), ["nir"])
    assert validity.all()
    assert pixels[0, 3:5].max() < pixels[0, 6:].min()


def test_a_fourth_band_that_is_left_out_as_alpha_is_said(write_raster: Any) -> None:
    with open_scene([four_bands(write_raster)], sensor="naip") as scene:
        assert tuple(scene.bands) == ("red", "green", "blue")
        assert any("band 4" in note and "alpha" in note and "mapping" in note for note in scene.notes)


def test_an_unknown_origin_is_refused_with_the_known_sensors(write_raster: Any) -> None:
    with pytest.raises(InputError, match=r"which sensor.*sentinel2-l1c.*s2-export8"):
        open_scene([write_raster("B02.tif", ramp(100, 200))])


def test_a_product_name_tells_sensor_scale_and_time(write_raster: Any) -> None:
    name = "S2A_MSIL2A_20220126T100031_N0400_R122_T32TMT_20220126T120000/B04.tif"
    with open_scene([write_raster(name, ramp(1100, 3000))]) as scene:
        assert scene.sensor.name == "sentinel2-l2a"
        assert scene.time == datetime(2022, 1, 26, 10, 0, 31, tzinfo=timezone.utc)
        pixels, _ = scene.read((0, 0, 1, 1), ["red"])
        assert pixels[0, 0, 0] == pytest.approx(0.01)
        assert any("plus1000" in note and "N0400" in note for note in scene.notes)


@pytest.mark.parametrize(
    "other", ["LC09_L2SP_001002_20210331_20210426", "LC08_L2SP_001002_20220331_20220426"]
)
def test_files_of_two_products_are_refused(write_raster: Any, other: str) -> None:
    paths = [
        write_raster("LC08_L2SP_001002_20210331_20210426_02_T1_SR_B4.TIF", ramp(8000, 9000)),
        write_raster(f"{other}_02_T1_SR_B3.TIF", ramp(8000, 9000)),
    ]
    with pytest.raises(InputError, match="different products"):
        open_scene(paths)


def test_a_sensor_said_against_the_name_is_taken_and_said(write_raster: Any) -> None:
    path = write_raster(
        "S2A_MSIL2A_20210126T100031_N0214_R122_T32TMT_20210126T120000_B04.tif", ramp(100, 300)
    )
    with open_scene([path], sensor="sentinel2-l1c") as scene:
        assert scene.sensor.name == "sentinel2-l1c"
        assert any("says sentinel2-l2a" in note for note in scene.notes)


# --- reflectance -----------------------------------------------------------------------------------------------


def test_landsat_collection_2_scale_comes_from_the_product_name(write_raster: Any) -> None:
    path = write_raster("LC08_L2SP_001002_20210331_20210426_02_T1_SR_B4.TIF", ramp(10000, 20000))
    with open_scene([path]) as scene:
        pixels, _ = scene.read((0, 0, 1, 1), ["red"])
    assert pixels[0, 0, 0] == pytest.approx(10000 * 0.0000275 - 0.2)


def test_landsat_level_1_wants_the_sun_and_says_so(write_raster: Any) -> None:
    path = write_raster("LC08_L1TP_001002_20210331_20210426_02_T1_B4.TIF", ramp(10000, 20000))
    with open_scene([path]) as scene:
        plain, _ = scene.read((0, 0, 1, 1), ["red"])
        assert any("sun's elevation is not known" in note for note in scene.notes)
    with open_scene([path], sun_elevation_deg=30.0) as scene:
        corrected, _ = scene.read((0, 0, 1, 1), ["red"])
    assert plain[0, 0, 0] == pytest.approx(10000 * 2e-5 - 0.1)
    assert corrected[0, 0, 0] == pytest.approx(2 * (10000 * 2e-5 - 0.1))


def test_landsat_16_bit_numbers_without_a_name_are_refused(write_raster: Any) -> None:
    path = write_raster("B4.tif", ramp(10000, 20000))
    with pytest.raises(
        InputError, match=r"nothing tells how uint16 .* give the scaling: c2-sr, sr-1e4, l1-toa"
    ):
        open_scene([path], sensor="landsat8")


def test_signed_landsat_numbers_are_ten_thousandths(write_raster: Any) -> None:
    data = ramp(100, 4000, "int16")
    data[0, :3] = (-9999, 20000, 16000)
    with open_scene([write_raster("B4.tif", data)], sensor="landsat5") as scene:
        pixels, validity = scene.read((0, 0, 16, 16), ["nir"])
    assert validity.sum() == 256 - 3  # fill, saturated, clipped
    assert pixels[0, -1, -1] == pytest.approx(0.4)


def test_scale_and_offset_in_the_file_are_used(write_raster: Any) -> None:
    path = write_raster("B02.tif", ramp(2000, 3000), scale=1e-4, offset=-0.1)
    with open_scene([path], sensor="sentinel2-l2a") as scene:
        pixels, _ = scene.read((0, 0, 1, 1), ["blue"])
        assert any("the file's own" in note for note in scene.notes)
    assert pixels[0, 0, 0] == pytest.approx(0.1)


def test_floating_point_reflectance_stays_as_it_is(write_raster: Any) -> None:
    path = write_raster("B02.tif", np.linspace(0.01, 0.4, 256, dtype=np.float32).reshape(16, 16))
    with open_scene([path], sensor="sentinel2-l2a") as scene:
        pixels, _ = scene.read((0, 0, 16, 16), ["blue"])
        assert any("floating-point" in note for note in scene.notes)
    assert (pixels[0, 0, 0], pixels[0, -1, -1]) == pytest.approx((0.01, 0.4))


def test_the_caller_overrides_and_hears_what_the_pixels_say(write_raster: Any) -> None:
    path = write_raster("B02.tif", ramp(300, 3000))
    with open_scene([path], sensor="sentinel2-l2a", scaling="plus1000") as scene:
        pixels, _ = scene.read((0, 0, 1, 1), ["blue"])
        assert any("the pixels speak for no-offset" in note for note in scene.notes)
    assert pixels[0, 0, 0] == pytest.approx(-0.07)


def test_an_open_question_of_the_offset_is_refused(write_raster: Any) -> None:
    with pytest.raises(
        InputError, match=r"\+1000 of baseline 04\.00.*give the scaling: no-offset or plus1000"
    ):
        open_scene([write_raster("B02.tif", ramp(1400, 3000))], sensor="sentinel2-l2a")


def test_8_bit_numbers_are_not_sentinel2_reflectance(write_raster: Any) -> None:
    with pytest.raises(InputError, match="8-bit numbers are not sentinel2-l1c; name the sensor s2-export8"):
        open_scene([write_raster("B02.tif", ramp(3, 250, "uint8"))], sensor=S2)


def test_16_bit_numbers_are_not_an_8_bit_sensor(write_raster: Any) -> None:
    path = write_raster("red.tif", ramp(3, 2500))
    with pytest.raises(InputError, match="band red holds 2500, naip has numbers up to 255"):
        open_scene([path], sensor="naip")


def test_what_cannot_be_reflectance_is_refused(write_raster: Any) -> None:
    path = write_raster("B4.tif", ramp(30000, 32000, "int16"))
    with pytest.raises(InputError, match=r"median reflectance of nir is 3\.1.*do not fit"):
        open_scene([path], sensor="landsat5")
    with open_scene([path], sensor="landsat5", scaling="sr-1e4") as scene:
        assert any("median reflectance of nir is 3.1" in note for note in scene.notes)


def test_8_bit_exports_are_invalid_where_saturated(write_raster: Any) -> None:
    data = ramp(0, 250, "uint8")
    data[5, 5] = 255
    with open_scene([write_raster("B02.tif", data)], sensor="s2-export8") as scene:
        pixels, validity = scene.read((0, 0, 16, 16), ["blue"])
    assert (~validity).sum() == 1
    assert not validity[5, 5]
    assert pixels[0, -1, -1] == pytest.approx(250 / 255 * 0.4)


def test_8_bit_radiance_needs_date_and_sun(write_raster: Any) -> None:
    path = write_raster("B1.tif", ramp(10, 200, "uint8"))
    with pytest.raises(InputError, match="only with the sensing date"):
        open_scene([path], sensor="landsat7-dn8", sun_elevation_deg=50.0)
    with pytest.raises(InputError, match="only with the sun's elevation"):
        open_scene([path], sensor="landsat7-dn8", time=datetime(2000, 3, 31))


# --- validity --------------------------------------------------------------------------------------------------


def test_nodata_tag_zero_and_nan_are_invalid_and_nan_is_said(write_raster: Any) -> None:
    data = ramp(500, 3000, "float32")
    data[0, 0], data[0, 1], data[0, 2] = np.nan, -99999.0, 0.0
    with open_scene([write_raster("B02.tif", data, nodata=-99999.0)], sensor=S2) as scene:
        pixels, validity = scene.read((0, 0, 16, 16), ["blue"])
        scene.read((0, 0, 16, 16), ["blue"])
        assert sum("NaN" in note for note in scene.notes) == 1
    assert validity.sum() == 256 - 3
    assert np.isfinite(pixels).all()


@pytest.mark.parametrize(
    ("nodata", "kinds"), [(None, {"NaN", "infinite"}), (np.nan, {"infinite"}), (np.inf, {"NaN"})]
)
def test_infinite_pixels_are_invalid_and_said_apart_from_nan(
    write_raster: Any, nodata: float | None, kinds: set[str]
) -> None:
    data = ramp(500, 3000, "float32")
    data[0, 0], data[0, 1] = np.nan, np.inf
    with open_scene([write_raster("B02.tif", data, nodata=nodata)], sensor=S2) as scene:
        pixels, validity = scene.read((0, 0, 16, 16), ["blue"])
        scene.read((0, 0, 16, 16), ["blue"])
        said = [
            kind for note in scene.notes for kind in ("NaN", "infinite") if f"holds {kind} pixels" in note
        ]
    assert sorted(said) == sorted(kinds)
    assert validity.sum() == 256 - 2
    assert np.isfinite(pixels).all()


def test_minus_infinity_is_said_where_infinity_is_nodata(write_raster: Any) -> None:
    data = ramp(500, 3000, "float32")
    data[0, 0], data[0, 1] = -np.inf, np.inf
    with open_scene([write_raster("B02.tif", data, nodata=np.inf)], sensor=S2) as scene:
        _, validity = scene.read((0, 0, 16, 16), ["blue"])
        assert sum("holds infinite pixels" in note for note in scene.notes) == 1
    assert validity.sum() == 256 - 2


def test_a_nodata_tag_is_compared_in_the_files_own_precision(write_raster: Any) -> None:
    data = np.full((16, 16), 0.2, np.float32)
    data[0] = np.float32(-3.4028235e38)
    with open_scene([write_raster("B02.tif", data, nodata=-3.4028234663852886e38)], sensor=S2) as scene:
        _, validity = scene.read((0, 0, 16, 16), ["blue"])
    assert validity.sum() == 15 * 16


def test_a_nodata_text_means_the_number_it_rounds_to(write_raster: Any, tmp_path: Path) -> None:
    data = np.full((16, 16), 0.2, np.float32)
    data[0] = np.float32(-9999.9)  # a float32 that is not the decimal number
    write_raster("x.tif", data)
    (tmp_path / "B02.vrt").write_text(
        '<VRTDataset rasterXSize="16" rasterYSize="16"><VRTRasterBand dataType="Float32" band="1">'
        "<NoDataValue>-9999.9</NoDataValue><SimpleSource>"
        '<SourceFilename relativeToVRT="1">x.tif</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with open_scene([tmp_path / "B02.vrt"], sensor=S2) as scene:
        _, validity = scene.read((0, 0, 16, 16), ["blue"])
    assert validity.sum() == 15 * 16


def test_a_scene_without_one_valid_pixel_opens_invalid_or_asks_for_the_scale(write_raster: Any) -> None:
    path = write_raster("B02.tif", np.zeros((16, 16), np.uint16))
    with pytest.raises(InputError, match="no valid pixel"):
        open_scene([path], sensor=S2)
    with open_scene([path], sensor=S2, scaling="no-offset") as scene:
        pixels, validity = scene.read((0, 0, 16, 16), ["blue"])
    assert not validity.any()
    assert not pixels.any()


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
