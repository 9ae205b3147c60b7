"""Floats as they are: float32 and float16, raw and through zstd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from codec.evaluate.rate.embedding import frames
from codec.evaluate.rate.embedding.sent import Part, Planewise
from codec.evaluate.rate.types import Method
from codec.types import BoolArray, FloatArray

# Float mantissas are noise: zstd finds no more in them at 12 than at 3, which takes a tenth of the time.
_LEVEL = 3
RAW, ZSTD = "raw", "zstd"


@dataclass(frozen=True)
class FloatCoder:
    """Little-endian floats of 4 or 2 bytes; `zstd` is one frame over all tiles, bytes of equal place side by side."""

    carries_validity: ClassVar[bool] = False

    shape: tuple[int, ...]  # h×w×C
    dtype: str  # "<f4" or "<f2"
    settings: tuple[str, ...] = (RAW, ZSTD)

    def encode(self, values: FloatArray, validity: BoolArray, setting: str) -> list[Part]:
        with np.errstate(over="ignore"):
            # Beyond the range of half precision the largest half is nearest; infinity would be no embedding.
            limit = np.finfo(self.dtype).max
            data = np.clip(values, -limit, limit).astype(self.dtype)
        if setting == RAW:
            return [Part(tile.tobytes(), i, 1) for i, tile in enumerate(data)]
        shuffled = frames.byte_shuffle(data.tobytes(), data.dtype.itemsize)
        return [Part(frames.compress(shuffled, _LEVEL), 0, len(values))]

    def decode(self, parts: Sequence[bytes], setting: str, n_tiles: int) -> FloatArray:
        dtype, shape = np.dtype(self.dtype), (n_tiles, *self.shape)
        if setting == RAW:
            data = b"".join(parts)
        else:
            size = int(np.prod(shape)) * dtype.itemsize
            data = frames.byte_unshuffle(frames.decompress(parts[0], size), dtype.itemsize)
        return np.frombuffer(data, dtype=dtype).reshape(shape).astype(np.float32)


def fit_float(dtype: str, settings: tuple[str, ...] = (RAW, ZSTD)) -> Callable[[FloatArray], FloatCoder]:
    """A fit that only notes the shape."""

    def fit(train: FloatArray) -> FloatCoder:
        return FloatCoder(train.shape[1:], dtype, settings)

    return fit


FLOAT32 = Planewise(
    Method("float32", "embedding", "IEEE 754 binary32; zstd-3 with byte-shuffle"), fit_float("<f4")
)
FLOAT16 = Planewise(
    Method("float16", "embedding", "IEEE 754 binary16; zstd-3 with byte-shuffle"), fit_float("<f2")
)
