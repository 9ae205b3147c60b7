"""Cloud-Optimised GeoTIFF: north up, tiled, with overviews, the same bytes for the same pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.atomic import write_atomic
from codec.errors import InputError, InternalError
from codec.scene.georeference import require_crs, to_crs, to_georeference
from codec.scene.sources import gdal, open_dataset, probe
from codec.types import Georeference

_BLOCK = 256  # pixels a side; products are token maps, most of them small
_DTYPES = ("uint8", "uint16", "int16", "float32")


def write_cog(
    path: Path,
    array: npt.NDArray[Any],
    georeference: Georeference,
    *,
    nodata: float | None,
    band_names: Sequence[str],
    tags: Mapping[str, str] | None = None,
    overviews: bool = True,
    categories: bool | None = None,
) -> None:
    """Write C×H×W (uint8, uint16, int16 or float32) to `path`, whole or not at all.

    A raster that runs south to north, or east to west, is turned; a rotated one is refused. `nodata` may be NaN
    for float32. Overviews take the nearest pixel when `categories` (default: integers), else the mean. There is
    no date, host or version in the file, so equal input gives equal bytes with one GDAL.

    Raises InputError for a missing or inexpressible CRS, a rotated grid, a wrong shape or type, and where the
    file cannot be written; LimitExceeded for a full disk.
    """
    data = encode_cog(array, georeference, nodata, band_names, tags or {}, overviews, categories, path)
    write_atomic(path, data)


def encode_cog(
    array: npt.NDArray[Any],
    georeference: Georeference,
    nodata: float | None,
    band_names: Sequence[str],
    tags: Mapping[str, str],
    overviews: bool,
    categories: bool | None,
    path: object = None,
) -> bytes:
    """The bytes that `write_cog` writes."""
    require_crs(georeference, path)
    if array.ndim != 3 or 0 in array.shape or array.dtype.name not in _DTYPES:
        raise InputError(
            f"a raster is bands × rows × columns of {', '.join(_DTYPES)}",
            path=path,
            found=f"{array.shape} {array.dtype.name}",
        )
    if len(band_names) != len(array):
        raise InputError(f"{len(array)} bands and {len(band_names)} names", path=path, fix="name each band")
    array, georeference = north_up(array, georeference)
    crs = to_crs(georeference)
    if categories is None:
        categories = array.dtype.kind != "f"
    with gdal():
        from rasterio.errors import RasterioError
        from rasterio.io import MemoryFile
        from rasterio.shutil import copy
        from rasterio.transform import Affine

        try:
            with MemoryFile() as plain, MemoryFile(ext=".tif") as finished:
                with plain.open(
                    driver="GTiff",
                    height=array.shape[1],
                    width=array.shape[2],
                    count=len(array),
                    dtype=array.dtype.name,
                    crs=crs,
                    transform=Affine(*georeference.transform),
                    nodata=nodata,
                ) as dataset:
                    dataset.write(array)
                    dataset.descriptions = tuple(band_names)
                    dataset.update_tags(**{key: tags[key] for key in sorted(tags)})
                with plain.open() as dataset:
                    copy(
                        dataset,
                        finished.name,
                        driver="COG",
                        BLOCKSIZE=_BLOCK,
                        COMPRESS="DEFLATE",
                        PREDICTOR="YES",
                        OVERVIEWS="IGNORE_EXISTING" if overviews else "NONE",
                        OVERVIEW_RESAMPLING="NEAREST" if categories else "AVERAGE",
                        BIGTIFF="IF_SAFER",
                        NUM_THREADS="1",
                    )
                with finished.open() as dataset:
                    stored = dataset.crs
                finished.seek(0)
                data: bytes = finished.read()
        except RasterioError as error:
            raise InternalError(f"GDAL could not make the GeoTIFF: {error}", path=path) from error
    if stored != crs:
        raise InputError("GeoTIFF cannot express this CRS", path=path, fix="warp to a CRS with an EPSG code")
    return data


def north_up(array: npt.NDArray[Any], georeference: Georeference) -> tuple[npt.NDArray[Any], Georeference]:
    """C×H×W with rows running south and columns running east; refuses what only a warp can turn."""
    a, b, c, d, e, f = georeference.transform
    if b != 0.0 or d != 0.0:
        raise InputError(
            "the raster is rotated against its CRS, and products are north-up",
            found=f"{a:g} {b:g} {d:g} {e:g}",
            fix="warp the input first (gdalwarp)",
        )
    if e > 0:
        array, e, f = array[:, ::-1], -e, f + e * array.shape[1]
    if a < 0:
        array, a, c = array[:, :, ::-1], -a, c + a * array.shape[2]
    turned = Georeference((a, b, c, d, e, f), georeference.epsg, georeference.wkt)
    return np.ascontiguousarray(array), turned


def read_georeference(path: Path) -> Georeference:
    """Transform and CRS of a raster file, whatever its format."""
    source = probe(path)[0]
    return to_georeference(source.transform, source.crs)


def read_raster(path: Path) -> tuple[npt.NDArray[Any], Georeference, tuple[str, ...]]:
    """A whole small raster: C×H×W, georeference, band names. For products and labels, not for scenes."""
    sources = probe(path)
    with gdal(), open_dataset(str(path), path.name) as dataset:
        names = tuple(text or "" for text in dataset.descriptions)
        return dataset.read(), to_georeference(sources[0].transform, sources[0].crs), names
