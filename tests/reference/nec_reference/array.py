"""Extension 8 (§9.2): the array that the tiles make up, and putting it together."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from nec_reference.plane import KIND_INTEGER, Plane
from nec_reference.refusals import Corrupt

VECTORS, GRIDS, RASTER, RASTER_CHANNELS_FIRST = range(4)
DIMENSIONS = (2, 4, 3, 3)  # by layout
FLOAT16, FLOAT32, FLOAT64, INT8, UINT8, INT16 = range(6)
RANGES = {INT8: (-128, 127), UINT8: (0, 255), INT16: (-32768, 32767)}
NO_QUANTISATION, ALPHAEARTH, TESSERA = range(3)


@dataclass(frozen=True)
class Array:
    """Every field of the extension; `nodata` None: there is none."""

    layout: int
    type: int
    quantisation: int
    nodata: float | None
    shape: tuple[int, ...]

    @property
    def channels(self) -> int:
        return self.shape[0] if self.layout == RASTER_CHANNELS_FIRST else self.shape[-1]


def decode_array(content: bytes) -> Array:
    """Fields of the extension, each judged by its row of the table."""
    if len(content) < 12:
        raise Corrupt(f"an array extension of {len(content)} bytes")
    layout, kind, quantisation, has_nodata, nodata = struct.unpack_from("<BBBBd", content)
    if layout > 3 or kind > 5 or quantisation > 2 or has_nodata > 1:
        raise Corrupt("an array extension names an unknown layout, type or quantisation")
    n = DIMENSIONS[layout]
    if len(content) != 12 + 4 * n:
        raise Corrupt(f"an array extension of {len(content)} bytes with {n} axes")
    shape = struct.unpack_from(f"<{n}I", content, 12)
    if 0 in shape:
        raise Corrupt("an array with an axis of nothing")
    if not has_nodata and content[4:12] != bytes(8):
        raise Corrupt("a nodata value where there is none")
    if has_nodata and kind in RANGES:
        low, high = RANGES[kind]
        if not (math.isfinite(nodata) and nodata == int(nodata) and low <= nodata <= high):
            raise Corrupt(f"nodata {nodata} of an integer type")
    if quantisation != NO_QUANTISATION and kind != INT8:
        raise Corrupt("a quantisation of what is not int8")
    if quantisation == ALPHAEARTH and not (has_nodata and nodata == -128):
        raise Corrupt("alphaearth without its nodata")
    return Array(layout, kind, quantisation, nodata if has_nodata else None, shape)


def check_array(
    array: Array, planes: tuple[Plane, ...], scene: tuple[int, int], core: tuple[int, int]
) -> None:
    """The shape fits the planes and the scene, or the extension is corrupt."""
    first = planes[0]
    integer = first.kind == KIND_INTEGER
    channels = {array.channels}
    if integer and array.type == INT16:
        channels.add(2 * array.channels)
    if first.channels not in channels or core != (first.rows, first.cols):
        raise Corrupt("the array's channels or tiles are not those of plane 0")
    if integer and array.type not in RANGES:
        raise Corrupt("floats in a plane of integers")
    if array.layout == VECTORS:
        n_tiles = -(-array.shape[0] // (first.rows * first.cols))
        expected = n_tiles * first.rows, first.cols
    elif array.layout == GRIDS:
        if array.shape[1:3] != (first.rows, first.cols):
            raise Corrupt("grids that are not the tiles of plane 0")
        expected = array.shape[0] * first.rows, first.cols
    else:
        expected = array.shape[:2] if array.layout == RASTER else array.shape[1:]
    if scene != expected:
        raise Corrupt(f"an array of {array.shape} in a scene of {scene}")
    wanted = 2 if integer and array.quantisation == TESSERA else 1
    if len(planes) != wanted:
        raise Corrupt(f"{len(planes)} planes for this array")
    if wanted == 2:
        second = planes[1]
        if (second.rows, second.cols, second.channels, second.kind) != (
            first.rows,
            first.cols,
            3,
            KIND_INTEGER,
        ):
            raise Corrupt("plane 1 holds no scales of plane 0")


def scale_of(channels: tuple[int, int, int]) -> float:
    """The float32 that three integers of plane 1 make."""
    upper, middle, lower = channels
    bits = (upper % 65536) * 65536 + middle * 256 + lower
    value: float = struct.unpack("<f", struct.pack("<I", bits))[0]
    return value
