"""From 8-bit radiance counts to reflectance above the atmosphere.

    L = (LMAX − LMIN) / (QCALMAX − QCALMIN) · (DN − QCALMIN) + LMIN        spectral radiance
    ρ = π · L · d² / (ESUN · sin(sun elevation))                           reflectance

after Chander, Markham, Helder 2009 (doi 10.1016/j.rse.2009.01.007), equations 1 and 2; d is the distance to
the sun in astronomical units.
"""

from __future__ import annotations

import math
from datetime import datetime

from codec.errors import InputError
from codec.scene.sensors import RadianceRange

QCALMIN = 1.0  # 0 is fill
QCALMAX = 255.0


def earth_sun_distance_au(time: datetime) -> float:
    """Distance to the sun at this date, by the series of Spencer 1971 for 1/d²; good to 0.0003 au."""
    angle = 2 * math.pi * (time.timetuple().tm_yday - 1) / 365
    inverse_square = (
        1.000110
        + 0.034221 * math.cos(angle)
        + 0.001280 * math.sin(angle)
        + 0.000719 * math.cos(2 * angle)
        + 0.000077 * math.sin(2 * angle)
    )
    return inverse_square**-0.5


def sine_of_elevation(sun_elevation_deg: float) -> float:
    """Refuses what gives no reflectance: the sun below the horizon, or a number that is no elevation."""
    if not 0.0 < sun_elevation_deg <= 90.0:
        raise InputError(
            "the sun's elevation must lie above 0 and up to 90 degrees",
            found=sun_elevation_deg,
            fix="give degrees",
        )
    return math.sin(math.radians(sun_elevation_deg))


def reflectance_line(
    calibration: RadianceRange, time: datetime, sun_elevation_deg: float
) -> tuple[float, float]:
    """(gain, offset) of reflectance = DN · gain + offset for one band of one scene."""
    distance = earth_sun_distance_au(time)
    factor = math.pi * distance**2 / (calibration.esun * sine_of_elevation(sun_elevation_deg))
    slope = (calibration.lmax - calibration.lmin) / (QCALMAX - QCALMIN)
    return slope * factor, (calibration.lmin - slope * QCALMIN) * factor
