"""One picture file as a Raster: GDAL reads it, the caller or the file says what its bands and numbers are.

Bands come from the caller, from the band descriptions, or from the colour interpretation red, green, blue; numbers become
reflectance by a scaling of a known sensor, by scale and offset, or are reflectance already (floats). One thing is assumed:
8-bit numbers without a scale, in a file that names its own bands, are a display export, scaled as sensor `rgb`
(`docs/sensors.md`). All else is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from codec.data.raster import Raster
from codec.errors import InputError
from codec.scene.names import match
from codec.scene.png_check import check_png
from codec.scene.sensors import SENSORS
from codec.scene.sensors import sensor as sensor_named
from codec.types import BoolArray

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".jp2", ".j2k"})
_COLOURS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
_RGB = ("red", "green", "blue")
SKIP = "-"  # in a list of band names: this band of the file is not read


@dataclass(frozen=True, slots=True)
class PictureRule:
    """What the files do not say of themselves.

    `bands`: names of the file's bands in its order, `-` skips one; None: the file names them. `sensor`: whose spellings
    (`B04`) and scalings are meant. `scaling`: a scaling of that sensor by name, or (scale, offset).
    """

    bands: tuple[str, ...] | None = None
    sensor: str | None = None
    scaling: str | tuple[float, float] | None = None
    nodata: float | None = None  # beside what the file declares
    max_window: int = 128


def pictures_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Picture files of a folder by name, and files that are none; hidden files and folders are neither."""
    try:
        files = sorted(p for p in Path(folder).iterdir() if p.is_file() and not p.name.startswith("."))
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", path=folder, fix="name a folder of pictures"
        ) from error
    pictures = [p for p in files if p.suffix.lower() in PICTURE_SUFFIXES]
    return pictures, [p for p in files if p not in pictures]


def not_read(strange: Sequence[Path]) -> tuple[str, ...]:
    """The note on files that are no pictures; none, no note."""
    if not strange:
        return ()
    return (f"{len(strange)} files that are no pictures were not read, the first is {strange[0].name}",)


def canonical(text: str, sensor: str | None) -> str:
    """The band that a name means; a name that no sensor knows stays as it is, in lower case.

    Without a sensor a spelling must mean the same band for all of them: `B05` is the red edge of Sentinel-2 and the near
    infrared of Landsat 8, and raises InputError.
    """
    if sensor is not None:
        band = match(sensor_named(sensor), text)
        return band.name if band else text.strip().lower()
    if any(text in known.band_names for known in SENSORS.values()):
        return text
    meanings = {band.name for known in SENSORS.values() if (band := match(known, text)) is not None}
    if len(meanings) > 1:
        raise InputError(
            f"band name {text!r} means {' or '.join(sorted(meanings))}",
            fix="name the sensor, or use canonical names such as red, nir, swir16",
        )
    return meanings.pop() if meanings else text.strip().lower()


def _band_names(source: Any, path: Path, rule: PictureRule) -> list[tuple[int, str]]:
    """Number in the file (from 1) and canonical name of the bands to read."""
    colours = list(source.colorinterp)
    data = [i for i, colour in enumerate(colours, start=1) if colour != ColorInterp.alpha]
    if rule.bands is not None:
        if len(rule.bands) != len(data):
            raise InputError(
                "another number of bands than names",
                path=path,
                expected=len(rule.bands),
                found=len(data),
                fix="name every band of the file in its order, '-' for one to skip",
            )
        named = [(i, canonical(n, rule.sensor)) for i, n in zip(data, rule.bands, strict=True) if n != SKIP]
    elif all(source.descriptions[i - 1] for i in data):
        named = [(i, canonical(str(source.descriptions[i - 1]), rule.sensor)) for i in data]
    elif colours[0] == ColorInterp.palette and len(data) == 1:
        raise InputError(
            "the picture is indexed colour", path=path, fix="convert it to RGB, or use it as a mask"
        )
    elif [_COLOURS.get(colours[i - 1]) for i in data] == list(_RGB):
        named = list(zip(data, _RGB, strict=True))
    else:
        raise InputError(
            "nothing says what its bands are",
            path=path,
            found=f"{len(data)} bands",
            fix="give their names in the order of the file",
        )
    if not named:
        raise InputError("every band is skipped", path=path, fix="name at least one band")
    names = [name for _, name in named]
    if len(set(names)) != len(names):
        raise InputError("two bands have one name", path=path, found=names, fix="name them apart")
    return named


