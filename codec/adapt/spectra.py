"""Spectra of many narrow bands, interpolated between the bands of a sensor: a stand-in for an imaging spectrometer.

No new measurement is in them: each band is a mean of its two neighbours, weighted by wavelength. They have a
spectrometer's shape, number of bands and correlation, which is what readers, adapters and exporters must take.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codec.errors import InputError
from codec.models.wavelengths import CENTRES_NM
from codec.scene.band_names import wavelength_name, wavelength_nm
from codec.types import FloatArray


def wavelength_names(count: int, bands: Sequence[str]) -> tuple[str, ...]:
    """`count` different wavelengths, evenly from the shortest to the longest centre of `bands`, as w0443 … w2190 (nm)."""
    centres = [_centre(band) for band in bands]
    low, high = min(centres), max(centres)
    wanted = np.linspace(low, high, count if 2 <= count <= high - low + 1 else 0)
    found = np.unique(np.rint(wanted).astype(int))
    if len(found) != max(count, 2):
        raise InputError(
            "so many bands are not a nanometre apart", expected="2 to the span in nm", found=count
        )
    return tuple(wavelength_name(nm) for nm in found)


def interpolated(pixels: FloatArray, bands: Sequence[str], names: Sequence[str]) -> FloatArray:
    """Reflectance N×B×H×W of `bands` → N×K×H×W at the wavelengths of `names` (w0443).

    Raises InputError for a band without a known centre, for a name that is no wavelength, and for one outside the bands.
    """
    centres = np.array([_centre(band) for band in bands])
    if pixels.ndim != 4 or pixels.shape[1] != len(bands):
        raise InputError(
            "one band per plane of the pixels is needed", expected=len(bands), found=pixels.shape
        )
    order = np.argsort(centres)
    strange = [name for name in names if wavelength_nm(name) is None]
    if strange:
        raise InputError(f"{strange[0]} is no wavelength", expected="names as w0705, of four digits")
    wanted = np.array([float(wavelength_nm(name) or 0) for name in names])
    low, high = float(centres.min()), float(centres.max())
    # Half a nanometre: names are rounded to whole ones.
    outside = (wanted < low - 0.5) | (wanted > high + 0.5)
    if outside.any():
        raise InputError(
            f"{names[int(np.argmax(outside))]} lies outside the bands", expected=f"{low:g} to {high:g} nm"
        )
    # A row per wanted band: what each of the sensor's bands gives to it.
    unit = np.eye(len(bands))
    weights = np.stack([np.interp(wanted, centres[order], unit[i][order]) for i in range(len(bands))], axis=1)
    return np.einsum("kb,nbhw->nkhw", weights.astype(np.float32), pixels, optimize=True)


def _centre(band: str) -> float:
    if band not in CENTRES_NM:
        raise InputError(f"band {band!r} has no known centre", expected=", ".join(CENTRES_NM))
    return CENTRES_NM[band][0]
