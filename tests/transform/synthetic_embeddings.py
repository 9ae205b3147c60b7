"""Embeddings as an encoder gives them, in small: smooth fields over tokens, few directions over channels, a position
pattern, and a spectral plane that shares their cause."""

from __future__ import annotations

import numpy as np

CORRELATION = 0.9  # between neighbouring tokens


def ar1_fields(rng: np.random.Generator, n: int, rows: int, cols: int) -> np.ndarray:
    """n unit-variance Gaussian fields, separable first-order autoregressive, n×rows×cols."""

    def root(size: int) -> np.ndarray:
        distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
        return np.linalg.cholesky(CORRELATION**distance)

    return root(rows) @ rng.standard_normal((n, rows, cols)) @ root(cols).T


def embeddings(
    n_tiles: int = 600, rows: int = 8, cols: int = 8, channels: int = 24, seed: int = 1
) -> np.ndarray:
    """N×h×w×C float32. Direction k of the channels has deviation 0.8^k; positions carry an offset of their own."""
    rng = np.random.default_rng(7)  # the "encoder" is the same for every scene
    mixing = np.linalg.qr(rng.standard_normal((channels, channels)))[0]
    position = rng.standard_normal((rows, cols, channels))
    rng = np.random.default_rng(seed)
    scale = 0.8 ** np.arange(channels)
    fields = ar1_fields(rng, n_tiles * channels, rows, cols).reshape(n_tiles, channels, rows, cols)
    fields = fields * scale[:, None, None] + 0.02 * rng.standard_normal(fields.shape)
    return (np.moveaxis(fields, 1, 3) @ mixing + position).astype(np.float32)


def spectral(
    n_tiles: int = 600, rows: int = 8, cols: int = 8, channels: int = 4, seed: int = 1
) -> np.ndarray:
    """N×h×w×C float32, strongly correlated over channels, no position pattern."""
    rng = np.random.default_rng(seed + 1000)
    brightness = ar1_fields(rng, n_tiles, rows, cols)[..., None]
    own = np.moveaxis(
        ar1_fields(rng, n_tiles * channels, rows, cols).reshape(n_tiles, channels, rows, cols), 1, 3
    )
    return (0.5 + brightness + 0.2 * own).astype(np.float32)
