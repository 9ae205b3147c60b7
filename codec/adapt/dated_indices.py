"""Which spectral indices bands give, of which date.

To an adapter a date is more bands: one code for each token says what all dates show there, and each index is computed on
every date that has its bands. A date that is missing or under cloud is absent, like any band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codec.adapt.indices import BandIndex, choose
from codec.errors import InputError
from codec.scene.band_names import dated, split_date


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
