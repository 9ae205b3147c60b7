"""Some tiles of a `.nec` file: which records they need, and what these records say.

The twin of `codec.pipeline.decode`, which decodes everything: same records, same numbers, for the tiles asked for only.
Where the bytes come from is the caller's business (a file, memory, a byte range of an object store).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from codec.bitstream import coefficients, mean_vector
from codec.bitstream.core import TableSet
from codec.bitstream.decoded import Damage, PlaneSymbols
from codec.bitstream.header import FileHeader
from codec.package import Package
from codec.pipeline.decoding import DEFAULT_MAX_BYTES, check_package, embedding_of
from codec.pipeline.digits import finer_planes
from codec.transform.tables import Tables
from codec.types import BoolArray, Embedding, Record, RecordHeader, SymbolArray

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RecordPlaces:
    """Where the coefficient records of a file lie: R entries, in file order."""

    plane: IntArray
    layer: IntArray
    first: IntArray  # tile
    count: IntArray  # tiles
    offset: IntArray  # bytes from the start of the file
    size: IntArray  # bytes of the complete record

    @staticmethod
    def of(headers: Sequence[RecordHeader], offsets: Sequence[int], sizes: Sequence[int]) -> RecordPlaces:
        """From record headers of any kind; only coefficient records are kept."""
        rows = [
            (h.plane, h.layer, h.first_tile, h.tile_count, offset, size)
            for h, offset, size in zip(headers, offsets, sizes, strict=True)
            if h.is_coefficients
        ]
        return RecordPlaces(*np.array(rows, dtype=np.int64).reshape(-1, 6).T)

    def __len__(self) -> int:
        return len(self.plane)

    def touching(
        self, plane: int | Sequence[int], tiles: IntArray, max_layers: int | None = None
    ) -> IntArray:
        """Numbers of the records that hold a layer of at least one of the tiles (ascending), in file order.

        `plane`: one, or a plane and those that refine it (`Package.chain`).
        """
        if not len(tiles):
            return np.zeros(0, dtype=np.int64)
        following = np.minimum(np.searchsorted(tiles, self.first), len(tiles) - 1)
        next_tile = tiles[following]
        hit = np.isin(self.plane, plane) & (next_tile >= self.first) & (next_tile < self.first + self.count)
        if max_layers is not None:
            hit &= self.layer < max_layers
        return np.flatnonzero(hit)

    def arrived(self, plane: int, layer: int, n_tiles: int) -> BoolArray:
        """N, True where an intact record holds the layer of the tile. Payloads have not been judged."""
        steps = np.zeros(n_tiles + 1, dtype=np.int64)
        own = (self.plane == plane) & (self.layer == layer)
        np.add.at(steps, self.first[own], 1)
        np.add.at(steps, self.first[own] + self.count[own], -1)
        there: BoolArray = np.cumsum(steps[:-1]) > 0
        return there


@dataclass(frozen=True)
class TilesDecoded:
    """What records say of some tiles of one plane, in the order asked for."""

    symbols: PlaneSymbols  # of these tiles
    finer: tuple[PlaneSymbols, ...] = field(
        kw_only=True, default=()
    )  # of these tiles, planes that refine the plane
    damaged: tuple[
        Damage, ...
    ]  # records that could not be used; their `index` is the place among those given


@dataclass(frozen=True)
class TileDecoder:
    """A file's header, the package that reads it and its tables, ready to decode any of its tiles."""

    package: Package
    header: FileHeader
    tables: TableSet | None  # None: the file embeds its tables and not all of their records have arrived
    table_file: Tables
    means: dict[int, SymbolArray]  # mean vector symbols of the header, by plane

    @staticmethod
    def of(package: Package, header: FileHeader, embedded_tables: bytes | None = None) -> TileDecoder:
        """`embedded_tables`: the table file of a file that carries its own; None where it is incomplete.

        Raises IdentityError when the package is not the one that the header names, Corrupt when tables or the header's
        mean vector are damaged.
        """
        if not header.embeds_tables:
            check_package(package, header)
            tables, table_file = package.tables, package.table_file
        elif embedded_tables is None:
            check_package(package, header, tables_sha256=None)
            return TileDecoder(package, header, None, package.table_file, {})
        else:
            check_package(package, header, tables_sha256=hashlib.sha256(embedded_tables).hexdigest())
            tables, table_file = TableSet(embedded_tables), Tables.decode(embedded_tables)
        return TileDecoder(package, header, tables, table_file, mean_vector.decode(tables, header))

    def symbols(
        self, plane: int, tiles: IntArray, records: Sequence[Record], *, max_bytes: int = DEFAULT_MAX_BYTES
    ) -> TilesDecoded:
        """Symbols, token validity and layers of `tiles` (numbers in the file) from the records that touch them.

        Damaged records are listed and their tiles lack the layer. Raises LimitExceeded where a file of so many tiles
        would take more than `max_bytes`.
        """
        spec = self.header.planes[plane]
        if self.tables is None:
            nothing = PlaneSymbols(
                plane,
                np.zeros((len(tiles), spec.channels, spec.n_frequencies), dtype=np.int16),
                np.zeros((len(tiles), spec.rows, spec.cols), dtype=bool),
                np.zeros(len(tiles), dtype=np.uint16),
                np.zeros((len(tiles), spec.n_layers), dtype=np.int8),
            )
            return TilesDecoded(nothing, ())
        # Arrays of all tiles are promised here, but only pages that a record writes to are ever touched.
        found = coefficients.decode(self.tables, self.header, records, max_bytes=max_bytes)
        chain = [found.planes[plane], *finer_planes(self.package, found.planes, plane)]
        if not np.array_equal(tiles, np.arange(self.header.n_tiles)):
            chain = [each.only(tiles) for each in chain]
        return TilesDecoded(chain[0], found.damaged, finer=tuple(chain[1:]))

    def embedding(self, decoded: TilesDecoded) -> Embedding:
        """Values n×h×w×C float32 of decoded tiles, 0 where invalid; validity n×h×w; layers n."""
        plane = decoded.symbols.plane
        entry = self.package.planes[plane]
        return embedding_of(
            self.package,
            self.table_file,
            self.header,
            entry,
            decoded.symbols,
            self.means.get(plane),
            decoded.finer,
        )
