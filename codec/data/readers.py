"""Readers of the collection: one function per data set, each giving reflectance with canonical band names.

What is written here are facts of these files (band order, scale, offset, nodata), as the collection's README
records and measured them; facts of sensors belong to the scene room.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.windows import Window as RasterWindow

from codec.data.raster import Raster
from codec.data.splits import Window, rows, windows
from codec.errors import InputError
from codec.types import BoolArray

S2_ALL = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge071",
    "B06": "rededge075",
    "B07": "rededge078",
    "B08": "nir",
    "B8A": "nir08",
    "B09": "nir09",
    "B10": "cirrus",
    "B11": "swir16",
    "B12": "swir22",
}
_B01_TO_B08 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08")
EUROSAT_ORDER = (*_B01_TO_B08, "B09", "B10", "B11", "B12", "B8A")  # B8A comes last in this set only
S2_L1C_ORDER = (*_B01_TO_B08, "B8A", "B09", "B10", "B11", "B12")
S2_L2A_ORDER = (*_B01_TO_B08, "B8A", "B09", "B11", "B12")
LANDSAT7_ORDER = ("blue", "green", "red", "nir", "swir16", "swir22")  # bands 1–5 and 7

# DN that must be subtracted; every other file has none. Measured from the minima (collection README).
TERRAMIND_OFFSET = {
    ("282D_485L_3_3", "S2L1C"): 1000,
    ("433D_629L_3_1", "S2L1C"): 1000,
    ("433D_629L_3_1", "S2L2A"): 1000,
    ("609U_541L_3_0", "S2L1C"): 1000,
}
_BYTE_SENTINEL2 = 0.4 / 255  # 8-bit display export; medians then match level 1C over water
_BYTE_NAIP = 0.4 / 255
_BYTE_AERIAL = 0.3 / 255
_LANDSAT8_SCALE, _LANDSAT8_OFFSET = 2e-5, -0.1  # top-of-atmosphere reflectance without the sun angle
_LANDSAT7_SATURATED = 16_000


def read_array(path: Path, window: Window | None = None, bands: list[int] | None = None) -> npt.NDArray[Any]:
    """Pixels C×H×W of a raster file, native type."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", NotGeoreferencedWarning
            )  # EuroSAT stacks are rows of tiles, not maps
            with rasterio.open(path) as source:
                place = RasterWindow(window.col, window.row, window.width, window.height) if window else None
                return np.asarray(source.read(bands, window=place))
    except RasterioIOError as error:
        raise InputError(
            f"not a readable raster: {error}", path=path, fix="check the collection with its check.py"
        ) from error


def _select(order: Iterable[str], array: npt.NDArray[Any]) -> tuple[tuple[str, ...], npt.NDArray[Any]]:
    """Drop the cirrus band and rename the rest."""
    order = tuple(order)
    keep = [i for i, band in enumerate(order) if band != "B10"]
    return tuple(S2_ALL[order[i]] for i in keep), np.ascontiguousarray(array[keep])


def _everywhere(array: npt.NDArray[Any]) -> BoolArray:
    return np.ones(array.shape[1:], dtype=np.bool_)


def eurosat(root: Path, split: str) -> list[Raster]:
    """64×64 tiles, Sentinel-2 L1C, in the order of the split's labels."""
    path = Path(root) / "eurosat_ms" / f"{split}.jp2"
    stack = read_array(path)
    if stack.shape[0] != len(EUROSAT_ORDER) or stack.shape[1] % 64 or stack.shape[2] != 64:
        raise InputError("not a stack of 13-band 64×64 tiles", path=path, found=stack.shape)
    bands, stack = _select(EUROSAT_ORDER, stack)
    tiles = stack.reshape(len(bands), -1, 64, 64).transpose(1, 0, 2, 3)
    names = [row["name"] for row in rows(root, "eurosat_ms", split)]
    if len(names) != len(tiles):
        raise InputError(
            "the split table and the stack differ in length", path=path, expected=len(names), found=len(tiles)
        )
    return [
        Raster("eurosat", name, bands, np.ascontiguousarray(tile), 1e-4, 0.0, _everywhere(tile), 64)
        for name, tile in zip(names, tiles, strict=True)
    ]


def terramind(root: Path, split: str) -> list[Raster]:
    """Each place as level 1C and as level 2A."""
    found = []
    for place in windows(root, "terramind_pairs", split):
        for product, order in (("S2L1C", S2_L1C_ORDER), ("S2L2A", S2_L2A_ORDER)):
            array = read_array(Path(root) / "terramind_pairs" / place.file / f"{product}.jp2", place)
            bands, array = _select(order, array)
            offset = -TERRAMIND_OFFSET.get((place.file, product), 0) * 1e-4
            found.append(
                Raster("terramind", f"{place.file}/{product}", bands, array, 1e-4, offset, _everywhere(array))
            )
    return found


