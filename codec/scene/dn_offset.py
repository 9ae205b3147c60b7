"""Do Sentinel-2 numbers carry the +1000 of processing baseline 04.00? What the pixels themselves say.

Asked only when no metadata tells. A wrong answer costs a classifier half of its accuracy, so "cannot tell" is
an answer here, and whoever asked must then be told by a person. What is known about reflectance ρ:

- it is not below −0.01 anywhere, so numbers under 900 rule the +1000 out;
- band 10 sees the high atmosphere only: ρ ≥ 0.09 in *every* pixel does not occur; numbers from 900 on, then,
  mean +1000;
- above the atmosphere (level 1C) the short waves have a floor of scattered light, about 0.08 at 443 nm and
  0.05 at 490 nm: +1000 taken off must leave that much;
- some band almost always has pixels near ρ = 0 (water in the infrared, shadow, vegetation in the red). If the
  darkest numbers of two bands crowd just above 1000, that is where ρ = 0 lies. One of them must be short-wave
  infrared: over snow the visible bands alone can look so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_IMPOSSIBLY_LOW = 900.0  # 1000 less the most negative reflectance that occurs, −0.01
_CROWD_TOP = 1350.0  # dark pixels of an offset product end here
_FLOOR_L1C = {"coastal": 1700.0, "blue": 1450.0}  # with +1000, level 1C cannot be darker
_DARK_BANDS = ("green", "red", "rededge071", "nir", "nir08", "swir16", "swir22")
_SWIR = frozenset({"swir16", "swir22"})


@dataclass(frozen=True, slots=True)
class OffsetEvidence:
    """`scaling` is `no-offset`, `plus1000`, or None when the pixels leave it open."""

    scaling: str | None
    reason: str


def dark_level(dn: npt.NDArray[np.float64]) -> float:
    """The 0.1 % quantile of a band's valid numbers: its darkest pixels, less a few broken ones."""
    return float(np.quantile(dn, 0.001))


def judge_dn_offset(level: str, dark: Mapping[str, float]) -> OffsetEvidence:
    """Judge from the dark levels of the bands, by canonical name; `level` is `l1c` or `l2a`."""
    if not dark:
        return OffsetEvidence(None, "no valid pixel was found")
    darkest = min(dark, key=lambda name: dark[name])
    if dark[darkest] < _IMPOSSIBLY_LOW:
        return OffsetEvidence(
            "no-offset", f"{darkest} has pixels down to DN {dark[darkest]:.0f}, far below 1000"
        )
    if "cirrus" in dark:
        return OffsetEvidence(
            "plus1000", f"cirrus has no pixel below DN {dark['cirrus']:.0f}, where 0 to 100 is usual"
        )
    if level == "l1c":
        below = [name for name, floor in _FLOOR_L1C.items() if dark.get(name, floor) < floor]
        if below and len(dark) > 1:
            return OffsetEvidence(
                "no-offset", f"with +1000, {below[0]} (DN {dark[below[0]]:.0f}) would be darker than the sky"
            )
    crowded = [name for name in _DARK_BANDS if dark.get(name, np.inf) < _CROWD_TOP]
    if len(crowded) >= 2 and not _SWIR.isdisjoint(crowded):
        return OffsetEvidence(
            "plus1000", f"the darkest pixels of {', '.join(crowded)} crowd just above DN 1000"
        )
    return OffsetEvidence(
        None, f"no pixel is below DN {dark[darkest]:.0f}; this may be haze, snow or the offset"
    )
