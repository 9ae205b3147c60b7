"""The raster bands that files hold, and what the files say of them, before anybody decides what they are."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from codec.errors import InputError
from codec.scene.png_check import check_png

# In bytes. GDAL's block cache is 5 % of the machine's memory unless told otherwise. This is one row of 1024×1024
# blocks of a whole Sentinel-2 product (172 MB) and some room: with less, each row of tiles decodes them again.
GDAL_OPTIONS: Mapping[str, Any] = {"GDAL_CACHEMAX": 256 << 20}

RASTER_SUFFIXES = frozenset({".tif", ".tiff", ".jp2", ".j2k", ".nc", ".img", ".png", ".jpg", ".jpeg", ".ntf"})

# Attributes that name a band in words; and those that number it.
_WORD_TAGS = ("name", "band_name", "bandname", "common_name", "long_name", "description", "netcdf_varname")
_NUMBER_TAGS = ("band", "band_id", "band_number")
_CRS_TAGS = ("crs", "crs_wkt", "spatial_ref", "proj4", "epsg")
_COLOURS = frozenset({"red", "green", "blue", "nir", "swir", "pan", "coastal", "rededge"})


@dataclass(frozen=True, slots=True)
class Source:
    """One band of one raster file, as GDAL sees it."""

    name: str  # what GDAL opens
    file: str  # what a person calls it
    index: int  # from 1, as in GDAL
    count: int  # bands in the file
    height: int
    width: int
    transform: tuple[float, float, float, float, float, float]
    crs: Any  # rasterio CRS or None
    dtype: str
    nodata: float | None
    has_mask: bool  # an alpha band or a mask of the whole file
    mask_is_alpha: bool
    scale: float
    offset: float
    words: tuple[str, ...]  # texts that may name the band, best first
    numbers: tuple[str, ...]  # texts that may number it
    colour: str  # colour interpretation, where it names a colour
    alpha: bool
    tags: Mapping[str, str]  # of the file and of the band, keys in lower case
    band_tags: Mapping[str, str]  # of the band alone, or of a file of one band
    notes: tuple[str, ...]

    @property
    def pixel_m(self) -> float:
        """Length of the pixel's shorter side, in units of the CRS."""
        a, b, _, d, e, _ = self.transform
        return float(min((a * a + d * d) ** 0.5, (b * b + e * e) ** 0.5))


@contextmanager
def gdal() -> Iterator[Any]:
    """rasterio with this room's options; that a picture has no georeference is our note, not a warning."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with rasterio.Env(**GDAL_OPTIONS), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield rasterio


def open_dataset(name: str, file: str | None = None) -> Any:
    """Open with GDAL; what cannot be opened raises InputError with GDAL's reason. Call inside `gdal()`."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        return rasterio.open(name)
    except (RasterioError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"GDAL cannot read it as a raster: {reason}", path=file or name, fix="give a whole raster file"
        ) from error


