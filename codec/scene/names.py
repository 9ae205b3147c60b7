"""From the words found in files to bands: names, natives and aliases, never positions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from codec.errors import InputError
from codec.scene.sensors import Band, Sensor

_WORDS = re.compile(r"[^A-Za-z0-9]+")


def normalise(text: str) -> str:
    """Lower case, letters and digits only: `Red Edge-1` and `rededge1` are one name."""
    return _WORDS.sub("", text).lower()


def spellings(band: Band) -> tuple[str, ...]:
    """Every normalised spelling of a band."""
    return tuple(dict.fromkeys(normalise(text) for text in (band.name, band.native, *band.aliases)))


def match(sensor: Sensor, text: str) -> Band | None:
    """The band of which `text`, as a whole, is a spelling. Names and natives go before aliases."""
    wanted = normalise(text)
    if not wanted:
        return None
    for band in sensor.bands:
        if wanted in (normalise(band.name), normalise(band.native)):
            return band
    for band in sensor.bands:
        if wanted in spellings(band):
            return band
    return None


def find(sensor: Sensor, text: str) -> Band:
    """As `match`; a text that is no band of the sensor raises InputError with the known names."""
    band = match(sensor, text)
    if band is None:
        known = ", ".join(f"{b.name} ({b.native})" for b in sensor.bands)
        raise InputError(f"{sensor.name} has no band '{text}'", fix=f"known are {known}")
    return band


def matches_within(sensor: Sensor, text: str) -> tuple[Band, ...]:
    """Bands named by `text` as a whole, or else by single words of it (`T22HBD_B02_10m`, `B4 - Red`).

    One letter alone never names a band here: file names are full of them.
    """
    whole = match(sensor, text)
    if whole is not None:
        return (whole,)
    found = (match(sensor, word) for word in _WORDS.split(text) if len(word) > 1)
    return tuple(dict.fromkeys(band for band in found if band is not None))


def bands_in_order(names: Iterable[str]) -> dict[str, str]:
    """A band mapping for a single file whose bands stand in this order: name → band number.

    >>> bands_in_order(["B04", "B03", "-", "B08"])     # "-" skips a band of the file
    {'B04': '1', 'B03': '2', 'B08': '4'}
    """
    mapping: dict[str, str] = {}
    for number, name in enumerate(names, start=1):
        if name == "-":
            continue
        if name in mapping:
            raise InputError(f"band '{name}' is given twice", fix="name each band of the file once")
        mapping[name] = str(number)
    return mapping
