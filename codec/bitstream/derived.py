"""Which tokens of a tile are its own (bitstream §3.1): computed from the header by every decoder, never coded."""

from __future__ import annotations

import numpy as np

from codec.types import BoolArray, PlaneSpec, TileGrid


def own_axis(extent: int, core: int, n_tokens: int) -> BoolArray:
    """Own token rows (or columns) of each tile row (column): n_tiles_along × n_tokens, True = own.

    `extent` and `core` are the scene's and the core's pixels along the axis. Per tile the own tokens are one run
    of at least one. Integer arithmetic throughout: a token boundary may fall inside a pixel.
    """
    n = -(-extent // core)
    first = np.arange(n, dtype=np.int64) * core
    origin = np.maximum(0, np.minimum(first, extent - core))
    doubled = (first - origin)[:, None]  # 0 except where the tile shifted inward
    inside = min(extent, core)
    token = np.arange(n_tokens, dtype=np.int64)[None, :]
    before = (token + 1) * core <= doubled * n_tokens  # wholly in what an earlier tile owns
    beyond = token * core >= inside * n_tokens  # wholly outside a scene smaller than a tile
    own: BoolArray = ~(before | beyond)
    return own


def derived_invalid(grid: TileGrid, plane: PlaneSpec) -> BoolArray:
    """N×h×w, True where a token is not the tile's own. Allocates N·h·w bytes: judge the header's numbers before."""
    rows = own_axis(grid.height, grid.core_height, plane.rows)
    cols = own_axis(grid.width, grid.core_width, plane.cols)
    own = rows[:, None, :, None] & cols[None, :, None, :]
    return ~own.reshape(grid.n_tiles, plane.rows, plane.cols)
