"""Where the cells of a token map lie, in the words of the CF conventions (1.10, §4, §5.6 and appendix F).

Numpy only. A WKT of an EPSG code comes from rasterio where it is installed; without it the code alone is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.scene.georeference import to_crs
from codec.types import Georeference

GRID_MAPPING = "spatial_ref"  # the name that rioxarray and GDAL look for
_WGS84 = 4326
_MOST_CELLS = 1 << 24  # whose coordinates are written out one by one; a header of 142 bytes may promise 2²⁸


@dataclass(frozen=True)
class Coordinate:
    """One coordinate variable."""

    dims: tuple[str, ...]
    values: npt.NDArray[np.float64]
    attributes: dict[str, Any]


def cells(georeference: Georeference, patch_rows: int, patch_cols: int) -> Georeference:
    """The transform of cells of patch_rows × patch_cols pixels."""
    a, b, c, d, e, f = georeference.transform
    return Georeference(
        (a * patch_cols, b * patch_rows, c, d * patch_cols, e * patch_rows, f),
        georeference.epsg,
        georeference.wkt,
    )


def coordinates(
    of_cells: Georeference, n_rows: int, n_cols: int, *, y: str = "y", x: str = "x"
) -> dict[str, Coordinate]:
    """Coordinates of cell centres by name: `y` and `x` along the axes; of a rotated map `yc` and `xc` in the plane.

    A rotated map of more than 2²⁴ cells has none: the transform in its grid mapping says as much in less memory.
    Raises InputError where PROJ does not know the CRS.
    """
    a, b, c, d, e, f = of_cells.transform
    x_attributes, y_attributes = _axis_attributes(of_cells)
    rows = np.arange(n_rows, dtype=np.float64) + 0.5
    cols = np.arange(n_cols, dtype=np.float64) + 0.5
    if b == 0 and d == 0:
        return {
            y: Coordinate((y,), e * rows + f, {**y_attributes, "axis": "Y"}),
            x: Coordinate((x,), a * cols + c, {**x_attributes, "axis": "X"}),
        }
    if n_rows * n_cols > _MOST_CELLS:
        return {}
    grid_rows, grid_cols = rows[:, None], cols[None, :]
    return {  # CF §5.2: two-dimensional coordinates have names of their own
        y.replace("y", "yc", 1): Coordinate((y, x), d * grid_cols + e * grid_rows + f, y_attributes),
        x.replace("x", "xc", 1): Coordinate((y, x), a * grid_cols + b * grid_rows + c, x_attributes),
    }


def grid_mapping(of_cells: Georeference) -> dict[str, Any]:
    """Attributes of the grid-mapping variable: what is known of the CRS, and the cells' transform as GDAL orders it."""
    a, b, c, d, e, f = of_cells.transform
    attributes: dict[str, Any] = {"GeoTransform": " ".join(repr(v) for v in (c, a, b, f, d, e))}
    crs = _crs(of_cells)
    if crs is not None:
        attributes |= {"crs_wkt": crs.to_wkt(version="WKT2_2019"), "spatial_ref": crs.to_wkt()}
    elif of_cells.wkt:
        attributes |= {"crs_wkt": of_cells.wkt, "spatial_ref": of_cells.wkt}
    elif of_cells.epsg:
        attributes["spatial_ref"] = f"EPSG:{of_cells.epsg}"
    if of_cells.epsg:
        attributes["epsg"] = of_cells.epsg
    return {**_named(of_cells, crs), **attributes}


def _crs(georeference: Georeference) -> Any:
    """The rasterio CRS; None without a CRS, and where rasterio is not installed."""
    if not georeference.has_crs:
        return None
    try:
        return to_crs(georeference)
    except ImportError:
        return None


def _named(of_cells: Georeference, crs: Any) -> dict[str, Any]:
    """`grid_mapping_name` and its parameters for the two kinds that need no table: degrees, and WGS 84 / UTM."""
    zone = _utm_zone(of_cells.epsg)
    if zone is not None:
        number, south = zone
        return {
            "grid_mapping_name": "transverse_mercator",
            "longitude_of_central_meridian": 6.0 * number - 183.0,
            "latitude_of_projection_origin": 0.0,
            "scale_factor_at_central_meridian": 0.9996,
            "false_easting": 500_000.0,
            "false_northing": 10_000_000.0 if south else 0.0,
            "semi_major_axis": 6_378_137.0,
            "inverse_flattening": 298.257223563,
        }
    if of_cells.epsg == _WGS84:
        return {
            "grid_mapping_name": "latitude_longitude",
            "semi_major_axis": 6_378_137.0,
            "inverse_flattening": 298.257223563,
        }
    return {"grid_mapping_name": "latitude_longitude"} if crs is not None and crs.is_geographic else {}


def _utm_zone(epsg: int) -> tuple[int, bool] | None:
    """Zone 1–60 and whether it is the southern one: EPSG 326zz and 327zz."""
    hundreds, zone = divmod(epsg, 100)
    return (zone, hundreds == 327) if hundreds in (326, 327) and 1 <= zone <= 60 else None


def _axis_attributes(of_cells: Georeference) -> tuple[dict[str, Any], dict[str, Any]]:
    """Standard names and units of x and y, as far as the CRS is known here."""
    if not of_cells.has_crs:
        pixels = {"units": "1", "long_name": "pixels of the scene from its corner"}
        return dict(pixels), dict(pixels)
    crs = _crs(of_cells)
    if of_cells.epsg == _WGS84 or (crs is not None and crs.is_geographic):
        return (
            {"standard_name": "longitude", "units": "degrees_east"},
            {"standard_name": "latitude", "units": "degrees_north"},
        )
    units = "m" if _utm_zone(of_cells.epsg) is not None else _length_unit(crs)
    given = {"units": units} if units else {}
    return (
        {"standard_name": "projection_x_coordinate", **given},
        {"standard_name": "projection_y_coordinate", **given},
    )


def _length_unit(crs: Any) -> str:
    if crs is None:
        return ""
    name = str(crs.linear_units)
    return "m" if name in ("metre", "meter") else name
