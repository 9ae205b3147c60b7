"""Bands are placed by what they see; every sensor of the table lands on its own names."""

from __future__ import annotations

import numpy as np
import pytest

from codec.errors import InputError
from codec.models.bands import BAND_LISTS, S2_NANO_BANDS
from codec.models.wavelengths import CENTRES_NM, place_pixels, place_wavelengths
from codec.scene.sensors import NAMED_BANDS, SENSORS, Role


def test_every_band_of_an_encoder_has_a_wavelength() -> None:
    assert {band for bands in BAND_LISTS.values() for band in bands} == set(CENTRES_NM)


# Bands of `named-bands` are what a file says.
@pytest.mark.parametrize("name", sorted(set(SENSORS) - {NAMED_BANDS}))
def test_the_surface_bands_of_every_known_sensor_land_on_their_own_names(name: str) -> None:
    bands = [band for band in SENSORS[name].bands if band.role is Role.SURFACE]
    found = place_wavelengths([band.wavelength_nm for band in bands], S2_NANO_BANDS)
    for band, slot in zip(bands, found.slots, strict=True):
        # Landsat's and some cameras' near infrared goes by either name: the nearer one by wavelength has it.
        assert slot == band.name or {slot, band.name} == {"nir", "nir08"}


def test_the_cirrus_band_is_left_out_and_the_others_stay() -> None:
    found = place_wavelengths([492.0, 1375.0, 665.0], S2_NANO_BANDS)
    assert found.slots == ("blue", None, "red")
    assert found.left_out == (1,)


def test_of_two_bands_on_one_name_the_nearer_has_it() -> None:
    assert place_wavelengths([650.0, 668.0], ("red",)).slots == (None, "red")


@pytest.mark.parametrize("value", [0.49, 379.9, 2501.0, 10_800.0, float("nan"), float("inf"), -665.0])
def test_wavelengths_outside_reflected_sunlight_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="no reflected sunlight"):
        place_wavelengths([665.0, value], S2_NANO_BANDS)


@pytest.mark.parametrize("values", [[], [1375.0], [1000.0, 1240.0]])
def test_a_set_without_any_known_band_is_refused(values: list[float]) -> None:
    with pytest.raises(InputError, match="knows none of these bands"):
        place_wavelengths(values, S2_NANO_BANDS)


def test_pixels_follow_their_wavelengths() -> None:
    pixels = np.arange(3 * 4, dtype=np.float32).reshape(3, 2, 2)
    placed, present = place_pixels(pixels, [665.0, 1375.0, 492.0], ("blue", "green", "red"))
    assert present.tolist() == [True, False, True]
    assert np.array_equal(placed[2], pixels[0])
    assert np.array_equal(placed[0], pixels[2])
    assert not placed[1].any()
    with pytest.raises(InputError, match="one wavelength per band"):
        place_pixels(pixels, [665.0], ("red",))
