"""Table files that tests of the quantising kernels share."""

from __future__ import annotations

import numpy as np

from codec.transform.layout import band_of_frequency
from codec.transform.tables import Level, PlaneMaps, Tables
from codec.types import PlaneKind

# None; with a dead zone; with escapes soon; with low bits.
LEVELS_OF_ALL = (
    Level((), 1.0, 0.0),
    Level((60000, 65000), 0.9, 0.0, 0.5),
    Level((20000, 40000, 50000, 60000), 1.0, 0.0, 0.25),
    Level(tuple(range(2048, 2048 * 31, 2048)), 1.0, 0.0, 0.0, 3),
)


def list_tables(rows: int, cols: int, channels: int, seed: int = 0) -> Tables:
    """Of a plane whose tokens are a list: three layers of channels; tables with low bits, escapes, dead zones, and none."""
    rng = np.random.default_rng(seed)
    n_bands = min(2, rows * cols)
    layer = np.tile(rng.integers(0, 3, channels, dtype=np.uint8), (n_bands, 1))
    layer[:, rng.integers(0, channels)] = 255  # never sent
    layer[:, :3] = [0, 1, 2]
    classes = np.tile(rng.integers(2, 9, channels, dtype=np.uint8), (n_bands, 1))
    bands = (np.arange(rows * cols) > 0).astype(np.uint8)
    plane = PlaneMaps(rows, cols, channels, PlaneKind.FLOAT, (-1, 0, 0), bands, layer, classes)
    ladder = (0.01 * 2 ** (np.arange(8) / 4)).astype(np.float32)
    return Tables(ladder, LEVELS_OF_ALL, (plane,))


def picture_tables(rows: int, cols: int, channels: int) -> Tables:
    """Four layers over bands and channels, coefficients that are never sent, tables with low bits, escapes and none."""
    rng = np.random.default_rng(channels)
    bands = band_of_frequency("diagonal", rows, cols)
    shape = (int(bands.max()) + 1, channels)
    layer = rng.integers(1, 4, shape, dtype=np.uint8)
    layer[0] = 0
    layer[rng.random(shape) < 0.1] = 255
    layer[0, 0] = 0
    classes = rng.integers(2, 9, shape, dtype=np.uint8)
    plane = PlaneMaps(rows, cols, channels, PlaneKind.FLOAT, (-2, 0, 0, 0), bands, layer, classes)
    return Tables((0.05 * 2 ** (np.arange(10) / 4)).astype(np.float32), LEVELS_OF_ALL, (plane,))
