"""Where arrays of embeddings come from: `.npy` (memory-mapped), Zarr, GeoTIFF. Only what is opened is imported."""

from __future__ import annotations

import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codec.errors import BackendUnavailable, Corrupt, InputError, InternalError, LimitExceeded, SwathpackError
from codec.types import Georeference

_RASTER_SUFFIXES = (".tif", ".tiff", ".vrt")
_ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup")
_IN_MEMORY = 1 << 31  # bytes: larger rasters are read window by window


@dataclass(frozen=True)
class Opened:
    """An array that slices, and what its file says about it."""

    array: Any  # has shape and dtype; slices into NumPy arrays
    axes: str | None = None
    nodata: float | None = None
    georeference: Georeference | None = None


def open_array(path: Path, *, variable: str | None = None) -> Opened:
    """Open an array by its path. `variable` names one of a Zarr group.

    Raises InputError for what is no array, BackendUnavailable where zarr or rasterio is missing.
    """
    if not path.exists():
        raise InputError("no such file", path=path)
    if path.is_dir():
        if any((path / mark).exists() for mark in _ZARR_MARKS):
            return _zarr(path, variable)
        raise InputError(
            "a folder that is no Zarr store", path=path, fix="give a .npy, a Zarr store or a GeoTIFF"
        )
    if path.suffix.lower() in _RASTER_SUFFIXES:
        return _raster(path)
    try:
        with open(path, "rb") as file:
            is_npy = file.read(6) == b"\x93NUMPY"
        if is_npy:
            return Opened(np.load(path, mmap_mode="r", allow_pickle=False))
    except (
        OSError,
        ValueError,
        EOFError,
        TypeError,
        OverflowError,
        SyntaxError,
        tokenize.TokenError,
    ) as error:
        if "Python objects" in str(error) or "allow_pickle" in str(error):
            raise InputError(
                "the array holds objects: it is ragged, or no numbers", path=path,
                fix="save one array of numbers in which every vector has the same length",
            ) from error  # fmt: skip
        raise InputError(f"cannot be read as .npy: {error}", path=path) from error
    raise InputError("not an array file", path=path, fix="give a .npy, a Zarr store or a GeoTIFF")


def _zarr(path: Path, variable: str | None) -> Opened:
    try:
        import zarr
    except ImportError as error:
        raise BackendUnavailable("zarr is not installed", fix="pip install 'swathpack[arrays]'") from error
    try:
        node = zarr.open(str(path), mode="r")
    except Exception as error:  # zarr raises many kinds, some of them its own
        raise InputError(f"cannot be read as Zarr: {error}", path=path) from error
    if not hasattr(node, "dtype"):
        names = sorted(name for name, _ in node.arrays())
        if not names:
            raise InputError("a Zarr group without an array", path=path, fix="give the path of an array")
        chosen = variable or (names[0] if len(names) == 1 else None)
        if chosen not in names:
            raise InputError(
                "a Zarr group with several arrays" if variable is None else f"the group has no array {variable!r}",
                path=path, expected=", ".join(names), found=variable, fix="name one with --variable",
            )  # fmt: skip
        node = node[chosen]
    return Opened(_Stored(path, node))


class _Stored:
    """A Zarr array whose damaged chunks are typed errors: codecs and stores raise what they like."""

    def __init__(self, path: Path, array: Any) -> None:
        self._path, self._array = path, array
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: Any) -> np.ndarray:
        try:
            found: np.ndarray = np.asarray(self._array[key])
        except (SwathpackError, MemoryError):
            raise
        except Exception as error:
            raise Corrupt(
                f"a chunk of the array cannot be read: {error}", path=self._path, fix="restore the store"
            ) from error
        return found


class _Windows:
    """A raster file as an array of channels × rows × cols that reads the windows it is asked for."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
        import rasterio

        self._path, self._file = path, rasterio.open(path)
        self.shape, self.dtype = shape, dtype

    def __getitem__(self, key: Any) -> np.ndarray:
        """Slices of step 1, fewer than axes, or an ellipsis, as NumPy has them."""
        from rasterio.errors import RasterioError
        from rasterio.windows import Window

        keys = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys[at : at + 1] = [slice(None)] * (len(self.shape) - len(keys) + 1)
        keys += [slice(None)] * (len(self.shape) - len(keys))
        if len(keys) != len(self.shape) or not all(
            isinstance(k, slice) and k.step in (None, 1) for k in keys
        ):
            raise InternalError("windows of a raster are read by slices", found=repr(key))
        bands, rows, cols = (range(*part.indices(n)) for part, n in zip(keys, self.shape, strict=True))
        window = Window(cols.start, rows.start, len(cols), len(rows))
        try:
            array: np.ndarray = self._file.read([b + 1 for b in bands], window=window)
        except RasterioError as error:
            raise Corrupt(
                f"a window of the raster cannot be read: {error}", path=self._path, fix="get the file again"
            ) from error
        return array


def _raster(path: Path) -> Opened:
    try:
        import rasterio
    except ImportError as error:
        raise BackendUnavailable(
            "rasterio is not installed", fix="pip install 'swathpack[onboard]'"
        ) from error
    from codec.scene.georeference import to_georeference

    try:
        with rasterio.open(path) as file:
            if len(set(file.dtypes)) != 1:
                raise InputError(
                    "bands of different types", path=path, found=", ".join(sorted(set(file.dtypes)))
                )
            dtype = np.dtype(file.dtypes[0])
            shape = (file.count, file.height, file.width)
            where = to_georeference(tuple(file.transform)[:6], file.crs)
            nodata = _nodata(path, file.nodatavals)
            array: Any = file.read() if int(np.prod(shape)) * dtype.itemsize <= _IN_MEMORY else None
    except rasterio.errors.RasterioError as error:
        raise InputError(f"cannot be read as a raster: {error}", path=path) from error
    except MemoryError as error:
        raise LimitExceeded("the raster does not fit into memory", path=path) from error
    return Opened(_Windows(path, shape, dtype) if array is None else array, "chw", nodata, where)


def _nodata(path: Path, values: Sequence[float | None]) -> float | None:
    """The value that all bands have. Raises InputError where they differ: a token has one for all of its channels."""
    if len({repr(value) for value in values}) != 1:
        raise InputError(
            "bands of different nodata values", path=path, found=", ".join(map(str, values[:4])),
            fix="write one value into all bands, and declare it",
        )  # fmt: skip
    return None if values[0] is None else float(values[0])
