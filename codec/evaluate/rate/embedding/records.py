"""Symbols ↔ complete `.nec` records under any table file: the entropy coder that all our methods share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codec.bitstream import coefficients, core
from codec.bitstream import record as rec
from codec.bitstream.decoded import DecodedSymbols
from codec.bitstream.header import FileHeader
from codec.errors import InternalError
from codec.evaluate.rate.embedding.sent import Part
from codec.transform.tables import Tables
from codec.types import BoolArray, Georeference, PlaneSpec, Record, SymbolArray, Symbols, TileGrid

_NOWHERE = Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
_UNNAMED = bytes(8)  # in the place of ids: they lie in the header, which no method counts


@dataclass(frozen=True)
class RecordCoder:
    """The coder of one table file. Records have at most 960 bytes, as for a link."""

    tables: Tables
    parsed: core.TableSet

    @classmethod
    def of(cls, tables: Tables) -> RecordCoder:
        return cls(tables, core.TableSet(tables.encode()))

    def header(self, n_tiles: int, ladder_index: int) -> FileHeader:
        """What both ends know: the planes, the number of tiles, the quality."""
        planes = tuple(
            PlaneSpec(p.rows, p.cols, p.channels, len(p.layer_shift), p.kind, _UNNAMED)
            for p in self.tables.planes
        )
        return FileHeader("benchmark", _UNNAMED, TileGrid(n_tiles, 1, 1, 1), _NOWHERE, planes, ladder_index)

    def encode(
        self,
        symbols: SymbolArray,
        validity: BoolArray,
        *,
        ladder_index: int = 0,
        plane: int = 0,
        layers: int = 16,
    ) -> list[Part]:
        """Records of the first `layers` layers of one plane: symbols N×C×F, validity N×h×w.

        The bytes of a record are shared out by the costs of its tiles.
        """
        header = self.header(len(symbols), ladder_index)
        records = coefficients.encode_plane(self.parsed, header, plane, Symbols(plane, symbols, validity))
        return shared_by_cost(
            self.parsed, [r for r in records if r.header.layer < layers], plane, ladder_index, symbols
        )

    def encode_layers(
        self, symbols: SymbolArray, validity: BoolArray, *, ladder_index: int = 0, plane: int = 0
    ) -> list[tuple[int, Part]]:
        """As `encode`, all layers, each part with the layer that it is of."""
        header = self.header(len(symbols), ladder_index)
        records = coefficients.encode_plane(self.parsed, header, plane, Symbols(plane, symbols, validity))
        parts = shared_by_cost(self.parsed, records, plane, ladder_index, symbols)
        return [(record.header.layer, part) for record, part in zip(records, parts, strict=True)]

    def decode(self, parts: Sequence[bytes], n_tiles: int, *, ladder_index: int = 0) -> DecodedSymbols:
        """Symbols of all planes. Raises Corrupt or Truncated for damaged bytes, InternalError for a refused record."""
        header = self.header(n_tiles, ladder_index)
        found = coefficients.decode(self.parsed, header, [rec.parse(data) for data in parts])
        if found.damaged:
            raise InternalError(f"a record of our own was refused: {found.damaged[0].what}")
        return found


def shared_by_cost(
    tables: core.TableSet, records: Sequence[Record], plane: int, ladder_index: int, symbols: SymbolArray
) -> list[Part]:
    """Records as parts, each divided among its tiles by their one-lane costs."""
    costs: dict[int, np.ndarray] = {}
    parts = []
    for record in records:
        head = record.header
        if head.layer not in costs:
            found = core.tile_costs(tables, plane, head.layer, ladder_index, symbols)
            costs[head.layer] = found.astype(np.float64) + 1.0  # a tile without a bit still has its place
        own = costs[head.layer][head.first_tile : head.first_tile + head.tile_count]
        parts.append(Part(record.data, head.first_tile, head.tile_count, own / own.sum()))
    return parts
