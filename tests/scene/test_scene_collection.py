"""The sensors of the shared collection, with the facts its README states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import InputError
from codec.scene.dn_offset import dark_level, judge_dn_offset
from codec.scene.names import bands_in_order
from codec.scene.scene import Scene, open_scene
from codec.scene.sensors import sensor
from codec.scene.tiling import tiles

S2_ORDER = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
L2A_ORDER = [native for native in S2_ORDER if native != "B10"]
EUROSAT_ORDER = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A"]


def read_all(scene: Scene) -> tuple[Any, Any]:
    return scene.read((0, 0, scene.height, scene.width), scene.bands)


# README "DN offsets", measured there from the minimum of band 10 or of all bands.
OFFSETS = [
    ("282D_485L_3_3", "S2L1C", 1000),
    ("282D_485L_3_3", "S2L2A", 0),
    ("38D_378R_2_3", "S2L1C", 0),
    ("38D_378R_2_3", "S2L2A", 0),
    ("433D_629L_3_1", "S2L1C", 1000),
    ("433D_629L_3_1", "S2L2A", 1000),
    ("609U_541L_3_0", "S2L1C", 1000),
    ("609U_541L_3_0", "S2L2A", 0),
]


@pytest.mark.shared_data
@pytest.mark.parametrize(("place", "level", "offset"), OFFSETS)
def test_the_pixels_tell_the_offset_of_the_terramind_files(
    shared_data: Path, place: str, level: str, offset: int
) -> None:
    import rasterio

    path = shared_data / "terramind_pairs" / place / f"{level}.jp2"
    order = S2_ORDER if level == "S2L1C" else L2A_ORDER
    with open_scene([path], sensor=f"sentinel2-l{level[-2:].lower()}", bands=bands_in_order(order)) as scene:
        pixels, validity = scene.read((50, 60, 40, 40), ["red", "nir"])
        assert any(("plus1000" if offset else "no-offset") in note for note in scene.notes)
    with rasterio.open(path) as dataset:
        dn = dataset.read([4, 8], window=((50, 90), (60, 100))).astype(np.float64)
    np.testing.assert_allclose(pixels, (dn - offset) / 1e4, atol=1e-6)
    assert validity.all()


@pytest.mark.shared_data
@pytest.mark.parametrize(
    "bands", [S2_ORDER, L2A_ORDER, ["B02", "B03", "B04", "B08"], ["B02", "B03", "B04", "B08", "B11", "B12"]],
    ids=["13 bands", "12 bands", "4 bands", "6 bands"],
)  # fmt: skip
def test_the_offset_of_a_eurosat_tile_is_never_judged_wrongly(shared_data: Path, bands: list[str]) -> None:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    names = {band.native: band.name for band in sensor("sentinel2-l1c").bands}
    with (
        pytest.warns(NotGeoreferencedWarning),
        rasterio.open(shared_data / "eurosat_ms" / "val.jp2") as dataset,
    ):
        stack = dataset.read().reshape(13, -1, 64 * 64).astype(np.float64)
    open_questions = 0
    for tile in stack.transpose(1, 0, 2):
        dark = {names[native]: dark_level(tile[EUROSAT_ORDER.index(native)]) for native in bands}
        assert judge_dn_offset("l1c", dark).scaling == "no-offset"
        shifted = judge_dn_offset("l1c", {name: level + 1000 for name, level in dark.items()}).scaling
        assert shifted in ("plus1000", None)
        open_questions += shifted is None
    if "B10" in bands:
        assert open_questions == 0


@pytest.mark.shared_data
def test_a_60_m_band_as_esa_ships_it_opens(shared_data: Path) -> None:
    path = shared_data / "s2_product_jp2" / "B01.jp2"
    with pytest.raises(InputError, match=r"\+1000"):  # one short-wave band alone cannot tell
        open_scene([path], sensor="sentinel2-l2a")
    with open_scene([path], sensor="sentinel2-l2a", scaling="plus1000") as scene:
        assert (scene.bands, scene.height, scene.width) == (("coastal",), 1830, 1830)
        assert scene.georeference.epsg == 32615
        assert scene.georeference.transform[0] == 60.0
        pixels, validity = scene.read((0, 0, 64, 64), ["coastal"])
    assert validity.all()
    assert pixels.min() >= 0.0005 - 1e-6  # README: minimum DN 1005


@pytest.mark.shared_data
def test_lahinch_has_nodata_edges_and_two_bands_that_are_none(shared_data: Path) -> None:
    path = shared_data / "s2_series_lahinch" / "2017-09-26_s2.jp2"
    with open_scene([path], sensor="sentinel2-l1c", bands=bands_in_order(S2_ORDER)) as scene:
        assert (scene.height, scene.width) == (158, 214)
        assert scene.georeference.epsg == 32629
        assert "cirrus" in scene.bands  # named explicitly
        _, validity = read_all(scene)
    assert 0.98 < validity.mean() < 0.99  # README: 1.3 % without data


@pytest.mark.shared_data
def test_clipped_landsat_pixels_are_invalid(shared_data: Path) -> None:
    import rasterio

    path = shared_data / "landsat7_chiapas" / "20020416.tif"
    order = ["B1", "B2", "B3", "B4", "B5", "B7"]
    with open_scene([path], sensor="landsat7", bands=bands_in_order(order)) as scene:
        pixels, validity = read_all(scene)
        assert scene.bands == ("blue", "green", "red", "nir", "swir16", "swir22")
    with rasterio.open(path) as dataset:
        dn = dataset.read([1, 2, 3, 4, 5, 6])
    measured = ((dn != 16000) & (dn != 20000) & (dn != -9999)).all(axis=0)
    np.testing.assert_array_equal(validity, measured)
    np.testing.assert_allclose(pixels[:, measured], dn[:, measured] / 1e4, atol=1e-6)


@pytest.mark.shared_data
def test_naip_needs_its_order_said_and_opens_with_it(shared_data: Path) -> None:
    path = shared_data / "naip_prairie" / "20120731.jp2"
    with pytest.raises(InputError, match="none of 4 bands has a name"):
        open_scene([path], sensor="naip")
    with open_scene([path], sensor="naip", bands=bands_in_order(["R", "G", "B", "N"])) as scene:
        assert scene.georeference.epsg == 26914
        pixels, _ = scene.read((100, 100, 64, 64), ["nir", "red"])
        assert pixels.max() <= 0.4
        assert (pixels[0] > pixels[1]).mean() > 0.9  # summer prairie
        assert scene.raw_bytes == 4 * 723 * 934


@pytest.mark.shared_data
def test_the_8_bit_export_is_invalid_outside_its_area(shared_data: Path) -> None:
    import rasterio

    path = shared_data / "s2_beaufort_nc" / "s2_8bit.jp2"
    with open_scene([path], sensor="s2-export8", bands=bands_in_order(S2_ORDER[:8])) as scene:
        window = (0, 700, 200, 700)
        _, validity = scene.read(window, scene.bands)
    with rasterio.open(path) as dataset:
        dn = dataset.read(window=((0, 200), (700, 1400)))
    np.testing.assert_array_equal(validity, (dn != 255).all(axis=0))


@pytest.mark.shared_data
def test_landsat_8_level_1_must_be_told_and_keeps_the_missing_crs(shared_data: Path) -> None:
    path = shared_data / "cloud38" / "032029_20160420.jp2"
    order = bands_in_order(["red", "green", "blue", "nir"])
    with pytest.raises(InputError, match="give the scaling: c2-sr, sr-1e4, l1-toa"):
        open_scene([path], sensor="landsat8", bands=order)
    with open_scene([path], sensor="landsat8", bands=order, scaling="l1-toa") as scene:
        assert not scene.georeference.has_crs
        tile = next(tiles(scene, ["red", "nir08", "nir"], core=64, margin=8))
    np.testing.assert_array_equal(tile.bands_present, [True, True, False])


@pytest.mark.shared_data
def test_a_jpeg_of_three_colours_is_rgb(shared_data: Path) -> None:
    with open_scene([shared_data / "dubai" / "t1_1.jpg"]) as scene:
        assert scene.sensor.name == "rgb"
        assert (scene.height, scene.width) == (644, 797)
