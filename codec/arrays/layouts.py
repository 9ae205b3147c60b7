"""How the tokens of tiles become the axes of an array: a map of the scene, or a plain list of tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from codec.arrays.tiles import IntArray
from codec.scene.tiling import owners
from codec.types import PlaneSpec, TileGrid

BLOCK_BYTES = 1 << 28  # of decoded values at a time, while a larger selection is put together

Array = npt.NDArray[np.generic]


class ReadTiles(Protocol):
    """Tile numbers, ascending → n×h×w or n×h×w×C."""

    def __call__(self, tiles: IntArray) -> Array: ...


@dataclass(frozen=True)
class MapLayout:
    """One cell per patch; each takes the token of the tile that owns its centre pixel, as `codec.scene.tiling.mosaic`."""

    tile_rows: IntArray  # per row of cells: row of tiles, and the token row inside its tile
    token_rows: IntArray
    tile_cols: IntArray
    token_cols: IntArray
    n_tile_cols: int
    rows_per_tile: int
    cols_per_tile: int

    @staticmethod
    def of(grid: TileGrid, plane: PlaneSpec) -> MapLayout | None:
        """None where the plane's tokens are no whole patches of pixels."""
        if grid.core_height % plane.rows or grid.core_width % plane.cols:
            return None
        rows = owners(grid.height, grid.core_height, grid.core_height // plane.rows)
        cols = owners(grid.width, grid.core_width, grid.core_width // plane.cols)
        return MapLayout(*rows, *cols, grid.n_cols, plane.rows, plane.cols)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of cells."""
        return len(self.tile_rows), len(self.tile_cols)

    def natural_chunks(self, bytes_per_token: int, target_bytes: int) -> tuple[int, int]:
        """Cells of whole tiles, if possible whole rows of them (as records lie), of about `target_bytes`."""
        tile = bytes_per_token * self.rows_per_tile * self.cols_per_tile
        across = min(self.n_tile_cols, max(1, target_bytes // tile))
        down = max(1, target_bytes // (tile * across)) if across == self.n_tile_cols else 1
        return (
            min(self.shape[0], down * self.rows_per_tile),
            min(self.shape[1], across * self.cols_per_tile),
        )

    def read(self, key: tuple[IntArray, ...], read_tiles: ReadTiles, bytes_per_token: int) -> Array:
        """Cells (rows key[0] × columns key[1]) [× C], decoding no other tiles than those they lie in."""
        rows, cols = key
        need_rows, in_rows = np.unique(self.tile_rows[rows], return_inverse=True)
        need_cols, in_cols = np.unique(self.tile_cols[cols], return_inverse=True)
        row_bytes = bytes_per_token * self.rows_per_tile * self.cols_per_tile * max(1, len(need_cols))
        block = max(1, BLOCK_BYTES // row_bytes)
        out: Array | None = None
        for first in range(0, max(1, len(need_rows)), block):
            part = need_rows[first : first + block]
            tokens = read_tiles((part[:, None] * self.n_tile_cols + need_cols).ravel())
            tokens = tokens.reshape(len(part), len(need_cols), *tokens.shape[1:])
            here = np.flatnonzero((in_rows >= first) & (in_rows < first + block))
            cells = tokens[
                (in_rows[here] - first)[:, None],
                in_cols[None, :],
                self.token_rows[rows[here]][:, None],
                self.token_cols[cols][None, :],
            ]
            if out is None:
                out = np.empty((len(rows), *cells.shape[1:]), dtype=cells.dtype)
            out[here] = cells
        assert out is not None
        return out


@dataclass(frozen=True)
class ListLayout:
    """Tiles in their order with the tokens of each; the tokens' axes fall away where a tile is one token."""

    n_tiles: int
    plane: PlaneSpec

    @property
    def shape(self) -> tuple[int, ...]:
        """Tiles, then token rows and columns unless there is one token."""
        tokens = (self.plane.rows, self.plane.cols) if self.plane.n_frequencies > 1 else ()
        return (self.n_tiles, *tokens)

    def natural_chunks(self, bytes_per_token: int, target_bytes: int) -> tuple[int, ...]:
        """Whole tiles of about `target_bytes`."""
        tiles = max(1, target_bytes // (bytes_per_token * self.plane.n_frequencies))
        return (min(self.n_tiles, tiles), *self.shape[1:])

    def read(self, key: tuple[IntArray, ...], read_tiles: ReadTiles, bytes_per_token: int) -> Array:
        """Tokens of the tiles key[0] (rows key[1], columns key[2]) [× C]."""
        need, back = np.unique(key[0], return_inverse=True)
        rows, cols = key[1:] if len(key) > 1 else (np.zeros(1, np.int64), np.zeros(1, np.int64))
        block = max(1, BLOCK_BYTES // (bytes_per_token * self.plane.n_frequencies))
        parts = [
            read_tiles(need[first : first + block])[:, rows[:, None], cols[None, :]]
            for first in range(0, max(1, len(need)), block)
        ]
        tokens = np.concatenate(parts)[back]
        return tokens if len(key) > 1 else tokens[:, 0, 0]


@dataclass(frozen=True)
class VectorLayout:
    """Vectors in their order; the tokens of tile after tile hold them (bitstream §9.2)."""

    n_vectors: int
    plane: PlaneSpec

    @property
    def shape(self) -> tuple[int, ...]:
        """Vectors."""
        return (self.n_vectors,)

    def natural_chunks(self, bytes_per_token: int, target_bytes: int) -> tuple[int, ...]:
        """Vectors of whole tiles of about `target_bytes`."""
        per_tile = self.plane.n_frequencies
        return (min(self.n_vectors, per_tile * max(1, target_bytes // (bytes_per_token * per_tile))),)

    def read(self, key: tuple[IntArray, ...], read_tiles: ReadTiles, bytes_per_token: int) -> Array:
        """Vectors key[0] [× C]."""
        tile, token = np.divmod(key[0], self.plane.n_frequencies)
        need, back = np.unique(tile, return_inverse=True)
        block = max(1, BLOCK_BYTES // (bytes_per_token * self.plane.n_frequencies))
        out: Array | None = None
        for first in range(0, max(1, len(need)), block):
            tokens = read_tiles(need[first : first + block])
            tokens = tokens.reshape(len(tokens), self.plane.n_frequencies, *tokens.shape[3:])
            here = np.flatnonzero((back >= first) & (back < first + block))
            vectors = tokens[back[here] - first, token[here]]
            if out is None:
                out = np.empty((len(tile), *vectors.shape[1:]), dtype=vectors.dtype)
            out[here] = vectors
        assert out is not None
        return out


Layout = MapLayout | ListLayout | VectorLayout
