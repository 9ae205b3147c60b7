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
from codec.bitstream.decoded import PlaneSymbols
from codec.bitstream.header import FileHeader
from codec.errors import FormatError, TryAgain
from codec.package import Package
from codec.pipeline.decoding import check_package
from codec.transform.tables import Tables
from codec.types import PlaneKind, Record, SymbolArray


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


def symbols_of(package: Package, header: FileHeader, records: Sequence[bytes]) -> ReceivedSymbols:
    """Symbols of complete records (header to CRC), in any order; damaged ones are passed over.

    Raises IdentityError when the package is not the one that the header names, TryAgain while the file's own tables have
    not all arrived.
    """
    _, table_file, decoded = decoded_symbols(package, header, records)
    means = header.mean_vector_payloads
    planes = []
    for plane, spec in zip(decoded, header.planes, strict=True):
        if spec.kind is not PlaneKind.FLOAT or plane.plane >= len(package.planes):
            continue
        whole = np.flatnonzero(plane.token_validity.all(axis=(1, 2)))
        planes.append(
            ReceivedPlane(
                plane.plane, plane.values[whole], plane.layers[whole], plane.ladder_offset[whole], plane.plane in means
            )
        )  # fmt: skip
    return ReceivedSymbols(header, table_file, tuple(planes))


def decoded_symbols(
    package: Package, header: FileHeader, records: Sequence[bytes]
) -> tuple[TableSet, Tables, tuple[PlaneSymbols, ...]]:
    """The tables that a file was coded with, and every plane of it. Raises as `symbols_of`."""
    parsed: list[Record] = []
    for data in records:
        try:
            parsed.append(rec.parse(data))
        except FormatError:
            continue
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
    return tables, table_file, coefficients.decode(tables, header, parsed).planes
