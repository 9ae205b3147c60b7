"""Product quantisation: a token in m parts, each the index of its nearest centroid.

Source: H. Jégou, M. Douze, C. Schmid, "Product quantization for nearest neighbor search" (2011). At its best: the mean of
the token's position is taken off first, and the parts are groups of principal components of about equal product of
variances (T. Ge et al., "Optimized product quantization" (2013), the parametric solution). `pq` is the plain form on
consecutive channels. Indices of one part lie side by side and go through zstd.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from codec.evaluate.rate.embedding import frames
from codec.evaluate.rate.embedding.kmeans import assign, kmeans
from codec.evaluate.rate.embedding.pca import Pca
from codec.evaluate.rate.embedding.sent import Part, Planewise
from codec.evaluate.rate.types import Method
from codec.types import BoolArray, FloatArray

PARTS = (32, 16, 8, 4, 2, 1)
MAX_CENTROIDS = 256
_VECTORS_PER_CENTROID = (
    2  # fewer training vectors give fewer centroids: a codebook of its own training means nothing
)
MAX_SAMPLES = 16_384  # training vectors of one codebook
Indices = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Codebooks:
    """m codebooks over groups of channels of the rotated token."""

    channels: tuple[npt.NDArray[np.int64], ...]  # of each part, after the rotation
    centroids: tuple[FloatArray, ...]  # of each part, K×d

    def encode(self, rotated: FloatArray) -> Indices:
        """M×C → m×M."""
        parts = zip(self.channels, self.centroids, strict=True)
        return np.stack([assign(rotated[:, c], book).astype(np.uint8) for c, book in parts])

    def decode(self, indices: Indices) -> FloatArray:
        """m×M → M×C."""
        result = np.zeros((indices.shape[1], sum(len(c) for c in self.channels)), np.float32)
        for channels, book, index in zip(self.channels, self.centroids, indices, strict=True):
            result[:, channels] = book[index]
        return result


@dataclass(frozen=True)
class PqCoder:
    """Codebooks for every number of parts."""

    carries_validity: ClassVar[bool] = False

    mean: FloatArray  # h×w×C
    basis: FloatArray  # C×C, orthonormal rows
    books: dict[str, Codebooks]
    bits: int  # of an index

    @property
    def settings(self) -> Sequence[str]:
        return tuple(self.books)

    def encode(self, values: FloatArray, validity: BoolArray, setting: str) -> list[Part]:
        rotated = ((values - self.mean) @ self.basis.T).reshape(-1, self.mean.shape[2])
        indices = self.books[setting].encode(rotated)
        return [Part(frames.compress(pack(indices.ravel(), self.bits)), 0, len(values))]

    def decode(self, parts: Sequence[bytes], setting: str, n_tiles: int) -> FloatArray:
        books, n_tokens = self.books[setting], n_tiles * self.mean.shape[0] * self.mean.shape[1]
        n = len(books.channels) * n_tokens
        data = frames.decompress(parts[0], -(-n * self.bits // 8))
        rotated = books.decode(unpack(data, n, self.bits).reshape(-1, n_tokens))
        return (rotated @ self.basis).reshape(n_tiles, *self.mean.shape) + self.mean


def pack(values: Indices, bits: int) -> bytes:
    """Numbers of `bits` bits one after another, the lowest bit first."""
    if bits == 8:
        return values.tobytes()
    return np.packbits(np.unpackbits(values[:, None], axis=1, count=bits, bitorder="little")).tobytes()


def unpack(data: bytes, n: int, bits: int) -> Indices:
    """The inverse of `pack`."""
    raw = np.frombuffer(data, dtype=np.uint8)
    if bits == 8:
        return raw
    return np.packbits(np.unpackbits(raw, count=n * bits).reshape(n, bits), axis=1, bitorder="little")[:, 0]


def balanced(variance: FloatArray, m: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Components, strongest first, each to the part of least product of variances that still has room."""
    room = [len(part) for part in np.array_split(np.arange(len(variance)), m)]
    floor = max(float(variance.max()) * 1e-9, float(np.finfo(np.float32).tiny))
    logs = np.log(np.maximum(variance, floor) / floor)
    chosen: list[list[int]] = [[] for _ in range(m)]
    load = np.zeros(m)
    for channel in np.argsort(-variance, kind="stable").tolist():
        free = [i for i in range(m) if len(chosen[i]) < room[i]]
        part = min(free, key=lambda i: (load[i], i))
        chosen[part].append(channel)
        load[part] += logs[channel]
    return tuple(np.array(sorted(c)) for c in chosen)


def fit_pq(*, optimised: bool, seed: int = 0) -> Callable[[FloatArray], PqCoder]:
    """A fit on training values N×h×w×C; `optimised` takes off the position mean and balances principal components."""

    def fit(train: FloatArray) -> PqCoder:
        channels = train.shape[3]
        mean = train.mean(axis=0 if optimised else (0, 1, 2), dtype=np.float64).astype(np.float32)
        mean = np.ascontiguousarray(np.broadcast_to(mean, train.shape[1:]))
        centred = train - mean
        pca = Pca.fit(centred)
        basis = pca.basis if optimised else np.eye(channels, dtype=np.float32)
        x = centred.reshape(-1, channels)
        x = x[:: -(-len(x) // MAX_SAMPLES)] @ basis.T
        bits = int(np.clip(np.floor(np.log2(len(x) / _VECTORS_PER_CENTROID)), 1, np.log2(MAX_CENTROIDS)))
        books = {}
        for m in PARTS:
            count = min(m, channels)  # a plane narrower than the setting has one channel a part
            parts = (
                balanced(pca.variance, count)
                if optimised
                else tuple(np.array_split(np.arange(channels), count))
            )
            rng = np.random.default_rng([seed, m])
            books[f"m={m}"] = Codebooks(parts, tuple(kmeans(x[:, c], 2**bits, rng) for c in parts))
        return PqCoder(mean, basis, books, bits)

    return fit


_SOURCE = "product quantisation (Jégou 2011), m parts of at most 256 centroids, zstd-19"
PQ = Planewise(Method("pq", "embedding", _SOURCE), fit_pq(optimised=False))
OPQ = Planewise(
    Method("opq", "embedding", f"{_SOURCE}; position mean, balanced principal components (Ge 2013)"),
    fit_pq(optimised=True),
)
