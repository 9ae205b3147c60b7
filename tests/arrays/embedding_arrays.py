"""Arrays like those people have, small."""

from __future__ import annotations

import numpy as np


def vectors(n: int, channels: int = 24, *, seed: int = 0) -> np.ndarray:
    """Correlated float32 vectors with a mean, decaying spectrum."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(channels, channels)) / np.arange(1, channels + 1)[:, None]
    return (rng.normal(size=(n, channels)) @ mixing + 2).astype(np.float32)


def field(rows: int, cols: int, channels: int, *, seed: int = 0, sigma: float = 3.0) -> np.ndarray:
    """Smooth correlated float32 raster rows×cols×channels, unit deviation."""
    rng = np.random.default_rng(seed)
    u, v = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(cols)[None]
    low = np.exp(-2 * (np.pi * sigma) ** 2 * (u**2 + v**2))
    fields = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(6, rows, cols))) * low, s=(rows, cols))
    mixed = np.tensordot(
        fields / fields.std(), np.random.default_rng(98).normal(size=(6, channels)), axes=(0, 0)
    )
    mixed += 0.05 * rng.normal(size=mixed.shape)
    return (mixed / mixed.std()).astype(np.float32)


def integers(rows: int, cols: int, channels: int, *, seed: int = 0) -> np.ndarray:
    """The same as int8, −127 … 127."""
    return np.clip(np.rint(30 * field(rows, cols, channels, seed=seed)), -127, 127).astype(np.int8)
