"""How much room the masks of a record take (bitstream §5.1). Writing and reading them is the core's work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.bitstream.derived import derived_invalid
from codec.errors import InputError
from codec.types import BoolArray, PlaneSpec, TileGrid


@dataclass(frozen=True, slots=True)
class PlaneMasks:
    """The masks of one plane of N tiles, as the records carry them."""

    derived: BoolArray  # N×h×w, True: not the tile's own, never coded
    token_mask: BoolArray  # N×h×w, True: invalid, for whichever reason
    tile_mask: BoolArray  # N, True: none of the tile's own tokens is valid
    token_bits: npt.NDArray[np.int64]  # N, bits of the tile in a token mask; 0 in masked tiles
    partial: BoolArray  # N, True: partly masked


def plane_masks(grid: TileGrid, plane: PlaneSpec, validity: BoolArray) -> PlaneMasks:
    """Masks of a plane from its token validity, N×h×w, True = valid. What lies outside a tile's own tokens is ignored."""
    shape = (grid.n_tiles, plane.rows, plane.cols)
    if validity.shape != shape:
        raise InputError("the token validity does not fit the header", expected=shape, found=validity.shape)
    derived = derived_invalid(grid, plane)
    own = ~derived
    masked = ~np.asarray(validity, dtype=bool) & own
    n_masked = masked.sum(axis=(1, 2))
    tile_mask = n_masked == own.sum(axis=(1, 2))
    partial = (n_masked > 0) & ~tile_mask
    token_bits = np.where(tile_mask, 0, 1).astype(np.int64)
    token_bits[partial] += _row_bits(masked[partial], own[partial])
    return PlaneMasks(derived, masked | derived, tile_mask, token_bits, partial)


def _row_bits(masked: BoolArray, own: BoolArray) -> npt.NDArray[np.int64]:
    """Bits that the rows of partly masked tiles take: a repeat bit per own row, and the row where it is new."""
    before = np.zeros_like(masked)
    # Rows that are not own hold no masked own token: the row before the first own one is one of only valid tokens.
    before[:, 1:] = masked[:, :-1]
    own_rows = own.any(axis=2)
    new = (masked != before).any(axis=2) & own_rows
    n_rows = own_rows.sum(axis=1)
    n_cols = own.any(axis=1).sum(axis=1)
    bits: npt.NDArray[np.int64] = (n_rows + new.sum(axis=1) * n_cols).astype(np.int64)
    return bits
