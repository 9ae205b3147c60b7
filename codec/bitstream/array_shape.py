"""Extension 8 (bitstream §9.2): how the tiles of a file make up the array that somebody packed."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from codec.errors import Corrupt, InputError
from codec.types import PlaneKind, PlaneSpec, TileGrid

_HEAD = struct.Struct("<BBBBd")
_SCALE_CHANNELS = 3


class Layout(IntEnum):
    """Axes of the array."""

    VECTORS = 0  # n × channels
    GRIDS = 1  # tile × rows × cols × channels
    ROWS_COLS_CHANNELS = 2
    CHANNELS_ROWS_COLS = 3


class Quantisation(IntEnum):
    """What the integers of an int8 array mean."""

    NONE = 0
    ALPHAEARTH = 1  # sign(q) · (q / 127.5)², −128 is nodata
    TESSERA = 2  # q · scale of the token, which plane 1 holds


DTYPES = tuple(np.dtype(name) for name in ("f2", "f4", "f8", "i1", "u1", "i2"))
_DIMENSIONS = {
    Layout.VECTORS: 2,
    Layout.GRIDS: 4,
    Layout.ROWS_COLS_CHANNELS: 3,
    Layout.CHANNELS_ROWS_COLS: 3,
}


@dataclass(frozen=True, slots=True)
class ArrayShape:
    """Layout, type, shape and meaning of a packed array. Building an illegal one raises InputError."""

    layout: Layout
    dtype: np.dtype
    shape: tuple[int, ...]
    quantisation: Quantisation = Quantisation.NONE
    nodata: float | None = (
        None  # what stands in tokens that are not valid; of an integer type an integer of it
    )

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise InputError(
                "an array of this type cannot be packed",
                expected=", ".join(map(str, DTYPES)),
                found=self.dtype,
            )
        n = _DIMENSIONS[self.layout]
        if len(self.shape) != n or not all(1 <= side < 2**32 for side in self.shape):
            raise InputError(f"this layout has {n} axes of at least 1", found=self.shape)
        if self.quantisation != Quantisation.NONE and self.dtype != np.int8:
            raise InputError("this quantisation is one of int8 arrays", found=self.dtype)
        if self.quantisation == Quantisation.ALPHAEARTH and self.nodata != -128:
            raise InputError("the nodata of this quantisation is -128", found=self.nodata)
        if self.nodata is not None and self.dtype.kind in "iu":
            limits = np.iinfo(self.dtype)
            if not (float(self.nodata).is_integer() and limits.min <= self.nodata <= limits.max):
                raise InputError(f"the nodata value is no {self.dtype}", found=self.nodata)

    @property
    def channels(self) -> int:
        return self.shape[0] if self.layout == Layout.CHANNELS_ROWS_COLS else self.shape[-1]

    @property
    def token_shape(self) -> tuple[int, ...]:
        """The array's shape without its channel axis: one entry per vector, token or pixel."""
        return self.shape[1:] if self.layout == Layout.CHANNELS_ROWS_COLS else self.shape[:-1]

    def grid(self, rows: int, cols: int) -> TileGrid:
        """The tiles of rows × cols tokens that hold the array. Raises InputError for more than 65,536."""
        if self.layout == Layout.VECTORS:
            return TileGrid(-(-self.shape[0] // (rows * cols)) * rows, cols, rows, cols)
        if self.layout == Layout.GRIDS:
            if self.shape[1:3] != (rows, cols):
                raise InputError("grids are the plane's tiles", expected=(rows, cols), found=self.shape[1:3])
            return TileGrid(self.shape[0] * rows, cols, rows, cols)
        height, width = self.token_shape
        return TileGrid(height, width, rows, cols)

    def plane_channels(self, lossless: bool) -> tuple[int, ...]:
        """How many channels plane 0 may have: int16 may come as upper and lower bytes."""
        if lossless and self.dtype == np.int16:
            return self.channels, 2 * self.channels
        return (self.channels,)

    def encode(self) -> bytes:
        head = _HEAD.pack(
            self.layout,
            DTYPES.index(self.dtype),
            self.quantisation,
            self.nodata is not None,
            self.nodata or 0.0,
        )
        return head + struct.pack(f"<{len(self.shape)}I", *self.shape)

    @classmethod
    def decode(cls, data: bytes, path: object = None) -> ArrayShape:
        """Raises Corrupt for anything that `encode` does not give."""
        try:
            layout, dtype, quantisation, has_nodata, nodata = _HEAD.unpack_from(data)
            n = _DIMENSIONS[Layout(layout)]
            if has_nodata > 1 or (not has_nodata and struct.pack("<d", nodata) != bytes(8)):
                raise ValueError(f"nodata {has_nodata}, {nodata}")
            if len(data) != _HEAD.size + 4 * n:
                raise ValueError(f"{len(data)} bytes")
            return cls(
                Layout(layout), DTYPES[dtype], struct.unpack_from(f"<{n}I", data, _HEAD.size),
                Quantisation(quantisation), nodata if has_nodata else None,
            )  # fmt: skip
        except (struct.error, ValueError, IndexError) as error:  # InputError is a ValueError
            raise Corrupt(f"extension 8 (array) has illegal content: {error}", path=path) from error

    def check(self, planes: tuple[PlaneSpec, ...], grid: TileGrid, path: object = None) -> None:
        """Raise Corrupt unless planes and scene of the header are those of this array."""
        first = planes[0]
        lossless = first.kind == PlaneKind.INTEGER
        try:
            fits = (
                first.channels in self.plane_channels(lossless) and self.grid(first.rows, first.cols) == grid
            )
        except InputError:
            fits = False
        if lossless and self.dtype.kind == "f":
            fits = False
        expected = 2 if lossless and self.quantisation == Quantisation.TESSERA else 1
        if len(planes) != expected:
            fits = False
        elif expected == 2:
            second = planes[1]
            fits &= (second.rows, second.cols, second.channels, second.kind) == (
                first.rows, first.cols, _SCALE_CHANNELS, PlaneKind.INTEGER,
            )  # fmt: skip
        if not fits:
            raise Corrupt(
                "extension 8 (array) does not fit the planes and the scene", path=path, found=self.shape
            )


def no_value(dtype: np.dtype) -> float:
    """What stands in invalid tokens of a decoded array that names no nodata value."""
    return math.nan if dtype.kind == "f" else 0.0
