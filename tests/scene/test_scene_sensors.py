"""The sensor table against product metadata, and conversions against hand calculation."""

from __future__ import annotations

import math
import re
import zipfile
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

import pytest

from codec.errors import InputError
from codec.scene.dn_offset import judge_dn_offset
from codec.scene.names import bands_in_order, find, match, matches_within, spellings
from codec.scene.product_names import read_product_name
from codec.scene.radiance import earth_sun_distance_au, reflectance_line
from codec.scene.sensor_page import page
from codec.scene.sensors import CANONICAL_BANDS, SENSORS, RadianceRange, Role, Sensor, sensor

ALL = pytest.mark.parametrize("one", SENSORS.values(), ids=lambda s: s.name)


@ALL
def test_a_sensor_name_fits_the_header(one: Sensor) -> None:
    assert re.fullmatch(r"[a-z0-9-]{1,16}", one.name)  # docs/bitstream.md §3


@ALL
def test_bands_have_canonical_names_once(one: Sensor) -> None:
    assert set(one.band_names) <= set(CANONICAL_BANDS)
    assert len(set(one.band_names)) == len(one.bands)


@ALL
def test_no_spelling_means_two_bands(one: Sensor) -> None:
    seen: dict[str, str] = {}
    for band in one.bands:
        for spelling in spellings(band):
            assert seen.setdefault(spelling, band.name) == band.name


@ALL
def test_every_spelling_finds_its_band(one: Sensor) -> None:
    for band in one.bands:
        for text in (band.name, band.native, *band.aliases):
            assert match(one, text) == band
            assert match(one, text.upper()) == band


def test_sentinel2_wavelengths_and_gsd_are_those_of_the_product_metadata(shared_data: Path) -> None:
    with zipfile.ZipFile(shared_data / "s2_safe_skeleton.zip") as archive:
        name = next(n for n in archive.namelist() if n.endswith("MTD_MSIL2A.xml"))
        root = ElementTree.fromstring(archive.read(name))
    stated = {
        "B" + (physical if physical == "8A" else physical.zfill(2)): (
            float(info.findtext("Wavelength/CENTRAL")),
            float(info.findtext("RESOLUTION")),
        )
        for info in root.iter("Spectral_Information")
        for physical in [info.get("physicalBand").removeprefix("B")]
    }
    assert len(stated) == 13
    for band in sensor("sentinel2-l1c").bands:
        wavelength, gsd = stated[band.native]
        assert band.wavelength_nm == pytest.approx(wavelength, abs=1.5)  # the satellites differ by about 1 nm
        assert band.gsd_m == gsd


def test_level_2a_is_level_1c_without_band_10() -> None:
    l1c, l2a = sensor("sentinel2-l1c"), sensor("sentinel2-l2a")
    assert [b for b in l1c.bands if b.native != "B10"] == list(l2a.bands)


def test_bands_that_do_not_see_the_ground_are_marked() -> None:
    marked = {b.native for b in sensor("landsat8").bands if b.role is not Role.SURFACE}
    assert marked == {"B8", "B9", "B10"}


def test_the_page_is_the_table(root: Path) -> None:
    assert (root / "docs" / "sensors.md").read_text() == page(), (
        "run python -m codec.scene.sensor_page docs/sensors.md"
    )


def test_an_unknown_sensor_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown sensor 'spot'.*sentinel2-l1c.*rgb"):
        sensor("spot")


def test_an_unknown_band_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"naip has no band 'swir'.*red \(R\).*nir \(N\)"):
        find(sensor("naip"), "swir")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("T22HBD_20210122T133229_B8A_20m", ["nir08"]),
        ("B4 - Red", ["red"]),
        ("nir_band", ["nir"]),
        ("__xarray_dataarray_variable__", []),
        ("band B and G", []),  # single letters name nothing inside a text
        ("Red Edge 1", ["rededge071"]),
        ("S2A_TCI_10m", []),
        ("ratio_B08_B04", ["nir", "red"]),
    ],
)
def test_words_of_a_text_name_bands(text: str, names: list[str]) -> None:
    assert [band.name for band in matches_within(sensor("sentinel2-l1c"), text)] == names


