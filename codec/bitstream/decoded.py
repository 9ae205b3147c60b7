"""What a set of coefficient records says: symbols, masks, and what is missing, contested or damaged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from codec.types import BoolArray, RecordHeader, SymbolArray, TileRange


@dataclass(frozen=True, slots=True)
class PlaneSymbols:
    """One plane as decoded. Tiles without layer 0 are invalid everywhere, their other layers are kept in `values`."""

    plane: int
    values: SymbolArray  # N×C×F; 0 where nothing arrived
    token_validity: BoolArray  # N×h×w, True = valid: layer 0 arrived, and neither masked nor derived-invalid
    layers: npt.NDArray[np.uint16]  # N, bit l = layer l arrived
    ladder_offset: npt.NDArray[np.int8]  # N×n_layers, what the record added to the file's ladder index

    def only(self, tiles: slice | npt.NDArray[np.integer]) -> PlaneSymbols:
        """Some of the tiles."""
        return PlaneSymbols(
            self.plane,
            self.values[tiles],
            self.token_validity[tiles],
            self.layers[tiles],
            self.ladder_offset[tiles],
        )


@dataclass(frozen=True, slots=True)
class Damage:
    """A record that was given and could not be used."""

    index: int = field(compare=False)  # first place in the sequence that was given
    header: RecordHeader
    kind: str  # of codec.errors
    what: str


@dataclass(frozen=True, slots=True)
class DecodedSymbols:
    """All that a set of coefficient records says. Depends on the set only, not on order or copies."""

    planes: tuple[PlaneSymbols, ...]
    missing: tuple[TileRange, ...]  # by plane, layer, tile
    conflicts: tuple[TileRange, ...]  # tiles for which intact records differ; the smaller SHA-256 was taken
    damaged: tuple[Damage, ...]
    used: int  # distinct records decoded


def missing_ranges(plane: PlaneSymbols, n_layers: int) -> list[TileRange]:
    """Runs of tiles that lack a layer, by layer, then by tile."""
    ranges = []
    for layer in range(n_layers):
        absent = np.concatenate(([0], 1 - (plane.layers >> layer & 1).astype(np.int8), [0]))
        edges = np.flatnonzero(np.diff(absent))
        ranges += [
            TileRange(plane.plane, layer, int(a), int(b - a))
            for a, b in zip(edges[::2], edges[1::2], strict=True)
        ]
    return ranges
