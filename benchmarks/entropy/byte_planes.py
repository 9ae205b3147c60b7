"""Symbols for coders that know only bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Symbols = npt.NDArray[Any]  # int8 or int16


def byte_planes(symbols: Symbols) -> Bytes:
    """Bytes for a coder of bytes: int8 as it is; of int16 all low bytes, then all high bytes."""
    if symbols.dtype == np.int8:
        return np.ascontiguousarray(symbols).view(np.uint8).reshape(-1)
    return np.ascontiguousarray(symbols.astype("<i2").view(np.uint8).reshape(-1, 2).T).reshape(-1)


def from_byte_planes(data: Bytes, shape: tuple[int, ...]) -> Symbols:
    """The symbols of `byte_planes`."""
    if len(data) == np.prod(shape):
        return data.view(np.int8).reshape(shape)
    return np.ascontiguousarray(data.reshape(2, -1).T).view("<i2").reshape(shape)
