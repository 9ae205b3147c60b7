"""Bands that say themselves what they are: by name, by wavelength, by date. Spectrometers, and stacks of dates.

    description red, w0705 or nir@1          that band (`codec.scene.band_names`); case and punctuation do not matter
    wavelength in the band's attributes      w0705; ENVI's `wavelength`, GDAL's CENTRAL_WAVELENGTH_UM
    description "705.3 nm", "x (705.3 nm)"   w0705; nothing else that has numbers in it is taken for a wavelength

A file of narrow bands has the broad bands of multispectral encoders, too: each is the narrow band nearest to its centre.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from codec.errors import InputError
from codec.scene.band_names import check_names, dated, split_date, wavelength_name, wavelength_nm
from codec.scene.names import normalise
from codec.scene.resolve import place_of
from codec.scene.sensors import NAMED_BANDS, SENSORS, Band, Role, Sensor
from codec.scene.sources import Source

# Broad bands by Sentinel-2's centres. A spectrometer has a band every 5 to 10 nm; one farther away is another band.
BROAD = {band.name: band for band in SENSORS["sentinel2-l2a"].bands}
REACH_NM = 10.0
_ROLES = {band.name: band.role for sensor in SENSORS.values() for band in sensor.bands}
_SHOWN = 12  # of a list in a note
_NUMBER = r"(\d{1,5}(?:\.\d{1,6})?)"
_UNIT = r"(nm|nanomet(?:er|re)s?|[uµμ]m|micromet(?:er|re)s?|microns?)"
_WORDS = (
    re.compile(rf"\s*{_NUMBER}\s*{_UNIT}\s*", re.IGNORECASE),
    re.compile(rf"[^()]*\(\s*{_NUMBER}\s*{_UNIT}\s*\)\s*", re.IGNORECASE),
)
_WITH_UNIT = re.compile(rf"\d\s*{_UNIT}(?![a-z])", re.IGNORECASE)


def own_bands(
    sources: Sequence[Source], mapping: Mapping[str, str] | None, *, strict: bool
) -> tuple[Sensor, dict[str, Source], list[str]]:
    """The sensor that these bands make up, band name → source, and notes; `mapping` and `strict` as of
    `codec.scene.resolve.resolve`.

    Raises InputError where no band says what it is, two are the same, one says two things, and for a name in `mapping` that
    is none.
    """
    notes: list[str] = []
    if mapping is not None:
        found = {}
        for text, place in mapping.items():
            name = _spelled(text)
            if name is None:
                check_names([text])  # says what names there are
            found[name or text] = place_of(sources, text, place)
        if not found:
            raise InputError("the mapping of bands is empty", fix="name at least one band")
    else:
        found, notes = _said(sources, strict)
        notes += _broad(found)
    bands = tuple(_band(name, source) for name, source in found.items())
    return replace(SENSORS[NAMED_BANDS], bands=bands), found, notes


def names_itself(source: Source) -> bool:
    """Whether a raster says which band it is."""
    return name_of(source) is not None


def name_of(source: Source) -> str | None:
    """What a raster says it is. A name goes before a wavelength; raises InputError where they contradict each other."""
    named = next((name for name in map(_spelled, source.words) if name is not None), None)
    nm = _stated_nm(source)
    if named is None:
        name = None if nm is None else wavelength_name(nm)
        return name if name is not None and wavelength_nm(name) is not None else None
    narrow = wavelength_nm(split_date(named)[0])
    if narrow is not None and nm is not None and abs(nm - narrow) > 1:
        raise InputError(
            f"band {source.index} names itself {named} and has a wavelength of {nm:g} nm",
            path=source.file,
            fix="give the mapping of bands to files",
        )
    return named


def _said(sources: Sequence[Source], strict: bool) -> tuple[dict[str, Source], list[str]]:
    found: dict[str, Source] = {}
    silent: list[str] = []
    for source in sources:
        name = None if source.band_tags.get("bad_band") else name_of(source)
        place = f"{source.file} band {source.index}"
        if name is None:
            if strict and source.count == 1:
                raise InputError(
                    "this file says neither a band's name nor its wavelength",
                    path=source.file,
                    fix="give the mapping of bands to files",
                )
            silent.append(place)
            continue
        other = found.get(name)
        if other is None or (other.name != source.name and source.pixel_m < other.pixel_m):
            found[name] = source
        elif other.name == source.name and wavelength_nm(split_date(name)[0]) is not None:
            silent.append(f"{place} (again {name})")  # the detectors of one spectrometer overlap
        elif other.name == source.name or source.pixel_m == other.pixel_m:
            both = f"{other.file}#{other.index} and {source.file}#{source.index}"
            raise InputError(
                f"two rasters are band {name}: {both}",
                fix="give the mapping of bands, or name dates as nir@1",
            )
    if not found:
        raise InputError(
            f"none of {len(sources)} bands says its name or wavelength; positions are not guessed",
            path=sources[0].file,
            fix="give the mapping of bands, or write descriptions such as red, w0705 or nir@1 into the file",
        )
    return found, [f"not used, for no new band is named by it: {_list(silent)}"] if silent else []


def _broad(found: dict[str, Source]) -> list[str]:
    """Adds to each date's narrow bands the broad ones that no band of that date is called."""
    said: list[str] = []
    for date in sorted({split_date(name)[1] for name in found}):
        narrow = {
            _centre(name, source): source
            for name, source in found.items()
            if split_date(name)[1] == date and wavelength_nm(split_date(name)[0]) is not None
        }
        for band in BROAD.values() if narrow else ():
            nearest = min(narrow, key=lambda nm: abs(nm - band.wavelength_nm))
            name = dated(band.name, date)
            if name not in found and abs(nearest - band.wavelength_nm) <= REACH_NM:
                found[name] = narrow[nearest]
                said.append(f"{name} {nearest:g}")
    return [f"broad bands are the nearest narrow ones, nm: {_list(said)}"] if said else []


def _spelled(text: str) -> str | None:
    """The name that a text is, as `codec.scene.band_names` writes it."""
    plain, date = split_date(text.strip())
    name = dated(normalise(plain), date)
    try:
        check_names([name])
    except InputError:
        return None
    return name


def _centre(name: str, source: Source) -> float:
    """nm of a narrow band, by its attributes, else by its name."""
    return _stated_nm(source) or float(wavelength_nm(split_date(name)[0]) or 0)


def _stated_nm(source: Source) -> float | None:
    # GDAL's own attribute is rounded to whole nanometres where ENVI's is not. A file's attribute is not that of each band.
    tags = source.band_tags
    for value, unit in (
        (tags.get("wavelength", ""), tags.get("wavelength_units", "")),
        (tags.get("central_wavelength_um", ""), "um"),
    ):
        said = _WORDS[0].fullmatch(f"{value} {unit}")
        if said:
            return _nm(said[1], said[2])
    for word in source.words:
        said = next((found for form in _WORDS if (found := form.fullmatch(word))), None)
        if said and len(_WITH_UNIT.findall(word)) == 1:
            return _nm(said[1], said[2])
    return None


def _nm(number: str, unit: str) -> float:
    return round(float(number) * (1.0 if unit.lower().startswith("n") else 1e3), 3)


def _list(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _band(name: str, source: Source) -> Band:
    plain, _ = split_date(name)
    nm = _stated_nm(source) or wavelength_nm(plain)
    if nm is None:
        nm = BROAD[plain].wavelength_nm if plain in BROAD else 0.0
    return Band(name, name, float(nm), source.pixel_m, role=_ROLES.get(plain, Role.SURFACE))
