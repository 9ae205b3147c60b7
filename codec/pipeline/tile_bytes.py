"""Payload bits of every tile, estimated from the integer cost tables: where in a scene the bytes went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.bitstream import core
from codec.bitstream.header import FileHeader
from codec.package import Package
from codec.pipeline.received import decoded_symbols
from codec.types import BoolArray

_COSTS_PER_BYTE = 8 * 256  # bitstream §10.2: costs are 1/256 bit


@dataclass(frozen=True)
class TileBytes:
    """One plane."""

    layers: npt.NDArray[
        np.float64
    ]  # N×n_layers bytes; NaN where the layer did not arrive or the tile has no data
    has_data: BoolArray  # N: layer 0 arrived, and some token is valid

    @property
    def total(self) -> npt.NDArray[np.float64]:
        """N bytes of the layers that arrived; NaN where the tile has no data."""
        return np.where(self.has_data, np.nansum(self.layers, axis=1), np.nan)


def bytes_per_tile(package: Package, header: FileHeader, records: Sequence[bytes]) -> dict[str, TileBytes]:
    """What the symbols of every tile cost in their tables (bitstream §10.2), by plane name.

    An estimate, scaled to nothing: masks, coder states, record headers and checksums belong to no one tile and are not in
    it, so the sum is less than the file. Raises IdentityError for another package, TryAgain while the file's own tables
    have not all arrived.
    """
    tables, _, planes = decoded_symbols(package, header, records)
    found: dict[str, TileBytes] = {}
    names = [entry.name for entry in (*package.planes, *package.refining)]
    for entry, plane in zip((*package.planes, *package.refining), planes, strict=True):
        n_layers = entry.spec.n_layers
        layers = np.full((header.n_tiles, n_layers), np.nan)
        for layer in range(n_layers):
            arrived = (plane.layers >> layer & 1).astype(bool)
            for offset in np.unique(plane.ladder_offset[arrived, layer]).tolist():
                at = np.flatnonzero(arrived & (plane.ladder_offset[:, layer] == offset))
                values = np.ascontiguousarray(plane.values[at])
                costs = core.tile_costs(tables, plane.plane, layer, header.ladder_index + offset, values)
                layers[at, layer] = costs / _COSTS_PER_BYTE
        if entry.refines is not None:  # what is valid is the refined plane's to say (bitstream §8.4)
            has_data = found[names[entry.refines]].has_data
        else:
            has_data = (plane.layers & 1).astype(bool) & plane.token_validity.any(axis=(1, 2))
        layers[~has_data] = np.nan
        found[entry.name] = TileBytes(layers, has_data)
    return found
