"""Methods that send one vector a tile, the mean of its measured tokens, by any of the other methods.

Every token of the answer is that vector: such a method is for tasks on whole tiles, and tasks on tokens see no more than
its mean. No token mask is sent, as nothing is said of single tokens. (Our own way to send a mean alone, `base mean`, is
layer 0 of a file and knows the mean of every position besides.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from codec.evaluate.rate.embedding.companding import CompandingCoder
from codec.evaluate.rate.embedding.floats import RAW, FloatCoder
from codec.evaluate.rate.embedding.pca import fit_pca_int8
from codec.evaluate.rate.embedding.per_channel import PerChannelCoder
from codec.evaluate.rate.embedding.pq import fit_pq
from codec.evaluate.rate.embedding.sent import Part, PlaneCoder, Planewise
from codec.evaluate.rate.types import Method
from codec.types import BoolArray, FloatArray


@dataclass(frozen=True)
class PooledCoder:
    """A coder of N×1×1×C under a plane of N×h×w×C."""

    carries_validity: ClassVar[bool] = True

    rows: int
    cols: int
    inner: PlaneCoder

    @property
    def settings(self) -> Sequence[str]:
        return self.inner.settings

    def encode(self, values: FloatArray, validity: BoolArray, setting: str) -> list[Part]:
        means = pool(values, validity)
        return self.inner.encode(means, np.ones(means.shape[:3], dtype=bool), setting)

    def decode(self, parts: Sequence[bytes], setting: str, n_tiles: int) -> FloatArray:
        means = self.inner.decode(parts, setting, n_tiles)
        return np.ascontiguousarray(
            np.broadcast_to(means, (n_tiles, self.rows, self.cols, means.shape[3])), dtype=np.float32
        )


def pool(values: FloatArray, validity: BoolArray) -> FloatArray:
    """Mean of the valid tokens, N×1×1×C; of all tokens where none is valid."""
    weight = np.where(validity.any(axis=(1, 2), keepdims=True), validity, True)[..., None].astype(np.float32)
    total = (values * weight).sum(axis=(1, 2), keepdims=True, dtype=np.float64)
    return np.asarray(total / weight.sum(axis=(1, 2), keepdims=True), dtype=np.float32)


def pooled(fit_plane: Callable[[FloatArray], PlaneCoder]) -> Callable[[FloatArray], PooledCoder]:
    """The fit of a method on the means of training tiles."""

    def fit(train: FloatArray) -> PooledCoder:
        means = pool(train, np.ones(train.shape[:3], dtype=bool))
        return PooledCoder(train.shape[1], train.shape[2], fit_plane(means))

    return fit


def _float16(means: FloatArray) -> FloatCoder:
    return FloatCoder(means.shape[1:], "<f2", (RAW,))


def _int8(means: FloatArray) -> PerChannelCoder:
    return PerChannelCoder.fit(means)


def _method(name: str, source: str, fit_plane: Callable[[FloatArray], PlaneCoder]) -> Planewise:
    return Planewise(Method(f"mean {name}", "embedding", f"mean token alone; {source}"), pooled(fit_plane))


MEAN_FLOAT16 = _method("float16", "IEEE 754 binary16", _float16)
MEAN_INT = _method("int", "affine int8, int4 and sign bits per channel; zstd-19 over all tiles", _int8)
MEAN_PCA = _method("pca int8", "PCA-k and int8 (Robinson and Corley 2026), zstd-19", fit_pca_int8(zstd=True))
MEAN_ALPHAEARTH = _method("alphaearth-style", "arXiv 2507.22291; zstd-19", CompandingCoder.fit)
MEAN_OPQ = _method("opq", "product quantisation (Jégou 2011, Ge 2013), zstd-19", fit_pq(optimised=True))
