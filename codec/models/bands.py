"""The band names an encoder of this project understands, and the fixed constants that normalise them."""

from __future__ import annotations

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
# Clouds and snow reach z of 10 and more; beyond 12 there is only saturation.
NORMALISED_RANGE: tuple[float, float] = (-4.0, 12.0)
