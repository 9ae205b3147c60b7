"""What bands are called, of sensors and of packages.

nir      a band that some sensor of the registry has (`codec.scene.sensors`)
w0705    a band centred on 705 nm
nir@1    the same place on another date: `nir` is the first date, `nir@1` the second, …
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from codec.errors import InputError
from codec.scene.sensors import CANONICAL_BANDS

SHORTEST_NM, LONGEST_NM = 380.0, 2500.0  # reflected sunlight
_WAVELENGTH = re.compile(r"w([0-9]{4})")
_DATE = re.compile(r"@([1-9][0-9]{0,2})")


def split_date(band: str) -> tuple[str, int]:
    """`nir@2` → (nir, 2); no date is 0."""
    name, at, number = band.partition("@")
    found = _DATE.fullmatch(at + number)
    return (name, int(found[1])) if found else (band, 0)


def dated(name: str, date: int) -> str:
    """The name of a band, or of an index, on a date."""
    return f"{name}@{date}" if date else name


def wavelength_nm(name: str) -> int | None:
    """Of w0705; None for a name that is no wavelength of reflected sunlight."""
    found = _WAVELENGTH.fullmatch(name)
    nm = int(found[1]) if found else 0
    return nm if SHORTEST_NM <= nm <= LONGEST_NM else None


def wavelength_name(nm: float) -> str:
    """705.3 → w0705."""
    return f"w{round(nm):04d}"


def check_names(bands: Sequence[str]) -> None:
    """Raises InputError for what is no band."""
    for band in bands:
        name, _ = split_date(band)
        if name not in CANONICAL_BANDS and wavelength_nm(name) is None:
            raise InputError(
                f"unknown band {band}",
                expected=", ".join(CANONICAL_BANDS),
                found=band,
                fix="use these names, or w0705 for a band centred on 705 nm; nir@1 is nir on a second date",
            )
