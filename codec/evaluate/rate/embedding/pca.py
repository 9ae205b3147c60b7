"""PCA to the k strongest components, int8 each, raw and through zstd: the usual recipe for archives of embeddings.

Source of the recipe: C. Robinson, I. Corley, "Compressing Earth Embeddings" (2026): PCA-64 and int8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from codec.evaluate.rate.embedding import frames
from codec.evaluate.rate.embedding.per_channel import channels_first, channels_last
from codec.evaluate.rate.embedding.sent import Part, Planewise
from codec.evaluate.rate.types import Method
from codec.types import BoolArray, FloatArray

COMPONENTS = (64, 32, 16, 8, 4)
_CHUNK = 1 << 16  # tokens at a time: bounds the float64 copies


@dataclass(frozen=True)
class Pca:
    """Principal components of tokens: orthonormal rows by falling variance."""

    mean: FloatArray  # C
    basis: FloatArray  # K×C
    variance: FloatArray  # K

    @classmethod
    def fit(cls, train: FloatArray) -> Pca:
        """All components of values …×C."""
        x = train.reshape(-1, train.shape[-1])
        mean = x.mean(axis=0, dtype=np.float64)
        covariance = np.zeros((x.shape[1], x.shape[1]))
        for start in range(0, len(x), _CHUNK):
            centred = x[start : start + _CHUNK].astype(np.float64) - mean
            covariance += centred.T @ centred
        variance, vectors = np.linalg.eigh(covariance / len(x))
        basis = vectors[:, ::-1].T
        peak = np.abs(basis).argmax(axis=1)
        basis = (
            basis * np.sign(basis[np.arange(len(basis)), peak])[:, None]
        )  # an eigenvector's sign is arbitrary
        fields = mean, basis, np.maximum(variance[::-1], 0)
        return cls(*(f.astype(np.float32) for f in fields))

    def project(self, values: FloatArray, k: int) -> FloatArray:
        """…×C → …×k."""
        return np.asarray((values - self.mean) @ self.basis[:k].T, dtype=np.float32)

    def back(self, components: FloatArray) -> FloatArray:
        """…×k → …×C: the components that are left out are 0."""
        return np.asarray(components @ self.basis[: components.shape[-1]] + self.mean, dtype=np.float32)


@dataclass(frozen=True)
class PcaInt8Coder:
    """k components of a token in k bytes; each component's step spans its largest training magnitude."""

    carries_validity: ClassVar[bool] = False

    shape: tuple[int, ...]  # h×w×C
    pca: Pca
    step: FloatArray  # K
    zstd: bool

    @property
    def settings(self) -> Sequence[str]:
        return tuple(f"k={k}" for k in COMPONENTS if k <= self.shape[2]) or ("k=4",)

    def _k(self, setting: str) -> int:
        # A plane narrower than the first one keeps all its components where the setting asks for more.
        return min(int(setting.removeprefix("k=")), self.shape[2])

    def encode(self, values: FloatArray, validity: BoolArray, setting: str) -> list[Part]:
        k = self._k(setting)
        q = np.clip(np.rint(self.pca.project(values, k) / self.step[:k]), -127, 127).astype(np.int8)
        if not self.zstd:
            return [Part(tile.tobytes(), i, 1) for i, tile in enumerate(q)]
        return [Part(frames.compress(channels_first(q).tobytes()), 0, len(values))]

    def decode(self, parts: Sequence[bytes], setting: str, n_tiles: int) -> FloatArray:
        k = self._k(setting)
        shape = (n_tiles, *self.shape[:2], k)
        if self.zstd:
            data = np.frombuffer(frames.decompress(parts[0], int(np.prod(shape))), dtype=np.int8)
            q = channels_last(data, shape)
        else:
            q = np.frombuffer(b"".join(parts), dtype=np.int8).reshape(shape)
        return self.pca.back(q * self.step[:k])


def fit_pca_int8(*, zstd: bool) -> Callable[[FloatArray], PcaInt8Coder]:
    """A fit on training values N×h×w×C."""

    def fit(train: FloatArray) -> PcaInt8Coder:
        pca = Pca.fit(train)
        largest = np.abs(pca.project(train, train.shape[3])).max(axis=(0, 1, 2))
        step = np.maximum(largest / 127, np.finfo(np.float32).tiny).astype(np.float32)
        return PcaInt8Coder(train.shape[1:], pca, step, zstd)

    return fit


_SOURCE = "PCA-k and int8 (Robinson and Corley 2026)"
PCA_INT8 = Planewise(Method("pca int8", "embedding", _SOURCE), fit_pca_int8(zstd=False))
PCA_INT8_ZSTD = Planewise(
    Method("pca int8 zstd", "embedding", f"{_SOURCE}, zstd-19"), fit_pca_int8(zstd=True)
)
