"""Latents of one plane as real records, layer 0 at a quality of its own; decoded and compared before anything counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.nec.equal_error import Point
from codec.bitstream import coefficients
from codec.bitstream import record as rec
from codec.errors import InternalError
from codec.evaluate.rate.embedding.records import RecordCoder, shared_by_cost
from codec.evaluate.rate.embedding.sent import Part, sizes
from codec.transform import rdo
from codec.transform.maps import quant_maps
from codec.transform.tables import Tables
from codec.types import BoolArray, FloatArray, SymbolArray, Symbols


@dataclass(frozen=True)
class Way:
    """How latents become symbols."""

    tables: Tables
    coder: RecordCoder
    tradeoff: float = 0.0
    mean_too: bool = False  # trade in layer 0 as well

    @classmethod
    def of(cls, tables: Tables, tradeoff: float = 0.0, *, mean_too: bool = False) -> Way:
        return cls(tables, RecordCoder.of(tables), tradeoff, mean_too)

    def encode(
        self,
        latents: FloatArray,
        index: int,
        mean_offset: int = 0,
        layers: int = 16,
        validity: BoolArray | None = None,
    ) -> tuple[list[Part], SymbolArray]:
        """Records of N×C×F at one ladder index, those of layer 0 at an offset against it; and the symbols.

        `validity` N×h×w; None: all tokens.
        """
        n, plane = len(latents), self.tables.planes[0]
        symbols = rdo.quantise(self.tables.levels, quant_maps(self.tables, 0, index), latents, self.tradeoff)
        first = quant_maps(self.tables, 0, index + mean_offset)
        cells = first.layer == 0
        tradeoff = self.tradeoff if self.mean_too else 0.0
        symbols[:, cells] = rdo.quantise(self.tables.levels, first, latents, tradeoff, cells)[:, cells]
        if validity is None:
            validity = np.ones((n, plane.rows, plane.cols), dtype=bool)
        symbols[~validity.any(axis=(1, 2))] = 0
        header = self.coder.header(n, index)
        parts: list[Part] = []
        for offset, own in ((mean_offset, range(1)), (0, range(1, layers))):
            alone = symbols * (cells if 0 in own else ~cells)
            given = Symbols(0, alone.astype(np.int16), validity)
            records = coefficients.encode_plane(self.coder.parsed, header, 0, given, ladder_offset=offset)
            kept = [r for r in records if r.header.layer in own]
            parts += shared_by_cost(self.coder.parsed, kept, 0, index + offset, symbols)
        return parts, symbols

    def decode(self, parts: list[bytes], n_tiles: int, index: int) -> FloatArray:
        """Latents N×C×F, of records alone."""
        header = self.coder.header(n_tiles, index)
        found = coefficients.decode(self.coder.parsed, header, [rec.parse(data) for data in parts])
        if found.damaged:
            raise InternalError(f"a record of our own was refused: {found.damaged[0].what}")
        plane = found.planes[0]
        if (plane.ladder_offset != plane.ladder_offset[0]).any():
            raise InternalError("records of one layer have several qualities")
        maps = quant_maps(self.tables, 0, index, [int(offset) for offset in plane.ladder_offset[0]])
        return maps.reconstruct(plane.values, plane.layers)

    def point(self, latents: FloatArray, index: int, mean_offset: int = 0) -> Point:
        """Bytes and squared error of each tile."""
        parts, _ = self.encode(latents, index, mean_offset)
        decoded = self.decode([part.data for part in parts], len(latents), index)
        errors = np.square(decoded.astype(np.float64) - latents).sum(axis=(1, 2))
        return Point(sizes(parts, len(latents)), errors)
