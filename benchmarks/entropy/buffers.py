"""Arrays that begin at chosen addresses: speed may depend on where a buffer lies, so it is measured at several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

LINE = 64  # bytes of a cache line
OFFSETS = (0, 1, 8, 16, 31, 32, 48, 63)
_PAGE = 4096


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike, offset: int) -> npt.NDArray[Any]:
    """An array whose first byte lies `offset` bytes above a page, rounded down to whole elements."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    raw = np.empty(size + 2 * _PAGE, dtype=np.uint8)
    raw.fill(0)  # not np.zeros, whose pages are mapped at the first write: that would be timed
    start = -raw.ctypes.data % _PAGE + offset // kind.itemsize * kind.itemsize
    return raw[start : start + size].view(kind).reshape(shape)


def copies(array: npt.NDArray[Any], offsets: Sequence[int] = OFFSETS) -> list[npt.NDArray[Any]]:
    """The array at each of the offsets."""
    result = []
    for offset in offsets:
        copy = empty(array.shape, array.dtype, offset)
        copy[...] = array
        result.append(copy)
    return result


def moved(data: bytes, offset: int) -> memoryview:
    """The bytes at an address `offset` above a multiple of 64."""
    copy = empty((len(data),), np.uint8, offset)
    copy[...] = np.frombuffer(data, dtype=np.uint8)
    return copy.data
