"""Symbols of received records, with all that they were coded by: what drift is measured and tables are refitted on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.bitstream import coefficients, tables_records
from codec.bitstream import record as rec
from codec.bitstream.core import TableSet
from codec.bitstream.decoded import DecodedSymbols, PlaneSymbols
from codec.bitstream.header import FileHeader
from codec.bitstream.reader import NecFile, read_bytes
from codec.errors import FormatError, InputError, TryAgain
from codec.package import Package
from codec.pipeline.decoding import check_package
from codec.pipeline.digits import reported
from codec.transform.tables import Tables
from codec.types import PlaneKind, Record, RecordKind, SymbolArray, TileRange


@dataclass(frozen=True)
class ReceivedPlane:
    """Tiles of one plane whose tokens are all valid: the others' coefficients are partly an encoder's free choice."""

    plane: int
    symbols: SymbolArray  # n×C×F
    layers: npt.NDArray[np.uint16]  # n, bit l = layer l arrived
    offsets: npt.NDArray[np.int8]  # n×n_layers, ladder offsets of the records
    has_mean: bool  # the header's mean vector was taken off layer 0


@dataclass(frozen=True)
class ReceivedSymbols:
    """One file. `planes` are the float planes; integers have no scale that could drift, digits follow their planes."""

    header: FileHeader
    tables: Tables
    planes: tuple[ReceivedPlane, ...]
    missing: tuple[TileRange, ...] = ()  # layers of tiles that did not arrive
    conflicts: tuple[TileRange, ...] = ()  # where intact records differ; the smaller SHA-256 was taken
    damaged: int = 0  # records that could not be used

    @property
    def is_complete(self) -> bool:
        """Every layer of every tile is there."""
        return not (self.missing or self.damaged)

    def says_as(self, other: ReceivedSymbols) -> bool:
        """Whether both are the same symbols of the same file."""
        return self.header == other.header and all(
            a.plane == b.plane and a.has_mean == b.has_mean
            and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("symbols", "layers", "offsets"))
            for a, b in zip(self.planes, other.planes, strict=True)
        )  # fmt: skip


def symbols_of(package: Package, header: FileHeader, records: Sequence[bytes]) -> ReceivedSymbols:
    """Symbols of complete records (header to CRC), in any order; damaged ones are passed over.

    Raises IdentityError when the package is not the one that the header names, TryAgain while the file's own tables have
    not all arrived.
    """
    _, table_file, decoded, damaged = _decoded(package, header, records)
    means = header.mean_vector_payloads
    planes = []
    for plane, spec in zip(decoded.planes, header.planes, strict=True):
        if spec.kind is not PlaneKind.FLOAT or plane.plane >= len(package.planes):
            continue
        whole = np.flatnonzero(plane.token_validity.all(axis=(1, 2)))
        planes.append(
            ReceivedPlane(
                plane.plane, plane.values[whole], plane.layers[whole], plane.ladder_offset[whole], plane.plane in means
            )
        )  # fmt: skip
    return ReceivedSymbols(
        header, table_file, tuple(planes), reported(package, decoded.planes, decoded.missing), decoded.conflicts,
        damaged + len(decoded.damaged),
    )  # fmt: skip


def merged(copies: Sequence[NecFile]) -> NecFile:
    """All that copies of one file say, as one file without index and seal; the same for any order and number of them.

    Of records that contradict each other none is left out here: decoding settles that, and says where it did.
    Raises InputError for files with different headers.
    """
    heads = {file.header.encode() for file in copies}
    if len(heads) != 1:
        raise InputError("these are not copies of one file", found=f"{len(heads)} different headers")
    closing = (RecordKind.INDEX, RecordKind.SEAL)
    records = {r.data for file in copies for r in file.scan.records if r.header.kind not in closing}
    return read_bytes(heads.pop() + b"".join(sorted(records)), path=copies[0].path)


def decoded_symbols(
    package: Package, header: FileHeader, records: Sequence[bytes]
) -> tuple[TableSet, Tables, tuple[PlaneSymbols, ...]]:
    """The tables that a file was coded with, and every plane of it. Raises as `symbols_of`."""
    tables, table_file, decoded, _ = _decoded(package, header, records)
    return tables, table_file, decoded.planes


def _decoded(
    package: Package, header: FileHeader, records: Sequence[bytes]
) -> tuple[TableSet, Tables, DecodedSymbols, int]:
    """The tables, what they decode to, and how many records cannot even be parsed."""
    parsed: list[Record] = []
    damaged = 0
    for data in records:
        try:
            parsed.append(rec.parse(data))
        except FormatError:
            damaged += 1
    tables, table_file = package.tables, package.table_file
    if header.embeds_tables:
        embedded = tables_records.collect(parsed, with_transform=header.is_self_contained)
        if embedded.data is None:
            raise TryAgain(
                "the file's own tables have not all arrived", found=f"chunks missing: {embedded.missing}",
                fix="request these records again",
            )  # fmt: skip
        check_package(package, header, tables_sha256=hashlib.sha256(embedded.data).hexdigest())
        tables, table_file = TableSet(embedded.data), Tables.decode(embedded.data)
    else:
        check_package(package, header)
    return tables, table_file, coefficients.decode(tables, header, parsed), damaged
