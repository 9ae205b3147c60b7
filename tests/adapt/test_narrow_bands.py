"""Spectra of many narrow bands: between two bands their mean by wavelength, at a band the band itself."""

from __future__ import annotations

import numpy as np
import pytest

from codec.adapt.spectra import interpolated, wavelength_names
from codec.errors import InputError
from codec.models.bands import S2_NANO_BANDS
from codec.models.wavelengths import CENTRES_NM

BANDS = ("red", "blue", "green")  # 665, 492 and 559 nm; the order of a file need not be that of wavelengths


def test_a_band_between_two_is_their_mean_by_wavelength() -> None:
    pixels = np.random.default_rng(0).random((2, 3, 4, 4)).astype(np.float32)
    found = interpolated(pixels, BANDS, ("w0492", "w0612", "w0665"))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 0], pixels[:, 1], atol=1e-6)
    np.testing.assert_allclose(
        found[:, 1], pixels[:, 2] + (612 - 559) / 106 * (pixels[:, 0] - pixels[:, 2]), atol=1e-6
    )
    np.testing.assert_allclose(found[:, 2], pixels[:, 0], atol=1e-6)


def test_names_span_the_sensor() -> None:
    names = wavelength_names(120, S2_NANO_BANDS)
    assert len(set(names)) == 120
    assert (names[0], names[-1]) == ("w0442", "w2186")
    gaps = np.diff([int(name[1:]) for name in names])
    assert gaps.max() - gaps.min() <= 1


def test_what_cannot_be_interpolated_is_refused() -> None:
    pixels = np.zeros((1, 3, 2, 2), np.float32)
    with pytest.raises(InputError, match="w0700 lies outside"):
        interpolated(pixels, BANDS, ("w0500", "w0700"))
    with pytest.raises(InputError, match="no known centre"):
        interpolated(pixels, ("red", "blue", "lwir11"), ("w0500",))
    with pytest.raises(InputError, match="one band per plane"):
        interpolated(pixels[:, :2], BANDS, ("w0500",))
    with pytest.raises(InputError, match="nanometre"):
        wavelength_names(500, BANDS)
    with pytest.raises(InputError, match="nir is no wavelength"):
        interpolated(pixels, BANDS, ("w0500", "nir"))
    for count in (-1, 0, 1):
        with pytest.raises(InputError, match="nanometre"):
            wavelength_names(count, BANDS)
    assert CENTRES_NM["red"][0] == 665
