"""Which bands and which sensor a scene has, what is refused, and what is said about either."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import InputError
from codec.scene.names import bands_in_order
from codec.scene.scene import open_scene
from tests.scene.ramps import S2, ramp

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