def test_a_single_letter_in_a_name_is_no_band() -> None:
    assert matches_within(sensor("naip"), "scene_r_2012") == ()
    assert [band.name for band in matches_within(sensor("naip"), "R")] == ["red"]  # alone it is


def test_snow_in_the_visible_bands_alone_is_no_sign_of_the_offset() -> None:
    snow = {"blue": 1600.0, "green": 1100.0, "red": 1100.0, "nir": 1100.0}
    assert judge_dn_offset("l2a", snow).scaling is None
    assert judge_dn_offset("l2a", {**snow, "swir16": 1100.0}).scaling == "plus1000"


def test_bands_in_order_numbers_from_one_and_skips() -> None:
    assert bands_in_order(["B04", "-", "B08"]) == {"B04": "1", "B08": "3"}
    with pytest.raises(InputError, match="'B04' is given twice"):
        bands_in_order(["B04", "B04"])


@pytest.mark.parametrize(
    ("name", "sensor_name", "scaling", "day"),
    [
        ("S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_x.SAFE", "sentinel2-l2a", "no-offset", 22),
        ("S2A_MSIL1C_20220126T100000_N0400_R081_T22HBD_x.zip", "sentinel2-l1c", "plus1000", 26),
        ("S2B_MSIL2A_20210122T133229_N0500_R081_T22HBD_x.tif", "sentinel2-l2a", "plus1000", 22),
        ("LC08_L2SP_001002_20210331_20210426_02_T1_SR_B4.TIF", "landsat8", "c2-sr", 31),
        ("LC09_L1TP_001002_20220331_20220426_02_T1_B4.TIF", "landsat9", "l1-toa", 31),
        ("LT05_L1TP_095066_20100601_20170222_01_T1_B1.TIF", "landsat5", None, 1),
        ("T22HBD_20210122T133229_B02_10m.jp2", "sentinel2-l2a", None, 22),
        ("T22HBD_20210122T133229_B02.jp2", None, None, 22),
        ("lsat7_2000_10.tif", None, None, None),
    ],
)
def test_product_names_tell_sensor_scale_and_day(
    name: str, sensor_name: str | None, scaling: str | None, day: int | None
) -> None:
    read = read_product_name(name)
    assert (read.sensor, read.scaling) == (sensor_name, scaling)
    assert (read.time.day if read.time else None) == day


@pytest.mark.parametrize(
    ("month", "day", "distance"),
    [(1, 3, 0.98329), (7, 4, 1.01671), (4, 4, 1.0), (10, 5, 1.0)],  # perihelion, aphelion, mean distance
)
def test_earth_sun_distance(month: int, day: int, distance: float) -> None:
    assert earth_sun_distance_au(datetime(2000, month, day, tzinfo=timezone.utc)) == pytest.approx(
        distance, abs=5e-4
    )


def test_radiance_becomes_reflectance_as_by_hand() -> None:
    # At the mean distance, sun at 30°: ρ = π·L·1/(ESUN·½). Radiance 0 … 254 over DN 1 … 255 is L = DN − 1.
    time = datetime(2000, 4, 4, tzinfo=timezone.utc)
    gain, offset = reflectance_line(RadianceRange(0.0, 254.0, 1000.0), time, 30.0)
    assert gain * 101 + offset == pytest.approx(math.pi * 100 / 500, rel=1e-3)
    assert gain * 1 + offset == pytest.approx(0.0, abs=1e-12)
    # Nearer the sun there is more light, so the same radiance is less reflectance: d² = 0.98329².
    perihelion = datetime(2000, 1, 3, tzinfo=timezone.utc)
    nearer, _ = reflectance_line(RadianceRange(0.0, 254.0, 1000.0), perihelion, 30.0)
    assert nearer == pytest.approx(math.pi * 0.98329**2 / 500, rel=1e-3)


@pytest.mark.parametrize("elevation", [0.0, -5.0, 91.0, math.nan])
def test_a_sun_that_gives_no_light_is_refused(elevation: float) -> None:
    with pytest.raises(InputError, match="elevation"):
        reflectance_line(
            RadianceRange(0.0, 254.0, 1000.0), datetime(2000, 4, 4, tzinfo=timezone.utc), elevation
        )
