"""The band names an encoder of this project understands, and the fixed constants that normalise them."""

from __future__ import annotations

import numpy as np

from codec.errors import InputError
from codec.models.wavelengths import CENTRES_NM
from codec.scene.band_names import split_date, wavelength_nm

# Canonical (STAC common) names; Sentinel-2 B01 … B12 without B10, which is almost empty.
S2_NANO_BANDS: tuple[str, ...] = (
    "coastal",
    "blue",
    "green",
    "red",
    "rededge071",
    "rededge075",
    "rededge078",
    "nir",
    "nir08",
    "nir09",
    "swir16",
    "swir22",
)

RGB_BANDS: tuple[str, ...] = ("blue", "green", "red")
# What encoders of this project are made for, by the name that a recipe uses.
BAND_LISTS: dict[str, tuple[str, ...]] = {"s2": S2_NANO_BANDS, "rgb": RGB_BANDS}

# Reflectance mean and spread per band *name*, never per image or file: medians of Sentinel-2 level 1C over
# the
# training windows. A per-image stretch would destroy the spectra that every task below depends on.
REFLECTANCE_MEAN: dict[str, float] = dict(
    zip(
        S2_NANO_BANDS,
        (0.135, 0.112, 0.104, 0.095, 0.120, 0.200, 0.235, 0.230, 0.260, 0.076, 0.180, 0.112),
        strict=True,
    )
)
REFLECTANCE_SPREAD: dict[str, float] = dict(
    zip(
        S2_NANO_BANDS,
        (0.035, 0.045, 0.050, 0.070, 0.070, 0.090, 0.110, 0.115, 0.125, 0.045, 0.100, 0.078),
        strict=True,
    )
)


def is_known(band: str) -> bool:
    """Whether `normalisation` has constants for a band."""
    name, _ = split_date(band)
    return name in REFLECTANCE_MEAN or wavelength_nm(name) is not None


def normalisation(band: str) -> tuple[float, float]:
    """Mean and spread of a band's reflectance; of another date (nir@1) those of the band, of a wavelength (w0705) those of
    the two named bands around it, weighted by distance, and beyond the outermost centre those of its band.

    Raises InputError for a band without constants, by its name.
    """
    name, _ = split_date(band)
    nm = wavelength_nm(name)
    if nm is None and name not in REFLECTANCE_MEAN:
        raise InputError(f"no normalisation constants for band {band}", expected=", ".join(REFLECTANCE_MEAN))
    if nm is None:
        return REFLECTANCE_MEAN[name], REFLECTANCE_SPREAD[name]
    centres = [CENTRES_NM[known][0] for known in S2_NANO_BANDS]  # ascending
    mean, spread = (
        float(np.interp(nm, centres, [of[known] for known in S2_NANO_BANDS]))
        for of in (REFLECTANCE_MEAN, REFLECTANCE_SPREAD)
    )
    return mean, spread


# Clouds and snow reach z of 10 and more; beyond 12 there is only saturation.
NORMALISED_RANGE: tuple[float, float] = (-4.0, 12.0)
