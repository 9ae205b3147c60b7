"""Somebody's array as the tiles of a plane, piece by piece, and back (bitstream §9.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from codec.bitstream.array_shape import ArrayShape, Layout, Quantisation
from codec.bitstream.derived import own_axis
from codec.errors import InputError
from codec.types import BoolArray, TileGrid

AXES = {
    "nc": Layout.VECTORS,
    "thwc": Layout.GRIDS,
    "hwc": Layout.ROWS_COLS_CHANNELS,
    "chw": Layout.CHANNELS_ROWS_COLS,
}
QUANTISATIONS = {
    "none": Quantisation.NONE,
    "alphaearth": Quantisation.ALPHAEARTH,
    "tessera": Quantisation.TESSERA,
}
_BY_DIMENSIONS = {2: "nc", 4: "thwc"}
_AXES_FIX = "name the axes: 'nc' vectors, 'thwc' token grids, 'hwc' or 'chw' rasters"


def describe(array: Any, *, axes: str | None, nodata: float | None, quantisation: str | None) -> ArrayShape:
    """What extension 8 says of `array` (anything with shape and dtype). Raises InputError where that is not clear."""
    shape = tuple(int(side) for side in getattr(array, "shape", ()))
    try:
        dtype = np.dtype(getattr(array, "dtype", object))
    except TypeError as error:
        raise InputError(
            "the array's type is none of NumPy's", found=array.dtype, fix="convert it with numpy.asarray"
        ) from error
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise InputError(
            "the array has a mask, which would be lost",
            fix="fill it (`array.filled(value)`) and give that value as nodata",
        )
    if nodata is not None and not isinstance(nodata, (int, float, np.integer, np.floating)):
        raise InputError("the nodata value is no number", found=repr(nodata))
    if dtype.kind == "O":
        raise InputError(
            "the array is ragged, or holds objects", found=f"{dtype} {shape}",
            fix="give one array of numbers in which every vector has the same length",
        )  # fmt: skip
    named = axes or _BY_DIMENSIONS.get(len(shape))
    if named is None:
        raise InputError(f"an array of {len(shape)} axes says not which is which", fix=_AXES_FIX)
    if named not in AXES:
        raise InputError(f"unknown axes {named!r}", expected=", ".join(AXES), fix=_AXES_FIX)
    meaning = _quantisation(dtype, quantisation)
    if meaning == Quantisation.ALPHAEARTH:
        if nodata not in (None, -128):
            raise InputError("the nodata of AlphaEarth arrays is -128", found=nodata)
        nodata = -128
    return ArrayShape(AXES[named], dtype.newbyteorder("="), shape, meaning, nodata)


def _quantisation(dtype: np.dtype, name: str | None) -> Quantisation:
    if name is None:
        return Quantisation.NONE
    if name not in QUANTISATIONS:
        raise InputError(f"unknown quantisation {name!r}", expected=", ".join(QUANTISATIONS))
    if name != "none" and dtype != np.int8:
        raise InputError(f"arrays of quantisation {name!r} are int8", found=dtype)
    return QUANTISATIONS[name]


@dataclass(frozen=True)
class TokenSource:
    """The tiles of an array, read as they are asked for (a memory-mapped array stays on disk)."""

    array: Any
    about: ArrayShape
    rows: int
    cols: int

    @property
    def grid(self) -> TileGrid:
        return self.about.grid(self.rows, self.cols)

    @property
    def n_tiles(self) -> int:
        return self.grid.n_tiles

    @property
    def values_per_tile(self) -> int:
        return self.rows * self.cols * self.about.channels

    def read(self, tiles: np.ndarray | range) -> tuple[np.ndarray, BoolArray]:
        """Values n×h×w×C of these tiles in the array's type, and which tokens are there and valid, n×h×w.

        Tokens that the array does not have are 0. Raises InputError for numbers that are not finite, and for −128 in an
        int8 array of which nobody said what it means.
        """
        values = self._raw(tiles)
        known = self._known(values, tiles)
        return values, known

    def _raw(self, tiles: np.ndarray | range) -> np.ndarray:
        n_tokens, channels = self.rows * self.cols, self.about.channels
        shape = (len(tiles), self.rows, self.cols, channels)
        consecutive = isinstance(tiles, range) and tiles.step == 1 and len(tiles)
        if self.about.layout == Layout.GRIDS:
            part = self.array[tiles[0] : tiles[-1] + 1] if consecutive else self.array[np.asarray(tiles)]
            return np.asarray(part).reshape(shape)
        if self.about.layout == Layout.VECTORS:
            total = self.about.shape[0]
            if consecutive and (tiles[-1] + 1) * n_tokens <= total:
                return np.asarray(self.array[tiles[0] * n_tokens : (tiles[-1] + 1) * n_tokens]).reshape(shape)
            values = np.zeros((len(tiles), n_tokens, channels), dtype=self.about.dtype)
            for number, tile in enumerate(tiles):
                part = np.asarray(self.array[tile * n_tokens : min((tile + 1) * n_tokens, total)])
                values[number, : len(part)] = part
            return values.reshape(shape)
        values = np.zeros(shape, dtype=self.about.dtype)
        for number, tile in enumerate(tiles):
            top, left = self.grid.origin(int(tile))
            part = self._window(top, left)
            values[number, : part.shape[0], : part.shape[1]] = part
        return values

    def _window(self, top: int, left: int) -> np.ndarray:
        where = (slice(top, top + self.rows), slice(left, left + self.cols))
        if self.about.layout == Layout.CHANNELS_ROWS_COLS:
            return np.moveaxis(np.asarray(self.array[:, where[0], where[1]]), 0, 2)
        return np.asarray(self.array[where[0], where[1]])

    def _known(self, values: np.ndarray, tiles: np.ndarray | range) -> BoolArray:
        known = self._inside(tiles)
        nodata = self.about.nodata
        if nodata is not None:
            same = np.isnan(values) if math.isnan(nodata) else values == values.dtype.type(nodata)
            known &= ~same.all(axis=3)
        if values.dtype.kind == "f":
            with np.errstate(over="ignore", invalid="ignore"):
                finite = np.isfinite(values.sum(dtype=np.float64))
            if not finite and not np.isfinite(values[known]).all():
                raise self._not_finite(values, known, tiles)
        return known

    def _not_finite(self, values: np.ndarray, known: BoolArray, tiles: np.ndarray | range) -> InputError:
        wrong = np.argwhere(known[..., None] & ~np.isfinite(values))[0]
        value = values[tuple(wrong)]
        return InputError(
            f"the array holds {value}, first in tile {int(tiles[wrong[0]])}, row {wrong[1]}, column {wrong[2]}, "
            f"channel {wrong[3]}",
            fix="give nodata=nan where tokens are NaN in all channels, and replace what is not finite in some",
        )

    def _inside(self, tiles: np.ndarray | range) -> BoolArray:
        """n×h×w: tokens that the array has and that belong to the tile."""
        shape = (len(tiles), self.rows, self.cols)
        if self.about.layout == Layout.GRIDS:
            return np.ones(shape, dtype=bool)
        if self.about.layout == Layout.VECTORS:
            first = np.asarray(tiles, dtype=np.int64) * (self.rows * self.cols)
            number = first[:, None] + np.arange(self.rows * self.cols)
            return (number < self.about.shape[0]).reshape(shape)
        # Whether a token is its tile's own is a matter of its row and of its column, each by itself (bitstream §3.1).
        grid = self.grid
        row, col = np.divmod(np.asarray(tiles, dtype=np.int64), grid.n_cols)
        rows = own_axis(grid.height, grid.core_height, self.rows)[row]
        cols = own_axis(grid.width, grid.core_width, self.cols)[col]
        inside: BoolArray = rows[:, :, None] & cols[:, None, :]
        return inside


@dataclass(frozen=True)
class TokenSink:
    """The array being put together again; what no tile writes keeps the value of invalid tokens."""

    about: ArrayShape
    rows: int
    cols: int
    values: np.ndarray
    validity: BoolArray

    @staticmethod
    def of(about: ArrayShape, rows: int, cols: int, fill: float) -> TokenSink:
        values = np.full(about.shape, fill, dtype=about.dtype)
        return TokenSink(about, rows, cols, values, np.zeros(about.token_shape, dtype=bool))

    def put(self, first: int, values: np.ndarray, valid: BoolArray) -> None:
        """Tiles first … of values n×h×w×C; only their valid own tokens are written."""
        n, n_tokens = len(values), self.rows * self.cols
        if self.about.layout in (Layout.VECTORS, Layout.GRIDS):
            flat = self.values.reshape(-1, self.about.channels)[first * n_tokens : (first + n) * n_tokens]
            there = self.validity.reshape(-1)[first * n_tokens : (first + n) * n_tokens]
            given = valid.reshape(-1)[: len(there)]
            there[:] = given
            if given.all():
                flat[:] = values.reshape(-1, self.about.channels)[: len(there)]
            else:
                flat[given] = values.reshape(-1, self.about.channels)[: len(there)][given]
            return
        grid = self.about.grid(self.rows, self.cols)
        target = self.values
        if self.about.layout == Layout.CHANNELS_ROWS_COLS:
            target = np.moveaxis(target, 0, 2)
        first, values, valid = self._put_rows(target, grid, first, values, valid)
        n = len(values)
        for number in range(n):
            top, left = grid.origin(first + number)
            here = (slice(top, top + self.rows), slice(left, left + self.cols))
            window = target[here]
            own = valid[number, : window.shape[0], : window.shape[1]]
            window[own] = values[number, : window.shape[0], : window.shape[1]][own]
            self.validity[here] |= own

    def _put_rows(
        self, target: np.ndarray, grid: TileGrid, first: int, values: np.ndarray, valid: BoolArray
    ) -> tuple[int, np.ndarray, BoolArray]:
        """Write whole rows of tiles at once where every token is valid and no tile is shifted; what is left of them."""
        n_rows, col = len(values) // grid.n_cols, first % grid.n_cols
        whole = n_rows * grid.n_cols
        top = first // grid.n_cols * self.rows
        fits = grid.n_cols * self.cols == grid.width and top + n_rows * self.rows <= grid.height
        if col or not n_rows or not fits or not valid[:whole].all():
            return first, values, valid
        band = slice(top, top + n_rows * self.rows)
        tiles = values[:whole].reshape(n_rows, grid.n_cols, self.rows, self.cols, -1)
        target[band] = tiles.transpose(0, 2, 1, 3, 4).reshape(n_rows * self.rows, grid.width, -1)
        self.validity[band] = True
        return first + whole, values[whole:], valid[whole:]
