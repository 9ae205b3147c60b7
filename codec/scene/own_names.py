"""Bands that say themselves what they are: by name, by wavelength, by date. Spectrometers, and stacks of dates.

    description red, w0705 or nir@1          that band (`codec.scene.band_names`)
    wavelength in the file's attributes      w0705; ENVI's `wavelength`, GDAL's CENTRAL_WAVELENGTH_UM
    description "channel 36 (705.3 nm)"      w0705

A file of narrow bands has the broad bands of multispectral encoders, too: each is the narrow band nearest to its centre.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from codec.errors import InputError
from codec.scene.band_names import check_names, dated, split_date, wavelength_name, wavelength_nm
from codec.scene.resolve import place_of
from codec.scene.sensors import NAMED_BANDS, SENSORS, Band, Role, Sensor
from codec.scene.sources import Source

# Broad bands by Sentinel-2's centres. A spectrometer has a band every 5 to 10 nm; one farther away is another band.
BROAD = {band.name: band for band in SENSORS["sentinel2-l2a"].bands}
REACH_NM = 10.0
_ROLES = {band.name: band.role for sensor in SENSORS.values() for band in sensor.bands}
_UNITS = {
    "nm": 1.0,
    "nanometers": 1.0,
    "nanometres": 1.0,
    "um": 1e3,
    "µm": 1e3,
    "micrometers": 1e3,
    "microns": 1e3,
}
_IN_WORDS = re.compile(
    r"(?<![\d.])(\d+(?:\.\d+)?)\s*(nm|nanomet(?:er|re)s?|um|µm|micromet(?:er|re)s?|microns?)\b", re.I
)


def own_bands(
    sources: Sequence[Source], mapping: Mapping[str, str] | None
) -> tuple[Sensor, dict[str, Source], list[str]]:
    """The sensor that these bands make up, band name → source, and notes; `mapping` as of `codec.scene.resolve.resolve`.

    Raises InputError where no band says what it is, two are the same named band, and for a name in `mapping` that is none.
    """
    notes: list[str] = []
    if mapping is not None:
        check_names(tuple(mapping))
        found = {name: place_of(sources, name, place) for name, place in mapping.items()}
        if not found:
            raise InputError("the mapping of bands is empty", fix="name at least one band")
    else:
        found, notes = _said(sources)
        notes += _broad(found)
    bands = tuple(_band(name, source) for name, source in found.items())
    return replace(SENSORS[NAMED_BANDS], bands=bands), found, notes


def _said(sources: Sequence[Source]) -> tuple[dict[str, Source], list[str]]:
    found: dict[str, Source] = {}
    silent: list[str] = []
    for source in sources:
        name = _name_of(source)
        place = f"{source.file} band {source.index}"
        if name is None:
            silent.append(place)
        elif name not in found:
            found[name] = source
        elif wavelength_nm(split_date(name)[0]) is None:
            raise InputError(
                f"two rasters are band {name}", path=place, fix="give the mapping of bands to files"
            )
        else:  # detectors overlap
            silent.append(f"{place} (again {name})")
    if not found:
        raise InputError(
            f"none of {len(sources)} bands says its name or wavelength; positions are not guessed",
            path=sources[0].file,
            fix="give the mapping of bands, or write descriptions such as red, w0705 or nir@1 into the file",
        )
    if not silent:
        return found, []
    shown = ", ".join(silent[:4]) + (f" and {len(silent) - 4} more" if len(silent) > 4 else "")
    return found, [f"not used, for no new band of reflected sunlight is named by it: {shown}"]


def _broad(found: dict[str, Source]) -> list[str]:
    """Adds to each date's narrow bands the broad ones that no band of that date is called."""
    said: list[str] = []
    for date in sorted({split_date(name)[1] for name in found}):
        narrow = {
            _centre(source): source
            for name, source in found.items()
            if split_date(name)[1] == date and wavelength_nm(split_date(name)[0]) is not None
        }
        for band in BROAD.values() if narrow else ():
            nearest = min(narrow, key=lambda nm: abs(nm - band.wavelength_nm))
            name = dated(band.name, date)
            if name not in found and abs(nearest - band.wavelength_nm) <= REACH_NM:
                found[name] = narrow[nearest]
                said.append(f"{name} {nearest:g}")
    return [f"broad bands are the nearest narrow ones, nm: {', '.join(said)}"] if said else []


def _name_of(source: Source) -> str | None:
    for word in source.words:
        try:
            check_names([word])
        except InputError:
            continue
        return word
    nm = _stated_nm(source)
    name = None if nm is None else wavelength_name(nm)
    return name if name is not None and wavelength_nm(name) is not None else None


def _centre(source: Source) -> float:
    """nm of a narrow band, by its attributes, else by its name."""
    stated = _stated_nm(source)
    if stated is not None:
        return stated
    return float(wavelength_nm(split_date(_name_of(source) or "")[0]) or 0)


def _stated_nm(source: Source) -> float | None:
    # GDAL's own attribute is rounded to whole nanometres where ENVI's is not.
    value = _number(source.tags.get("wavelength", ""))
    unit = _UNITS.get(source.tags.get("wavelength_units", "").strip().lower())
    if value is not None and unit is not None:
        return round(value * unit, 3)
    um = _number(source.tags.get("central_wavelength_um", ""))
    if um is not None:
        return round(1e3 * um, 3)
    for word in source.words:
        said = _IN_WORDS.search(word)
        if said:
            return round(float(said[1]) * (1.0 if said[2].lower().startswith("n") else 1e3), 3)
    return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < 1e6 else None


def _band(name: str, source: Source) -> Band:
    plain, _ = split_date(name)
    nm = _stated_nm(source) or wavelength_nm(plain)
    if nm is None:
        nm = BROAD[plain].wavelength_nm if plain in BROAD else 0.0
    return Band(name, name, float(nm), source.pixel_m, role=_ROLES.get(plain, Role.SURFACE))