def sen1floods11(root: Path, split: str) -> list[Raster]:
    """The columns of the flood chip that belong to the split."""
    found = []
    for window in windows(root, "sen1floods11_spain", split):
        bands, array = _select(S2_L1C_ORDER, read_array(Path(root) / "sen1floods11_spain" / "S2.tif", window))
        found.append(
            Raster("sen1floods11", f"columns-{window.col}", bands, array, 1e-4, 0.0, _everywhere(array))
        )
    return found


def lahinch(root: Path, split: str) -> list[Raster]:
    """Dates of the coastal series; nodata edges come from the mask file's second band."""
    found = []
    for window in windows(root, "s2_series_lahinch", split):
        folder = Path(root) / "s2_series_lahinch"
        bands, array = _select(S2_L1C_ORDER, read_array(folder / f"{window.file}_s2.jp2", window)[:13])
        measured = read_array(folder / f"{window.file}_seg.tif", window)[1] == 1
        found.append(Raster("lahinch", window.file, bands, array, 1e-4, 0.0, measured))
    return found


def beaufort(root: Path, split: str) -> list[Raster]:
    """The 8-bit display export, B01–B08; used without labels, so it has only a train part."""
    if split != "train":
        raise InputError("the Beaufort scene is used without labels, for training only", found=split)
    array = read_array(Path(root) / "s2_beaufort_nc" / "s2_8bit.jp2")
    bands, array = _select(_B01_TO_B08, array)
    return [Raster("beaufort", "20181013", bands, array, _BYTE_SENTINEL2, 0.0, ~np.all(array == 255, axis=0))]


def landsat7(root: Path, split: str) -> list[Raster]:
    """Chiapas, two dates of surface reflectance; used without labels."""
    if split != "train":
        raise InputError("the Chiapas scenes are used without labels, for training only", found=split)
    found = []
    for date in ("19991118", "20020416"):
        array = read_array(Path(root) / "landsat7_chiapas" / f"{date}.tif", bands=[1, 2, 3, 4, 5, 6])
        valid = np.all((array > 0) & (array < _LANDSAT7_SATURATED), axis=0)
        found.append(Raster("landsat7", date, LANDSAT7_ORDER, array, 1e-4, 0.0, valid))
    return found


def cloud38(root: Path, split: str) -> list[Raster]:
    """Landsat 8 patches, RGB and NIR."""
    found = []
    for row in rows(root, "cloud38", split):
        array = read_array(Path(root) / "cloud38" / row["image"])
        bands = ("red", "green", "blue", "nir08")
        found.append(
            Raster(
                "cloud38",
                row["image"],
                bands,
                array,
                _LANDSAT8_SCALE,
                _LANDSAT8_OFFSET,
                np.any(array > 0, axis=0),
            )
        )
    return found


def naip(root: Path, split: str) -> list[Raster]:
    """Three dates of aerial RGB and NIR at 5 m."""
    found = []
    for window in windows(root, "naip_prairie", split):
        array = read_array(Path(root) / "naip_prairie" / window.file, window)
        bands = ("red", "green", "blue", "nir")
        found.append(
            Raster("naip", f"{window.file}-{window.col}", bands, array, _BYTE_NAIP, 0.0, _everywhere(array))
        )
    return found


def ucmerced(root: Path, split: str) -> list[Raster]:
    """Aerial RGB, 256×256, in the order of the split's labels."""
    found = []
    table = rows(root, "ucmerced", split)
    with zipfile.ZipFile(Path(root) / "ucmerced" / f"{split}.zip") as archive:
        for row in table:
            image = np.asarray(Image.open(io.BytesIO(archive.read(row["member"]))).convert("RGB"))
            array = np.ascontiguousarray(image.transpose(2, 0, 1))
            found.append(
                Raster(
                    "ucmerced",
                    row["member"],
                    ("red", "green", "blue"),
                    array,
                    _BYTE_AERIAL,
                    0.0,
                    _everywhere(array),
                    256,
                )
            )
    return found


def dubai(root: Path, split: str) -> list[Raster]:
    """Satellite RGB of a few metres or less."""
    found = []
    for row in rows(root, "dubai", split):
        image = np.asarray(Image.open(Path(root) / "dubai" / row["image"]).convert("RGB"))
        array = np.ascontiguousarray(image.transpose(2, 0, 1))
        found.append(
            Raster(
                "dubai",
                row["image"],
                ("red", "green", "blue"),
                array,
                _BYTE_AERIAL,
                0.0,
                _everywhere(array),
                256,
            )
        )
    return found


Reader = Callable[[Path, str], list[Raster]]
SOURCES: dict[str, Reader] = {
    "eurosat": eurosat,
    "terramind": terramind,
    "sen1floods11": sen1floods11,
    "lahinch": lahinch,
    "beaufort": beaufort,
    "landsat7": landsat7,
    "cloud38": cloud38,
    "naip": naip,
    "ucmerced": ucmerced,
    "dubai": dubai,
}


def read_source(name: str, root: Path, split: str = "train") -> list[Raster]:
    """All images of one source and split."""
    if name not in SOURCES:
        raise InputError(f"there is no data source {name}", expected=", ".join(SOURCES), found=name)
    return SOURCES[name](Path(root), split)
