"""UQE, the uniformly quantised embedding that NEC compares itself with, as its authors published it.

One minimum and maximum over all elements of a batch of 64 tiles, rounded to 2^bits − 1 equal steps, stored in bytes,
Blosc with zstd at its level 3 and bit-shuffle over the batch. Its faults are kept: a few outlier channels set the range,
and a tile's bytes depend on its batch. In its favour one frame covers the whole batch, where Blosc cuts blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from codec.evaluate.rate.embedding import frames
from codec.evaluate.rate.embedding.sent import Part, Planewise
from codec.evaluate.rate.types import Method
from codec.types import BoolArray, FloatArray

BATCH = 64
_BITS = {"8 bit": 8, "5 bit": 5, "3 bit": 3, "2 bit": 2}
_LEVEL = 5  # what Blosc makes of its level 3 for zstd: 2 · 3 − 1
_RANGE = struct.Struct("<ff")  # minimum and maximum of the batch


def quantise(x: FloatArray, bits: int) -> tuple[npt.NDArray[np.uint8], float, float]:
    """Integers 0 … 2^bits − 1, minimum and maximum. A constant batch is all 0."""
    low, high = float(x.min()), float(x.max())
    steps = 2**bits - 1
    scale = steps / (high - low) if high > low else 0.0
    return np.rint((x - np.float32(low)) * np.float32(scale)).astype(np.uint8), low, high


def dequantise(q: npt.NDArray[np.uint8], low: float, high: float, bits: int) -> FloatArray:
    """The inverse, up to half a step."""
    return (np.float32(low) + q * np.float32((high - low) / (2**bits - 1))).astype(np.float32)


@dataclass(frozen=True)
class UqeCoder:
    """Nothing is fitted but the shape."""

    carries_validity: ClassVar[bool] = False

    shape: tuple[int, ...]

    @property
    def settings(self) -> Sequence[str]:
        return tuple(_BITS)

    def encode(self, values: FloatArray, validity: BoolArray, setting: str) -> list[Part]:
        parts = []
        for first in range(0, len(values), BATCH):
            batch = values[first : first + BATCH]
            q, low, high = quantise(batch, _BITS[setting])
            frame = frames.compress(frames.bit_shuffle(q.ravel()).tobytes(), _LEVEL)
            parts.append(Part(_RANGE.pack(low, high) + frame, first, len(batch)))
        return parts

    def decode(self, parts: Sequence[bytes], setting: str, n_tiles: int) -> FloatArray:
        per_tile, decoded = int(np.prod(self.shape)), []
        for number, data in enumerate(parts):
            count = min(BATCH, n_tiles - number * BATCH)
            low, high = _RANGE.unpack_from(data)
            raw = frames.decompress(data[_RANGE.size :], count * per_tile)
            q = frames.bit_unshuffle(np.frombuffer(raw, dtype=np.uint8))
            decoded.append(dequantise(q, low, high, _BITS[setting]).reshape(count, *self.shape))
        return np.concatenate(decoded)


UQE = Planewise(
    Method(
        "uqe",
        "embedding",
        "Gomes, Brunschwiler, arXiv 2403.17886, its baseline; Blosc's bit-shuffle and zstd level 3",
    ),
    lambda train: UqeCoder(train.shape[1:]),
)
