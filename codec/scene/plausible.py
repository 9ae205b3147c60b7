"""Are the reflectances of a scene such as nature gives them? The last check before anything is coded."""

from __future__ import annotations

from collections.abc import Mapping

from codec.errors import InputError

_TOO_BRIGHT = 2.0  # median reflectance of a band; fresh snow and clouds reach about 1
_TOO_DARK = 0.002  # median of the brightest band; deep water still has 0.02 in the blue


def check_plausible(medians: Mapping[str, float], *, asked_for: bool) -> list[str]:
    """Notes on what looks odd. Refuses what cannot be reflectance, unless the scaling was asked for."""
    if not medians:
        return []
    brightest = max(medians, key=lambda name: medians[name])
    median = medians[brightest]
    if _TOO_DARK <= median <= _TOO_BRIGHT:
        return []
    what = f"median reflectance of {brightest} is {median:.3g}"
    if asked_for or 0.0 <= median < _TOO_DARK:  # a dark scene is odd, not impossible
        return [f"{what}: check sensor and scaling"]
    raise InputError(f"{what}: the numbers do not fit the sensor", fix="name the right sensor or scaling")
