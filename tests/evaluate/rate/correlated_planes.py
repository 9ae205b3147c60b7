"""Synthetic embeddings with what real ones have: a position pattern, few strong directions, smooth token grids, noise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codec.evaluate.rate.types import Planes

WIDTHS = {"tokens": 12, "spectral": 4}


def planes(n: int, seed: int, *, widths: Mapping[str, int] = WIDTHS, side: int = 8) -> Planes:
    """`n` tiles of side×side tokens; another seed gives other tiles of the same distribution."""
    values = {
        name: _plane(n, seed, side, width, number) for number, (name, width) in enumerate(widths.items())
    }
    return Planes(values, np.ones((n, side, side), dtype=bool))


def _plane(n: int, seed: int, side: int, width: int, number: int) -> np.ndarray:
    world = np.random.default_rng([7, number])  # the same for all tiles
    rng = np.random.default_rng([11, number, seed])
    directions, _ = np.linalg.qr(world.standard_normal((width, width)))
    scale = 2.0 ** (-0.25 * np.arange(width))
    position = 0.5 * world.standard_normal((side, side, width))
    coarse = rng.standard_normal((n, 3, 3, width))
    grid = np.linspace(0, 2, side)
    weights = np.maximum(1 - np.abs(grid[:, None] - np.arange(3)), 0)  # bilinear
    smooth = np.einsum("ya,xb,nabc->nyxc", weights, weights, coarse)
    smooth += 0.3 * rng.standard_normal((n, side, side, width))
    return ((smooth * scale) @ directions.T + position).astype(np.float32)
