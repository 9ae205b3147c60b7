"""Bands by what they see: the wavelength of a sensor's band decides which band of an encoder it is.

An encoder knows its bands by name, and every name has a centre and an edge. A camera or satellite whose bands have other
names is placed here; a band that no name covers is left out and said, never stretched onto a neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codec.errors import InputError
from codec.scene.band_names import LONGEST_NM, SHORTEST_NM
from codec.types import BoolArray, FloatArray

# Centre and the largest distance from it, nm: Sentinel-2B's centres (product metadata); wide enough for the like-named
# bands of Landsat 5 to 9, NAIP and common cameras, and never overlapping a neighbour of the same width class.
CENTRES_NM: dict[str, tuple[float, float]] = {
    "coastal": (442.0, 14.0),
    "blue": (492.0, 35.0),
    "green": (559.0, 30.0),
    "red": (665.0, 35.0),
    "rededge071": (704.0, 12.0),
    "rededge075": (739.0, 12.0),
    "rededge078": (780.0, 14.0),
    "nir": (833.0, 38.0),
    "nir08": (864.0, 15.0),
    "nir09": (943.0, 20.0),
    "swir16": (1610.0, 60.0),
    "swir22": (2186.0, 75.0),
}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the bands of a sensor go: `slots[i]` is the encoder's band of sensor band i, None where there is none."""

    slots: tuple[str | None, ...]

    @property
    def left_out(self) -> tuple[int, ...]:
        """Sensor bands that the encoder does not know."""
        return tuple(i for i, slot in enumerate(self.slots) if slot is None)


def place_wavelengths(wavelengths_nm: Sequence[float], bands: Sequence[str]) -> Placement:
    """The nearest of the encoder's `bands` to each wavelength, within that band's reach; each is given once.

    Two sensor bands nearest to the same one: the nearer has it, and the other is left out. Raises InputError for a
    wavelength outside 380–2500 nm (or not a number) and for a set of which no band is known.
    """
    for value in wavelengths_nm:
        if not SHORTEST_NM <= value <= LONGEST_NM:
            raise InputError(
                f"a band at {value:g} nm is no reflected sunlight",
                expected=f"{SHORTEST_NM:g} to {LONGEST_NM:g} nm",
                fix="give centre wavelengths in nanometres, and leave thermal bands out",
            )
    reach = {name: CENTRES_NM[name] for name in bands if name in CENTRES_NM}
    pairs = sorted(
        (abs(value - centre), i, name)
        for i, value in enumerate(wavelengths_nm)
        for name, (centre, edge) in reach.items()
        if abs(value - centre) <= edge
    )
    slots: list[str | None] = [None] * len(wavelengths_nm)
    for _, i, name in pairs:
        if slots[i] is None and name not in slots:
            slots[i] = name
    if not any(slots):
        raise InputError(
            "the encoder knows none of these bands",
            expected=", ".join(f"{name} {centre:g}±{edge:g} nm" for name, (centre, edge) in reach.items()),
            found=", ".join(f"{value:g} nm" for value in wavelengths_nm) or "no band",
        )
    return Placement(tuple(slots))


def place_pixels(
    pixels: FloatArray, wavelengths_nm: Sequence[float], bands: Sequence[str]
) -> tuple[FloatArray, BoolArray]:
    """Reflectance C×H×W of a sensor → the encoder's B×H×W with absent bands 0, and which of the B are there.

    Raises InputError as `place_wavelengths`, and where the number of wavelengths is not that of the bands.
    """
    if len(wavelengths_nm) != len(pixels):
        raise InputError("one wavelength per band", expected=len(pixels), found=len(wavelengths_nm))
    placed = np.zeros((len(bands), *pixels.shape[1:]), np.float32)
    present = np.zeros(len(bands), np.bool_)
    for values, slot in zip(pixels, place_wavelengths(wavelengths_nm, bands).slots, strict=True):
        if slot is not None:
            placed[bands.index(slot)] = values
            present[bands.index(slot)] = True
    return placed, present
