"""What leaving tokens out saves in a tile, and what saying so costs: by integer cost tables, as all that is decided here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from codec.bitstream.masks import plane_masks
from codec.pipeline.quantising import Quantiser
from codec.pipeline.sources import sources
from codec.types import BoolArray, Latent, TileGrid

if TYPE_CHECKING:
    from codec.package import Package

_BIT = 256  # units of a cost (bitstream §10.2)


def saving(
    package: Package, before: Sequence[Latent], after: Sequence[Latent], grid: TileGrid, ladder_index: int
) -> BoolArray:
    """N tiles whose symbols and token masks take fewer bits with the validity of `after` than with that of `before`.

    At one quality, all planes and layers together, without the scene's mean vector. Tiles with nothing left always save.
    """
    return _bits(package, after, grid, ladder_index) < _bits(package, before, grid, ladder_index)


def _bits(
    package: Package, latents: Sequence[Latent], grid: TileGrid, ladder_index: int
) -> npt.NDArray[np.int64]:
    total = np.zeros(grid.n_tiles, np.int64)
    for source in sources(package, latents, grid):
        spec = package.planes[source.number].spec
        total += plane_masks(grid, spec, source.validity).token_bits * _BIT
        for costs in Quantiser(package, source, ladder_index).costs(range(spec.n_layers)):
            total += costs.astype(np.int64)
    return total
