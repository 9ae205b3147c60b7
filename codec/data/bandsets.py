"""Band subsets that real missions have, as fractions of what Sentinel-2 sees."""

from __future__ import annotations

RGB = ("blue", "green", "red")
# Sentinel-2 without the 60 m bands; Landsat 4–9, whose near infrared goes by either name; four-band satellites and
# aerial cameras; plain colour.
TEN = (*RGB, "rededge071", "rededge075", "rededge078", "nir", "nir08", "swir16", "swir22")
SIX = (*RGB, "nir", "swir16", "swir22")
SIX_NARROW = (*RGB, "nir08", "swir16", "swir22")
FOUR = (*RGB, "nir")
FOUR_NARROW = (*RGB, "nir08")

# What cards and tables report; None: every band the tile has.
REPORTED: dict[str, tuple[str, ...] | None] = {"all": None, "10": TEN, "6": SIX, "4": FOUR, "3": RGB}
