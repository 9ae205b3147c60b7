"""k-means by Lloyd's algorithm with k-means++ seeding, in numpy: codebooks of the product quantiser.

Sources: S. Lloyd, "Least squares quantization in PCM" (1982); D. Arthur, S. Vassilvitskii, "k-means++" (2007), with the
usual choice of the best of a few candidates at each step.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codec.types import FloatArray

_CHUNK = 1024  # vectors at a time: their distances to 256 centroids stay in the second-level cache
_ITERATIONS = 25
_TOLERANCE = 1e-3  # relative fall of the error at which iterations end


def assign(vectors: FloatArray, centroids: FloatArray) -> npt.NDArray[np.int64]:
    """Index of the nearest centroid (the lowest among equals): M×d, K×d → M."""
    # |x − c|² less |x|², which is the same for all centroids: one matrix product with a column of ones.
    table = np.concatenate([-2 * centroids.T, np.square(centroids).sum(axis=1)[None]]).astype(np.float32)
    result = np.empty(len(vectors), dtype=np.int64)
    ones = np.ones((min(_CHUNK, len(vectors)), 1), np.float32)
    for start in range(0, len(vectors), _CHUNK):
        part = vectors[start : start + _CHUNK]
        result[start : start + _CHUNK] = (np.hstack([part, ones[: len(part)]]) @ table).argmin(axis=1)
    return result


def kmeans(vectors: FloatArray, k: int, rng: np.random.Generator) -> FloatArray:
    """K×d centroids of M×d vectors; fewer distinct vectors than `k` give repeated centroids."""
    x = np.ascontiguousarray(vectors, dtype=np.float32)
    centroids = _seed(x, k, rng)
    before = np.inf
    for _ in range(_ITERATIONS):
        nearest = assign(x, centroids)
        counts = np.bincount(nearest, minlength=k)
        sums = np.stack([np.bincount(nearest, weights=column, minlength=k) for column in x.T], axis=1)
        errors = np.square(x - centroids[nearest]).sum(axis=1)
        filled = counts > 0
        centroids[filled] = sums[filled] / counts[filled, None]
        # An empty cluster takes the vector that is worst served.
        empty = np.flatnonzero(~filled)
        centroids[empty] = x[np.argsort(-errors, kind="stable")[: len(empty)]][: len(empty)]
        error = float(errors.sum(dtype=np.float64))
        if before - error <= _TOLERANCE * error:
            break
        before = error
    return centroids


def _seed(x: FloatArray, k: int, rng: np.random.Generator) -> FloatArray:
    """k-means++: each new centroid is drawn by squared distance, the best of 2 + log k candidates."""
    n_candidates = 2 + int(np.log(k))
    norm = np.square(x).sum(axis=1)
    centroids = np.empty((k, x.shape[1]), np.float32)
    centroids[0] = x[rng.integers(len(x))]
    distance = np.square(x - centroids[0]).sum(axis=1)
    for i in range(1, k):
        cumulative = np.cumsum(distance, dtype=np.float64)
        if not cumulative[-1] > 0:
            centroids[i:] = centroids[0]
            break
        drawn = np.searchsorted(cumulative, rng.random(n_candidates) * cumulative[-1])
        candidates = x[np.minimum(drawn, len(x) - 1)]
        found = np.maximum(norm[:, None] - 2 * (x @ candidates.T) + np.square(candidates).sum(axis=1), 0)
        found = np.minimum(found, distance[:, None])
        best = int(found.sum(axis=0).argmin())
        centroids[i], distance = candidates[best], found[:, best]
    return centroids
