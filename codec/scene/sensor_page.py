"""The reference page of the sensors, written from their table.

    python -m codec.scene.sensor_page docs/sensors.md

A test keeps the page and the table equal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from codec.atomic import write_atomic
from codec.scene.sensors import NAMED_BANDS, SENSORS, Scaling, Sensor

_INTRODUCTION = """# Sensors

Made from `codec/scene/sensors.py` by `python -m codec.scene.sensor_page docs/sensors.md`.

Inside, reflectance is 1.0 for 100 %, and bands have the names of the first column (STAC common names). Files may
use any name of the second and the last; case and punctuation do not matter. A file whose bands have no names needs
the order said (`bands_in_order`); positions are never guessed. Bands with a role other than `surface` are opened
only when asked for by name. Near infrared as broad as Sentinel-2 B08 is `nir`, as narrow as B8A is `nir08`.

reflectance = DN · gain + offset. Which scaling a file has is taken, in this order, from: the caller; the product's
XML; scale and offset in the file; the product's name; the type of the numbers; for Sentinel-2 the pixels
themselves. What stays open is refused, with the names of the scalings to choose from. Any sensor also takes
`reflectance`: floating-point numbers that are reflectance already.
"""

_OWN_NAMES = """\
A band is what its description says: a name of the first columns above (`red`), `w0705` for a centre at 705 nm, `nir@1`
for `nir` on a second date; or it has the wavelength of its own attributes (ENVI's `wavelength` with units, GDAL's
`CENTRAL_WAVELENGTH_UM`) or of a description such as `705.3 nm` or `channel 36 (705.3 nm)`. Wavelengths are rounded to whole
nanometres, by which a package's bands are found: a sensor calibrated otherwise has other bands. ENVI's bad bands are left
out, its reflectance scale factor is used. Where bands are narrow, the broad bands of Sentinel-2 are the nearest narrow ones
within 10 nm, and the scene's notes say which. A pixel without data in one band is invalid in all. This sensor is never
chosen unasked.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *(_section(sensor) for sensor in SENSORS.values())])


def _section(sensor: Sensor) -> str:
    lines = [f"## {sensor.name}", "", f"{sensor.title}.", ""]
    lines += [_OWN_NAMES] if sensor.name == NAMED_BANDS else _bands(sensor)
    lines += _table(
        ("scaling", "gain", "offset", "nodata DN", "saturated DN", "number types"),
        (_scaling(sensor, scaling) for scaling in sensor.scalings),
    )
    if sensor.radiance:
        lines += [
            "Spectral radiance at DN 1 and 255 and solar irradiance, for reflectance with the date and the sun's elevation:",
            "",
        ]
        lines += _table(
            ("name", "LMIN W/(m² sr µm)", "LMAX W/(m² sr µm)", "ESUN W/(m² µm)"),
            ((name, f"{r.lmin:g}", f"{r.lmax:g}", f"{r.esun:g}") for name, r in sensor.radiance.items()),
        )
    return "\n".join(lines)


def _bands(sensor: Sensor) -> list[str]:
    return _table(
        ("name", "native", "wavelength nm", "GSD m", "role", "also"),
        (
            (
                band.name,
                band.native,
                f"{band.wavelength_nm:g}",
                f"{band.gsd_m:g}",
                band.role.value,
                ", ".join(band.aliases),
            )
            for band in sensor.bands
        ),
    )


def _scaling(sensor: Sensor, scaling: Scaling) -> tuple[str, ...]:
    saturated = "" if scaling.saturation is None else f"{scaling.saturation:g}"
    if saturated:
        saturated += " (kept)" if scaling.saturated_is_valid else " (invalid)"
    if scaling.flags:
        saturated += ", " + ", ".join(f"{flag:g} (invalid)" for flag in scaling.flags)
    by_sun = " / sin(sun elevation)" if scaling.needs_sun else ""
    return (
        scaling.name,
        "by radiance" if sensor.radiance else f"{scaling.gain:.6g}{by_sun}",
        "by radiance" if sensor.radiance else f"{scaling.offset:g}{by_sun}",
        "" if scaling.nodata is None else f"{scaling.nodata:g}",
        saturated,
        ", ".join(scaling.dtypes) or "any",
    )


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


if __name__ == "__main__":
    write_atomic(Path(sys.argv[1]), page().encode())