def _scale_offset(source: Any, numbers: list[int], path: Path, rule: PictureRule) -> tuple[float, float]:
    """Of all bands alike; what the caller says goes before what the file says."""
    if isinstance(rule.scaling, tuple):
        return rule.scaling
    dtype = str(source.dtypes[numbers[0] - 1])
    if rule.scaling is not None:
        if rule.sensor is None:
            raise InputError("a scaling by name needs a sensor", found=rule.scaling, fix="name the sensor")
        chosen = sensor_named(rule.sensor).scaling(rule.scaling)
        if chosen.needs_sun:
            raise InputError(
                f"scaling {chosen.name} needs the sun's elevation, which a lone file does not have",
                path=path,
                fix="open it as a scene, or give scale and offset",
            )
        return chosen.gain, chosen.offset
    declared = {(float(source.scales[i - 1]), float(source.offsets[i - 1])) for i in numbers}
    if len(declared) > 1:
        raise InputError(
            "its bands declare different scales",
            path=path,
            found=sorted(declared),
            fix="give scale and offset",
        )
    if declared != {(1.0, 0.0)}:
        return declared.pop()
    if dtype.startswith("float"):
        return 1.0, 0.0
    sensor = rule.sensor or ("rgb" if dtype == "uint8" and rule.bands is None else None)
    fitting = [
        s
        for s in (sensor_named(sensor).scalings if sensor else ())
        if not s.needs_sun and (not s.dtypes or dtype in s.dtypes)
    ]
    if len(fitting) == 1:
        return fitting[0].gain, fitting[0].offset
    known = ", ".join(s.name for s in fitting)
    raise InputError(
        f"nothing says how its {dtype} numbers become reflectance",
        path=path,
        fix=f"name one of the scalings {known}" if known else "give scale and offset, e.g. (1e-4, 0)",
    )


def _validity(source: Any, numbers: list[int], native: Any, rule: PictureRule) -> BoolArray:
    """Measured in every band that is read, as the file's masks (alpha and nodata among them) and the caller's nodata say."""
    valid = np.asarray((source.read_masks(numbers) != 0).all(axis=0), np.bool_)
    if rule.nodata is not None:
        valid &= (native != rule.nodata).all(axis=0)
    if native.dtype.kind == "f":
        valid &= np.isfinite(native).all(axis=0)
    return valid


def _reason(error: BaseException) -> str:
    return str(error.__cause__ or error).splitlines()[0][:160]  # rasterio says "see previous exception"


def read_picture(path: Path, source_name: str, name: str, rule: PictureRule) -> Raster:
    """The picture in its native type. Raises InputError for a file that GDAL cannot read and for what is left open."""
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # pictures are not maps
            check_png(path)
            with rasterio.open(path) as source:
                named = _band_names(source, path, rule)
                numbers = [number for number, _ in named]
                scale, offset = _scale_offset(source, numbers, path, rule)
                native = source.read(numbers)
                valid = _validity(source, numbers, native, rule)
    except (RasterioError, OSError) as error:
        raise InputError(
            "not a readable picture",
            path=path,
            found=_reason(error),
            fix="restore the file, or move it out of the folder",
        ) from error
    if native.dtype.kind == "c":
        raise InputError("complex numbers are no reflectance", path=path, fix="convert to amplitude")
    bands = tuple(band for _, band in named)
    return Raster(source_name, name, bands, native, scale, offset, valid, rule.max_window)


def read_indices(path: Path, colours: bool = False) -> Any:
    """A mask file as stored: H×W integers (palette indices as they are), or with `colours` 3×H×W bytes of RGB."""
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            check_png(path)
            with rasterio.open(path) as source:
                n_data = sum(colour != ColorInterp.alpha for colour in source.colorinterp)
                if n_data != (3 if colours else 1):
                    raise InputError(
                        "a mask of colours has three bands" if colours else "a mask of classes has one band",
                        path=path,
                        found=n_data,
                        fix="say which colour is which class" if n_data == 3 else "give the mask alone",
                    )
                values = source.read([1, 2, 3] if colours else 1)
                nodata = source.nodata
    except (RasterioError, OSError) as error:
        raise InputError(
            "not a readable mask",
            path=path,
            found=_reason(error),
            fix="restore the file, or leave the pair out",
        ) from error
    if values.dtype.kind == "f":
        whole = values == np.rint(values)
        if not (whole | ~np.isfinite(values)).all():
            raise InputError(
                "a mask holds whole numbers", path=path, found=values.dtype, fix="round it first"
            )
        values = np.where(np.isfinite(values), values, -1)
    values = values.astype(np.int64)
    return np.where(values == nodata, -1, values) if nodata is not None and not colours else values


def grid_of(path: Path) -> tuple[Any, Any]:
    """CRS (None where there is none) and affine transform of a readable file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as source:
            return source.crs, source.transform


def centres(paths: Sequence[Path]) -> tuple[list[float], list[float]]:
    """Latitude and longitude, degrees WGS 84, of the pictures' centres; a file without georeference raises InputError."""
    from rasterio.warp import transform

    lat, lon = [], []
    for path in paths:
        crs, affine = grid_of(path)
        if crs is None:
            raise InputError(
                "the file has no place on the map",
                path=path,
                fix="give coordinates in a table, or split by pixel windows",
            )
        with rasterio.open(path) as source:
            col, row = source.width / 2, source.height / 2
        x = affine.c + affine.a * col + affine.b * row
        y = affine.f + affine.d * col + affine.e * row
        xs, ys = transform(crs, "EPSG:4326", [x], [y])
        lon.append(float(xs[0]))
        lat.append(float(ys[0]))
    return lat, lon
