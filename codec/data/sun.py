"""Sine of the sun's elevation over a Landsat scene, from its place in the WRS-2 grid and its date.

A Landsat level 1 file alone gives reflectance times that sine; the metadata that hold the elevation are lost where a data
set keeps bands only. The orbit fixes it well enough: descending node at 10:11 mean local time, inclination 98.2 degrees,
248 rows a revolution with row 60 on the equator (Landsat 8 data users handbook). Good to about one degree at the centre
of a scene: the equation of time (up to 16 minutes) is left out.
"""

from __future__ import annotations

import math
from datetime import date

from codec.errors import InputError

_INCLINATION_DEG = 98.2
_NODE_HOUR = 10.0 + 11.0 / 60.0
_ROWS, _EQUATOR_ROW = 248, 60
_OBLIQUITY_DEG, _SPRING_EQUINOX, _YEAR_DAYS = 23.44, 80, 365.25


def latitude_deg(row: int) -> float:
    """Latitude of the centre of a WRS-2 row of the descending (day) pass, rows 1 to 122."""
    if not 1 <= row <= 122:
        raise InputError("not a row of the day side", expected="1 to 122", found=row)
    along = math.radians((_EQUATOR_ROW - row) * 360.0 / _ROWS)
    return math.degrees(math.asin(math.sin(math.radians(_INCLINATION_DEG)) * math.sin(along)))


def sine_of_sun_elevation(row: int, day: date) -> float:
    """Sine of the sun's elevation at the centre of a row on a date. Raises InputError where the sun is down."""
    latitude = math.radians(latitude_deg(row))
    season = 2.0 * math.pi * (day.timetuple().tm_yday - _SPRING_EQUINOX) / _YEAR_DAYS
    declination = math.asin(math.sin(math.radians(_OBLIQUITY_DEG)) * math.sin(season))
    # The satellite comes from the north-east, so it is later in the (local) day before it crosses the equator.
    east = math.asin(-math.tan(latitude) / math.tan(math.radians(_INCLINATION_DEG)))
    hour_angle = math.radians(15.0 * (_NODE_HOUR - 12.0)) + east
    sine = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(
        hour_angle
    )
    if sine <= 0.0:
        raise InputError("the sun is below the horizon", found=(row, day.isoformat()))
    return sine
