"""AlphaEarth-style companding: unit vectors of 64 dimensions, one companded int8 each.

Published for AlphaEarth Foundations (arXiv 2507.22291; Google's "AlphaEarth Foundations GCS data"): a stored integer q
stands for sign(q) · (|q| / 127.5)², vectors have length 1, −128 marks a masked pixel. Our encoders' tokens are neither
64-dimensional nor of length 1: PCA makes them the former; their length is lost, as in AlphaEarth, and the decoder takes
the training mean of it, or is sent as one float16 a token where the setting says `norm`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from codec.evaluate.rate.embedding import frames
from codec.evaluate.rate.embedding.pca import Pca
from codec.evaluate.rate.embedding.per_channel import channels_first, channels_last
from codec.evaluate.rate.embedding.sent import Part, Planewise
from codec.evaluate.rate.types import Method
from codec.types import BoolArray, FloatArray

Int8Array = npt.NDArray[np.int8]
SCALE, NODATA = 127.5, -128
_SETTINGS = {"64 norm": (64, True), "64": (64, False), "32": (32, False), "16": (16, False), "8": (8, False)}


def compress(unit: FloatArray) -> Int8Array:
    """Numbers −1 … 1 → −127 … 127, nearest after the square root; never the nodata value."""
    q = np.rint(np.sign(unit) * np.sqrt(np.abs(unit)) * np.float32(SCALE))
    return np.clip(q, -127, 127).astype(np.int8)


def expand(q: Int8Array) -> FloatArray:
    """sign(q) · (|q| / 127.5)²; the caller masks −128, which is no number."""
    x = q.astype(np.float32) / np.float32(SCALE)
    return np.asarray(np.sign(x) * np.square(x), dtype=np.float32)


@dataclass(frozen=True)
class CompandingCoder:
    """k components of a token, scaled to length 1; invalid tokens are −128 in all of them."""

    carries_validity: ClassVar[bool] = True

    shape: tuple[int, ...]  # h×w×C
    pca: Pca
    norm: FloatArray  # K, mean length of the first 1 … K components

    @classmethod
    def fit(cls, train: FloatArray) -> CompandingCoder:
        """From training values N×h×w×C."""
        pca = Pca.fit(train)
        power = np.cumsum(np.square(pca.project(train, train.shape[3]).reshape(-1, train.shape[3])), axis=1)
        return cls(train.shape[1:], pca, np.sqrt(power).mean(axis=0, dtype=np.float64).astype(np.float32))

    @property
    def settings(self) -> Sequence[str]:
        return tuple(_SETTINGS)

    def _k(self, setting: str) -> int:
        return min(_SETTINGS[setting][0], self.shape[2])

    def encode(self, values: FloatArray, validity: BoolArray, setting: str) -> list[Part]:
        z = self.pca.project(values, self._k(setting))
        length = np.sqrt(np.square(z).sum(axis=3, keepdims=True))
        q = compress(z / np.maximum(length, np.finfo(np.float32).tiny))
        q[~validity] = NODATA
        parts = [Part(frames.compress(channels_first(q).tobytes()), 0, len(values))]
        if _SETTINGS[setting][1]:
            raw = length[..., 0].astype("<f2").tobytes()
            parts.append(Part(frames.compress(frames.byte_shuffle(raw, 2)), 0, len(values)))
        return parts

    def decode(self, parts: Sequence[bytes], setting: str, n_tiles: int) -> FloatArray:
        k = self._k(setting)
        shape = (n_tiles, *self.shape[:2], k)
        data = np.frombuffer(frames.decompress(parts[0], int(np.prod(shape))), dtype=np.int8)
        q = channels_last(data, shape)
        length: FloatArray | np.float32 = self.norm[k - 1]
        if _SETTINGS[setting][1]:
            raw = frames.byte_unshuffle(frames.decompress(parts[1], 2 * int(np.prod(shape[:3]))), 2)
            length = np.frombuffer(raw, dtype="<f2").reshape(*shape[:3], 1).astype(np.float32)
        values = self.pca.back(expand(q) * length)
        values[q[..., 0] == NODATA] = 0
        return values


ALPHAEARTH = Planewise(
    Method(
        "alphaearth-style", "embedding", "AlphaEarth Foundations int8 (arXiv 2507.22291), PCA to 64; zstd-19"
    ),
    CompandingCoder.fit,
)