def read_pixels(dataset: Any, source: Source, indexes: Sequence[int], **where: Any) -> npt.NDArray[Any]:
    """Bands × rows × columns of an open dataset; pixels that cannot be decoded raise InputError."""
    from rasterio.errors import RasterioError

    try:
        data: npt.NDArray[Any] = dataset.read(list(indexes), **where)
    except (RasterioError, OSError, ValueError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InputError(
            f"pixels cannot be read: {reason}", path=source.file, fix="the file may be cut; fetch it again"
        ) from error
    return data


def probe(path: Path) -> list[Source]:
    """All bands of one file; a netCDF with several variables gives the bands of each. No pixel is read."""
    if not path.exists():
        raise InputError("no such file", path=path, fix="check the path")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError("the file is empty", path=path, fix="fetch it again")
    if path.is_file():
        check_png(path)
    return probe_name(str(path), path.name, path.stem)


def probe_name(name: str, file: str, stem: str) -> list[Source]:
    """As `probe`, of anything GDAL opens (a member of a zip, a netCDF variable); `stem` may name a band."""
    with gdal(), open_dataset(name, file) as dataset:
        if dataset.count:
            return _bands(dataset, name, file, stem)
        children = [(child, child.rsplit(":", 1)[-1]) for child in dataset.subdatasets]
    if not children:
        raise InputError("the raster has no bands", path=file, fix="give a raster with pixels")
    return [source for child, title in children for source in probe_name(child, f"{file}:{title}", title)]


def _tags(dataset: Any, *index: int) -> dict[str, str]:
    """Attributes of the file or of one band; rasterio leaves out those that are not valid UTF-8."""
    # GDAL repeats a netCDF variable's attributes at file level as `variable#key`.
    return {key.rsplit("#", 1)[-1].lower(): str(value) for key, value in dataset.tags(*index).items()}


def _imagery(dataset: Any, index: int) -> dict[str, str]:
    """What GDAL's drivers know of a band's wavelength; `bad_band` where ENVI's list says so."""
    found = {key.lower(): str(value) for key, value in dataset.tags(index, ns="IMAGERY").items()}
    good = re.findall(r"[-+.\w]+", dataset.tags(ns="ENVI").get("bbl", ""))
    if len(good) == dataset.count and good[index - 1] in ("0", "0.0"):
        found["bad_band"] = "1"
    return found


def _scale(dataset: Any, index: int) -> float:
    """Of the band, or what ENVI's `reflectance scale factor` makes of it."""
    own = float(dataset.scales[index - 1])
    stated = dataset.tags(ns="ENVI").get("reflectance_scale_factor", "")
    if own == 1.0 and re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", stated) and float(stated) > 0:
        return 1.0 / float(stated)
    return own


def _crs(dataset: Any, tags: Mapping[str, str]) -> tuple[Any, tuple[str, ...]]:
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    if dataset.crs:
        return dataset.crs, ()
    for key in _CRS_TAGS:
        text = tags.get(key, "").strip()
        if not text:
            continue
        code = re.fullmatch(r"(?:\+init=)?(?:epsg:)?(\d{4,6})", text, re.IGNORECASE)
        try:
            crs = CRS.from_epsg(int(code[1])) if code else CRS.from_user_input(text)
        except CRSError:
            continue
        return crs, (f"the CRS stands only in the attribute '{key}' ({text[:60]}) and is read from there",)
    return None, ()


def _transform(dataset: Any, tags: Mapping[str, str]) -> tuple[tuple[float, ...], tuple[str, ...]]:
    if dataset.transform.is_identity and "transform" in tags:
        numbers = [float(n) for n in re.findall(r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?", tags["transform"])]
        if len(numbers) >= 6 and numbers[0] and numbers[4]:
            return tuple(numbers[:6]), ("the transform stands only in an attribute and is read from there",)
    return tuple(dataset.transform)[:6], ()


def _bands(dataset: Any, name: str, file: str, stem: str) -> list[Source]:
    if dataset.width < 1 or dataset.height < 1:
        raise InputError(
            "the raster has no pixels",
            path=file,
            found=f"{dataset.height}×{dataset.width}",
            fix="give a whole raster",
        )
    from rasterio.enums import ColorInterp, MaskFlags

    common = _tags(dataset)
    sources = []
    for index in dataset.indexes:
        own = {**_tags(dataset, index), **_imagery(dataset, index)}
        tags = {**common, **own}
        crs, crs_notes = _crs(dataset, tags)
        transform, transform_notes = _transform(dataset, tags)
        description = dataset.descriptions[index - 1] or ""
        per_band = (
            own if dataset.count > 1 else tags
        )  # a file's own name is not the name of each of its bands
        words = [description, *(per_band.get(key, "") for key in _WORD_TAGS)]
        if dataset.count == 1:
            words.append(stem)
        interpretation = dataset.colorinterp[index - 1]
        flags = dataset.mask_flag_enums[index - 1]
        if dataset.dtypes[index - 1].startswith("complex"):
            raise InputError(
                f"band {index} holds complex numbers, not reflectance",
                path=file,
                fix="convert it to magnitudes",
            )
        sources.append(
            Source(
                name=name,
                file=file,
                index=index,
                count=dataset.count,
                height=dataset.height,
                width=dataset.width,
                transform=transform,  # type: ignore[arg-type]
                crs=crs,
                dtype=dataset.dtypes[index - 1],
                nodata=dataset.nodatavals[index - 1],
                has_mask=MaskFlags.per_dataset in flags or MaskFlags.alpha in flags,
                mask_is_alpha=MaskFlags.alpha in flags,
                scale=_scale(dataset, index),
                offset=dataset.offsets[index - 1],
                words=tuple(dict.fromkeys(word for word in words if word)),
                numbers=tuple(dict.fromkeys(per_band[key] for key in _NUMBER_TAGS if key in per_band)),
                colour=interpretation.name if interpretation.name in _COLOURS else "",
                alpha=interpretation is ColorInterp.alpha,
                tags=tags,
                band_tags=per_band,
                notes=(*crs_notes, *transform_notes),
            )
        )
    return sources
