"""What numbers of a scene mean as reflectance, and which of them were measured."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import InputError
from codec.scene.scene import open_scene
from tests.scene.ramps import S2, ramp

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
