"""What `fit`, `pack` and `unpack` share: options of arrays, their inputs, and how arrays leave."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np

    from codec.arrays.pack import Unpacked
    from codec.types import Georeference

Axes = Annotated[
    str | None,
    typer.Option(
        help="nc: vectors · thwc: token grids · hwc, chw: rasters. Two and four axes name themselves."
    ),
]
Nodata = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER", help="What stands in all channels of tokens that were not measured; nan too."
    ),
]
Quantisation = Annotated[
    str | None,
    typer.Option(
        help="What int8 numbers mean: alphaearth (sign · (q/127.5)², -128 is nodata), tessera (q · scale), none."
    ),
]
Scale = Annotated[
    Path | None, typer.Option(metavar="FILE", help="tessera: the float32 scales, one per token.")
]
Variable = Annotated[str | None, typer.Option(help="Which array of a Zarr group.")]
TileSize = Annotated[
    str | None,
    typer.Option("--tile", metavar="ROWSxCOLS", help="Tokens of a tile; chosen by type if not given."),
]


@dataclass(frozen=True)
class ArrayInput:
    """An array as the command line gives it."""

    array: Any
    axes: str | None
    nodata: float | None
    scale: np.ndarray | None
    georeference: Georeference | None


def open_input(
    path: Path, *, axes: str | None, nodata: str | None, scale: Path | None, variable: str | None
) -> ArrayInput:
    """Open an array and its scales; options come before what the file says. Raises as `open_array`, and UsageError."""
    import numpy as np

    from codec.arrays.sources import open_array
    from codec.errors import LimitExceeded

    opened = open_array(path, variable=variable)
    scales = None
    if scale is not None:
        found = open_array(scale).array
        try:
            scales = np.asarray(found[...])
        except MemoryError as error:
            raise LimitExceeded("the scales do not fit into memory", path=scale) from error
        if scales.ndim == 3 and scales.shape[0] == 1:  # a raster of one band
            scales = scales[0]
    value = opened.nodata if nodata is None else _number(nodata)
    return ArrayInput(opened.array, axes or opened.axes, value, scales, opened.georeference)


def _number(text: str) -> float:
    from codec.errors import UsageError

    try:
        return float(text)
    except ValueError:
        raise UsageError(
            f"--nodata {text!r} is no number", fix="write e.g. --nodata -128 or --nodata nan"
        ) from None


def tile_size(text: str | None) -> tuple[int, int] | None:
    """`ROWSxCOLS` → both numbers. Raises UsageError."""
    from codec.errors import UsageError

    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,3})[x×](\d{1,3})", text)
    if not match:
        raise UsageError(f"--tile {text!r} is not ROWSxCOLS", fix="write e.g. --tile 16x16")
    return int(match.group(1)), int(match.group(2))


FORMS = (".npy", ".npz", ".tif")


def form_of(output: str) -> str:
    """`.npy`, `.npz` or `.tif`; standard output takes `.npy`. Raises UsageError."""
    from codec.errors import UsageError

    form = ".npy" if output == "-" else Path(output).suffix.lower()
    if form not in FORMS:
        raise UsageError(f"-o {output}: unknown form", expected=", ".join(FORMS), found=form or "none")
    return form


def render(unpacked: Unpacked, values: np.ndarray, georeference: Georeference, form: str) -> bytes:
    """The bytes of the output. Raises InputError for a GeoTIFF of what is no raster."""
    import numpy as np

    out = io.BytesIO()
    if form == ".npy":
        np.save(out, values)
    elif form == ".npz":
        arrays = {"values": values, "validity": unpacked.validity}
        if unpacked.scale is not None:
            arrays["scale"] = unpacked.scale
        facts = {
            "transform": list(georeference.transform), "epsg": georeference.epsg or None,
            "wkt": georeference.wkt or None, "quantisation": unpacked.quantisation,
        }  # fmt: skip
        np.savez_compressed(out, **arrays, about=np.array(json.dumps(facts)))  # type: ignore[arg-type]
    else:
        return _geotiff(unpacked, values, georeference)
    return out.getvalue()


def _nodata(unpacked: Unpacked, values: np.ndarray) -> float | None:
    """What stands where `values` are not valid: the array's own value, or NaN in numbers made of its integers."""
    if (
        values is unpacked.values
        and values.dtype == unpacked.about.dtype
        and unpacked.about.nodata is not None
    ):
        return unpacked.about.nodata
    return float("nan") if values.dtype.kind == "f" else None


def _geotiff(unpacked: Unpacked, values: np.ndarray, georeference: Georeference) -> bytes:
    import numpy as np

    from codec.bitstream.array_shape import Layout
    from codec.errors import InputError

    layout = unpacked.about.layout
    if layout not in (Layout.ROWS_COLS_CHANNELS, Layout.CHANNELS_ROWS_COLS):
        raise InputError("the array is no raster", found=values.shape, fix="unpack to .npy or .npz")
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    from codec.scene.georeference import to_crs

    bands = np.moveaxis(values, -1, 0) if layout == Layout.ROWS_COLS_CHANNELS else values
    profile = {
        "driver": "GTiff", "count": bands.shape[0], "height": bands.shape[1], "width": bands.shape[2],
        "dtype": bands.dtype.name, "transform": Affine(*georeference.transform), "tiled": True,
        "blockxsize": 256, "blockysize": 256, "compress": "deflate", "interleave": "pixel",
        "crs": to_crs(georeference) if georeference.has_crs else None,
        "nodata": _nodata(unpacked, values),
    }  # fmt: skip
    if bands.dtype == np.float16:
        raise InputError("GeoTIFFs hold no float16", fix="unpack to .npy or .npz")
    with MemoryFile() as memory:
        try:
            with memory.open(**profile) as file:
                file.write(bands)
        except (rasterio.errors.RasterioError, TypeError, ValueError) as error:
            raise InputError(
                f"cannot be written as a GeoTIFF: {error}", fix="unpack to .npy or .npz"
            ) from error
        return bytes(memory.read())
