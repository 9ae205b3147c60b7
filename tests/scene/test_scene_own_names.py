"""Bands that say what they are: spectrometers by wavelength, stacks by date, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import InputError
from codec.scene.scene import open_scene
from codec.scene.tiling import tiles
from tests.scene.ramps import ramp

NAMED = "named-bands"


def stack(n: int) -> np.ndarray:
    """Band i of uint16 8×6 pixels is 100·(i + 1) everywhere."""
    return np.stack([np.full((8, 6), 100 * (i + 1), np.uint16) for i in range(n)])


@pytest.fixture
def spectrometer(tmp_path: Path) -> Path:
    """An ENVI file of five channels, as spectrometers are delivered: its header alone says what they are."""
    path = tmp_path / "cube.img"
    stack(5).astype("<i2").tofile(path)
    (tmp_path / "cube.hdr").write_text(
        "ENVI\nsamples = 6\nlines = 8\nbands = 5\nheader offset = 0\nfile type = ENVI Standard\ndata type = 2\n"
        "interleave = bsq\nbyte order = 0\nwavelength units = Nanometers\n"
        "wavelength = {489.7, 660.2, 668.4, 705.3, 2600.0}\n"
    )
    return path


def test_channels_of_a_spectrometer_are_their_wavelengths_and_the_broad_bands_beside_them(
    spectrometer: Path,
) -> None:
    with open_scene([spectrometer], sensor=NAMED) as scene:
        assert scene.bands == ("w0490", "w0660", "w0668", "w0705", "blue", "red", "rededge071")
        # Red is centred on 665 nm: 668.4 is nearer than 660.2. Green has no channel near.
        pixels, valid = scene.read((0, 0, 8, 6), ["w0660", "red", "w0668", "blue"])
        assert valid.all()
        assert pixels[:, 0, 0] == pytest.approx([0.02, 0.03, 0.03, 0.01])
        assert any("red 668.4" in note and "blue 489.7" in note for note in scene.notes)
        assert any("band 5" in note for note in scene.notes)  # no reflected sunlight
        assert scene.raw_bytes == 4 * 8 * 6 * 2  # red is no further channel
        assert scene.sensor.name == NAMED


def test_its_tiles_have_the_bands_asked_for(spectrometer: Path) -> None:
    with open_scene([spectrometer], sensor=NAMED) as scene:
        tile = next(tiles(scene, ["red", "w0705", "w0900"], core=8, margin=0))
        assert tile.bands_present.tolist() == [True, True, False]
        assert tile.pixels[:2, 0, 0] == pytest.approx([0.03, 0.04])


@pytest.mark.parametrize(
    "words", ["channel 36 (705.3 nm)", "0.7053 um", "705 Nanometers", "0.705 μm", "w0705", "W0705 "]
)
def test_words_say_a_wavelength(write_raster: Any, words: str) -> None:
    path = write_raster("x.tif", stack(1), descriptions=(words,))
    with open_scene([path], sensor=NAMED) as scene:
        assert scene.bands == ("w0705", "rededge071")


@pytest.mark.parametrize(
    "words",
    [
        "0.45 - 0.52 um", "630-690 nm", "1,650 nm", "7.05e-1 um", "FWHM 400 nm (705 nm)", "NDVI of 665 nm and 842 nm",
        "aerosol optical depth at 550 nm", "705 nm 2024-05-01", "9" * 400 + " nm", "B04", "705",
    ],
)  # fmt: skip
def test_other_words_with_numbers_are_no_wavelength(write_raster: Any, words: str) -> None:
    path = write_raster("x.tif", stack(2), descriptions=("red", words))
    with open_scene([path], sensor=NAMED) as scene:
        assert scene.bands == ("red",)
        assert any("band 2" in note for note in scene.notes)


def test_case_and_punctuation_do_not_matter(write_raster: Any) -> None:
    path = write_raster("x.tif", stack(3), descriptions=("Red", " NIR ", "Red-Edge 071@2"))
    with open_scene([path], sensor=NAMED) as scene:
        assert scene.bands == ("red", "nir", "rededge071@2")
    with open_scene([path], sensor=NAMED, bands={"Green": "1"}) as scene:
        assert scene.bands == ("green",)


def test_a_files_wavelength_is_not_that_of_each_band(write_raster: Any) -> None:
    import rasterio

    path = write_raster("x.tif", stack(3), descriptions=("w0490", "w0560", "w0665"))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(wavelength="705", wavelength_units="nm", CENTRAL_WAVELENGTH_UM="0.705")
    with open_scene([path], sensor=NAMED) as scene:
        assert scene.bands == ("w0490", "w0560", "w0665", "blue", "green", "red")
        assert scene.read((0, 0, 1, 1), ["blue"])[0][0, 0, 0] == pytest.approx(0.01)


def test_a_name_and_a_wavelength_that_differ_are_refused(write_raster: Any) -> None:
    import rasterio

    path = write_raster("x.tif", stack(1), descriptions=("w0490",))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, wavelength="705", wavelength_units="nm")
    with pytest.raises(InputError, match="names itself w0490 and has a wavelength of 705 nm"):
        open_scene([path], sensor=NAMED)


def test_a_band_that_gdal_takes_for_a_mask_is_measured_if_it_is_named(write_raster: Any) -> None:
    """The fourth of four 8-bit bands is alpha to GDAL, whatever it is called."""
    import rasterio
    from rasterio.enums import ColorInterp

    path = write_raster("x.tif", stack(4), descriptions=("red", "green", "blue", "w0833"))
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    with open_scene([path], sensor=NAMED) as scene:
        assert scene.bands == ("red", "green", "blue", "w0833", "nir")


def test_the_same_wavelength_in_two_files_is_refused_and_the_finer_taken(write_raster: Any) -> None:
    one, two = (write_raster(name, stack(1), descriptions=("705 nm",)) for name in ("a.tif", "b.tif"))
    with pytest.raises(InputError, match=r"two rasters are band w0705: a\.tif#1 and b\.tif#1.*nir@1"):
        open_scene([one, two], sensor=NAMED)


def test_a_file_that_was_named_and_says_nothing_is_refused(write_raster: Any) -> None:
    red, other = write_raster("a.tif", stack(1), descriptions=("red",)), write_raster("b.tif", stack(1))
    with pytest.raises(InputError, match="neither a band's name nor its wavelength"):
        open_scene([red, other], sensor=NAMED)


def test_envis_bad_bands_are_left_out_and_its_scale_is_used(spectrometer: Path) -> None:
    header = spectrometer.with_suffix(".hdr")
    header.write_text(header.read_text() + "bbl = {1, 0, 1, 1, 1}\nreflectance scale factor = 1000\n")
    with open_scene([spectrometer], sensor=NAMED) as scene:
        assert scene.bands == ("w0490", "w0668", "w0705", "blue", "red", "rededge071")
        assert scene.read((0, 0, 1, 1), ["w0705"])[0][0, 0, 0] == pytest.approx(0.4)


def test_numbers_that_nothing_explains_are_refused(write_raster: Any) -> None:
    path = write_raster("x.tif", stack(1).astype(np.uint8), descriptions=("red",))
    with pytest.raises(InputError, match="nothing tells how uint8 numbers"):
        open_scene([path], sensor=NAMED)


def test_a_flag_in_a_file_of_fractions_is_not_measured(write_raster: Any) -> None:
    values = np.full((1, 8, 6), 0.2, np.float32)
    values[0, 0, 0] = -9999
    with open_scene([write_raster("x.tif", values, descriptions=("red",))], sensor=NAMED) as scene:
        _, valid = scene.read((0, 0, 8, 6), ["red"])
        assert not valid[0, 0]
        assert valid.sum() == 47


def test_gdal_says_a_wavelength(write_raster: Any) -> None:
    import rasterio

    path = write_raster("x.tif", stack(2))
    with rasterio.open(path, "r+") as dataset:
        for index, um in ((1, "0.4902"), (2, "0.9")):
            dataset.update_tags(index, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=um)
    with open_scene([path], sensor=NAMED) as scene:
        assert scene.bands == ("w0490", "w0900", "blue")


def test_a_stack_of_dates_names_them(write_raster: Any) -> None:
    path = write_raster("x.tif", stack(4), descriptions=("red", "nir", "red@1", "w0833@1"))
    with open_scene([path], sensor=NAMED) as scene:
        assert scene.bands == ("red", "nir", "red@1", "w0833@1", "nir@1")
        pixels, _ = scene.read((0, 0, 1, 1), ["nir", "nir@1"])
        assert pixels[:, 0, 0] == pytest.approx([0.02, 0.04])


def test_a_mapping_names_bands_that_say_nothing(write_raster: Any) -> None:
    path = write_raster("x.tif", stack(3))
    with open_scene([path], sensor=NAMED, bands={"red": "2", "w0705": "1"}) as scene:
        assert scene.bands == ("red", "w0705")
        assert scene.read((0, 0, 1, 1), ["red"])[0][0, 0, 0] == pytest.approx(0.02)
    with pytest.raises(InputError, match="unknown band w07"):
        open_scene([path], sensor=NAMED, bands={"w07": "1"})


def test_bands_that_say_nothing_or_the_same_are_refused(write_raster: Any) -> None:
    with pytest.raises(InputError, match="none of 3 bands says its name or wavelength"):
        open_scene([write_raster("x.tif", stack(3))], sensor=NAMED)
    with pytest.raises(InputError, match="two rasters are band red"):
        open_scene([write_raster("y.tif", stack(2), descriptions=("red", "red"))], sensor=NAMED)


def test_detectors_that_overlap_give_the_first(write_raster: Any) -> None:
    path = write_raster("x.tif", stack(2), descriptions=("900.2 nm", "899.9 nm"))
    with open_scene([path], sensor=NAMED) as scene:
        assert scene.bands == ("w0900",)
        assert scene.read((0, 0, 1, 1), ["w0900"])[0][0, 0, 0] == pytest.approx(0.01)
        assert any("again w0900" in note for note in scene.notes)


def test_heat_is_opened_only_when_asked_for(write_raster: Any) -> None:
    path = write_raster("x.tif", np.stack([ramp(100, 200), ramp(300, 400)]), descriptions=("red", "lwir11"))
    with open_scene([path], sensor=NAMED) as scene:
        assert scene.bands == ("red",)
