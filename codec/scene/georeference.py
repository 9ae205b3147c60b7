"""CRS and transform, between rasterio's objects and our Georeference."""

from __future__ import annotations

from typing import Any

from codec.errors import InputError
from codec.types import Georeference

Affine6 = tuple[float, float, float, float, float, float]

_ALIGNED_PIXELS = 0.1  # CRS that move a scene's corners by less differ in name only


def to_georeference(transform: Affine6, crs: Any) -> Georeference:
    """EPSG code when it says the same as the CRS, else WKT2. `crs` is a rasterio CRS or None."""
    if crs is None or not crs:
        return Georeference(transform)
    from rasterio.crs import CRS

    code = crs.to_epsg()  # a likely match; whether it is the same CRS is checked here
    if code is not None and CRS.from_epsg(code) == crs:
        return Georeference(transform, epsg=code)
    return Georeference(transform, wkt=crs.to_wkt(version="WKT2_2019"))


def to_crs(georeference: Georeference) -> Any:
    """The rasterio CRS; refuses a code or a text that PROJ does not know, and the absence of both."""
    require_crs(georeference)
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        return CRS.from_epsg(georeference.epsg) if georeference.epsg else CRS.from_wkt(georeference.wkt)
    except CRSError as error:
        said = f"EPSG:{georeference.epsg}" if georeference.epsg else georeference.wkt[:40]
        raise InputError(
            "PROJ does not know this CRS", found=said, fix="give a CRS that PROJ knows"
        ) from error


def require_crs(georeference: Georeference, path: object = None) -> Georeference:
    """The same, if it has a CRS; else InputError. For whoever puts things on the map."""
    if not georeference.has_crs:
        raise InputError(
            "it has no CRS, so nothing made of it can be put on the map",
            path=path,
            fix="write one into the file (gdal_edit.py -a_srs EPSG:…)",
        )
    return georeference


def same_place(one: Any, other: Any, transform: Affine6, height: int, width: int) -> float | None:
    """How many pixels the raster moves when its CRS is read as the other; None: over 0.1, or unknown.

    Some pairs differ in name only: EPSG:32119 and EPSG:3358 are the same projection on two realisations of one
    datum.
    """
    if one == other:
        return 0.0
    from rasterio.errors import CRSError, RasterioError
    from rasterio.warp import transform as project

    a, b, c, d, e, f = transform
    corners = [(0, 0), (width, 0), (0, height), (width, height), (width / 2, height / 2)]
    xs = [a * col + b * row + c for col, row in corners]
    ys = [d * col + e * row + f for col, row in corners]
    try:
        moved_x, moved_y = project(one, other, xs, ys)
    except (CRSError, RasterioError):
        return None
    pixel = min((a * a + d * d) ** 0.5, (b * b + e * e) ** 0.5)
    shift = max(
        ((mx - x) ** 2 + (my - y) ** 2) ** 0.5 for x, y, mx, my in zip(xs, ys, moved_x, moved_y, strict=True)
    )
    return shift / pixel if shift < _ALIGNED_PIXELS * pixel else None
