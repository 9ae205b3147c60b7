"""What bands of an adapter are called, and which spectral indices they give.

    nir      a band that some sensor of the registry has (`codec.scene.sensors`)
    w0705    a band centred on 705 nm
    nir@1    the same place on another date: `nir` is the first date, `nir@1` the second, …

To an adapter a date is more bands: one code for each token says what all dates show there, and each index is computed on
every date that has its bands. A date that is missing or under cloud is absent, like any band.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from codec.adapt.indices import BandIndex, choose
from codec.errors import InputError
from codec.scene.sensors import CANONICAL_BANDS

WAVELENGTH = re.compile(r"w[0-9]{4}")
_DATE = re.compile(r"@([1-9][0-9]{0,2})")


def split_date(band: str) -> tuple[str, int]:
    """`nir@2` → (nir, 2); no date is 0."""
    name, at, number = band.partition("@")
    found = _DATE.fullmatch(at + number)
    return (name, int(found[1])) if found else (band, 0)


def dated(name: str, date: int) -> str:
    """The name of a band, or of an index, on a date."""
    return f"{name}@{date}" if date else name


def check_names(bands: Sequence[str]) -> None:
    """Raises InputError for what is no band."""
    for band in bands:
        name, _ = split_date(band)
        if name not in CANONICAL_BANDS and not WAVELENGTH.fullmatch(name):
            raise InputError(
                f"there is no band {band!r}",
                expected=", ".join(CANONICAL_BANDS),
                found=band,
                fix="use these names, or w0705 for a band centred on 705 nm; nir@1 is nir on a second date",
            )


def resolved_indices(
    entries: Sequence[str | BandIndex], bands: Sequence[str]
) -> tuple[tuple[BandIndex, ...], tuple[tuple[str, tuple[str, ...]], ...]]:
    """Those that can be computed, on every date, and (index, bands that it lacks) of the others; stored ones must be
    computable. Raises InputError.
    """
    dates: dict[int, list[str]] = {}
    for band in bands:
        name, date = split_date(band)
        dates.setdefault(date, []).append(name)
    found: list[BandIndex] = []
    left_out: list[tuple[str, tuple[str, ...]]] = []
    for entry in entries:
        if isinstance(entry, str):
            for date, names in sorted(dates.items()):
                chosen = choose([entry], names)
                found += (_on(index, date) for index in chosen.indices)
                left_out += ((dated(name, date), missing) for name, missing in chosen.left_out)
            continue
        lacking = [band for _, band in entry.bands if band not in bands]
        if lacking:
            raise InputError(
                f"index {entry.name} needs the band {lacking[0]}, which is not there",
                expected=lacking[0],
                found=", ".join(bands),
            )
        found.append(entry)
    return tuple(found), tuple(left_out)


def _on(index: BandIndex, date: int) -> BandIndex:
    placed = tuple((letter, dated(band, date)) for letter, band in index.bands)
    return replace(index, name=dated(index.name, date), bands=placed) if date else index
