"""Which tokens of a tile are its own (bitstream §3.1): computed from the header by every decoder, never coded."""

from __future__ import annotations

import numpy as np

from codec.types import BoolArray, PlaneSpec, TileGrid


def own_tokens(extent: int, core: int, n_tokens: int, tile: int) -> BoolArray:
    """Own token rows (or columns) of the `tile`-th tile row (column): n_tokens, True = own; one run of at least one.

    `extent` and `core` are the scene's and the core's pixels along the axis. Integer arithmetic throughout: a token
    boundary may fall inside a pixel.
    """
    first = tile * core
    origin = max(0, min(first, extent - core))
    doubled = first - origin  # 0 except where the tile shifted inward
    inside = min(extent, core)
    token = np.arange(n_tokens, dtype=np.int64)
    before = (token + 1) * core <= doubled * n_tokens  # wholly in what an earlier tile owns
    beyond = token * core >= inside * n_tokens  # wholly outside a scene smaller than a tile
    own: BoolArray = ~(before | beyond)
    return own


def own_axis(extent: int, core: int, n_tokens: int) -> BoolArray:
    """`own_tokens` of every tile along the axis: n × n_tokens. All but the last tile are alike."""
    n = -(-extent // core)
    own = np.repeat(own_tokens(extent, core, n_tokens, 0)[None], n, axis=0)
    own[-1] = own_tokens(extent, core, n_tokens, n - 1)
    return own


def derived_invalid(grid: TileGrid, plane: PlaneSpec) -> BoolArray:
    """N×h×w, True where a token is not the tile's own. Allocates N·h·w bytes: judge the header's numbers before."""
    rows = own_axis(grid.height, grid.core_height, plane.rows)
    cols = own_axis(grid.width, grid.core_width, plane.cols)
    own = rows[:, None, :, None] & cols[None, :, None, :]
    return np.logical_not(own, out=own).reshape(grid.n_tiles, plane.rows, plane.cols)
