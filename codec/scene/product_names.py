"""What a product's own name says: sensor and level, processing baseline, sensing time.

Grammar of the names: Sentinel-2 products format specification (`S2A_MSIL1C_20210122T133229_N0214_R081_…`),
Landsat Collection 1 and 2 (`LC08_L2SP_001002_20210331_20210426_02_T1_SR_B4`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone

_SENTINEL2 = re.compile(r"S2[A-D]_MSIL(1C|2A)_(\d{8}T\d{6})_N(\d{4})_")
# Image files of a granule. Only level 2A appends the resolution.
_SENTINEL2_IMAGE = re.compile(r"T\d{2}[A-Z]{3}_(\d{8}T\d{6})_B(?:\d{2}|8A)(_(?:10|20|60)m)?(?![0-9A-Za-z])")
_LANDSAT = re.compile(r"L[COTEM](0[5789])_(L1[A-Z]{2}|L2S[PR])_\d{6}_(\d{8})_\d{8}_(\d{2})_[A-Z0-9]{2}")


@dataclass(frozen=True, slots=True)
class ProductName:
    """What could be read from a name; None where it says nothing."""

    sensor: str | None = None
    scaling: str | None = None
    time: datetime | None = None
    source: str = ""  # the part of the name that said so


def _time(text: str, pattern: str) -> datetime | None:
    try:
        return datetime.strptime(text, pattern).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def read_product_name(text: str) -> ProductName:
    """Read a file name or a whole path; the first product name found in it counts."""
    if found := _SENTINEL2.search(text):
        level, stamp, baseline = found.groups()
        time = _time(stamp, "%Y%m%dT%H%M%S")
        return ProductName(f"sentinel2-l{level.lower()}", baseline_scaling(int(baseline)), time, found[0])
    if found := _SENTINEL2_IMAGE.search(text):
        stamp, resolution = found.groups()
        # Without a resolution it may be level 1C or another archive's level 2A: not said.
        return ProductName(
            "sentinel2-l2a" if resolution else None, None, _time(stamp, "%Y%m%dT%H%M%S"), found[0]
        )
    if found := _LANDSAT.search(text):
        mission, level, stamp, collection = found.groups()
        scaling: str | None = None
        if level.startswith("L2") and collection == "02":
            scaling = "c2-sr"
        elif level.startswith("L1") and mission in ("08", "09"):
            scaling = "l1-toa"
        return ProductName(f"landsat{int(mission)}", scaling, _time(stamp, "%Y%m%d"), found[0])
    return ProductName()


def baseline_scaling(baseline: int) -> str:
    """Sentinel-2 DN carry +1000 from processing baseline 04.00 on; `baseline` is 400 for 04.00.

    9999 marks test products of the ground segment and 0500 and later the reprocessed archive: both carry it.
    """
    return "plus1000" if baseline >= 400 else "no-offset"
