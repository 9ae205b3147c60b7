"""Parts of a packed array: which bytes of a chunk some tokens need, and the tokens that these bytes give.

A chunk is a whole `.nec` as `pack` writes it: header, records without padding, index, seal. From its last bytes follow the
places of all records, so that a part of it is read without the rest. Every record still proves itself by its CRC.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from codec.arrays.quantised import from_bytes
from codec.arrays.tiles import IntArray, RecordPlaces, TileDecoder
from codec.arrays.tokens import TokenSink
from codec.bitstream import record as rec
from codec.bitstream.array_shape import ArrayShape, Layout, no_value
from codec.bitstream.header import FileHeader
from codec.bitstream.scan import INDEX_ENTRY, SEAL
from codec.errors import Corrupt, FormatError
from codec.pipeline.decoding import integers_of
from codec.types import PlaneKind, Record, RecordHeader, RecordKind

SEAL_SIZE = rec.OVERHEAD + SEAL.size


@dataclass(frozen=True)
class ChunkEnd:
    """What the last bytes of a chunk say: where its records lie and how long it is."""

    places: RecordPlaces
    size: int  # bytes of the whole chunk
    first_record: int  # offset of the first record: the length of the header


def read_end(tail: bytes) -> ChunkEnd | None:
    """Index and seal from the last bytes of a chunk.

    None where they are not as `pack` writes them, in one part, or where `tail` does not hold all of the index: then the
    whole chunk must be read. Nothing here is believed further than the CRC of each record allows.
    """
    if len(tail) < SEAL_SIZE:
        return None
    try:
        seal = rec.parse(tail[-SEAL_SIZE:])
        n_before, seal_offset, _, _ = SEAL.unpack(rec.payload(seal))
        n_records = n_before - 1  # one of those before it is the index
        index_size = rec.OVERHEAD + INDEX_ENTRY * n_records
        if (
            seal.header.kind != RecordKind.SEAL
            or n_records < 1
            or not index_size <= len(tail) - SEAL_SIZE
            or index_size > rec.OVERHEAD + rec.MAX_PAYLOAD
        ):
            return None
        index = rec.parse(tail[-SEAL_SIZE - index_size : -SEAL_SIZE])
        if index.header.kind != RecordKind.INDEX or index.header.first_tile:
            return None
        words = struct.unpack(f"<{n_records}Q", rec.payload(index))
        headers: list[RecordHeader] = [rec.unpack(word) for word in words]
    except FormatError:
        return None
    sizes = [rec.OVERHEAD + header.payload_length for header in headers]
    first = seal_offset - index_size - sum(sizes)
    if first < 0:
        return None
    offsets = (first + np.cumsum([0, *sizes[:-1]])).tolist()
    return ChunkEnd(RecordPlaces.of(headers, offsets, sizes), seal_offset + SEAL_SIZE, first)


def read_whole(data: bytes) -> tuple[FileHeader, list[Record]] | None:
    """Header and records of a chunk as `pack` writes it: index and seal say where all is, every record's CRC holds.

    None for any other: then the scan of a file must judge it. Several times faster than that scan.
    """
    end = read_end(data)
    if end is None or end.size != len(data):
        return None
    try:
        header, length = FileHeader.decode(data)
        if length != end.first_record or header.embeds_tables or not len(end.places):
            return None
        spans = zip(end.places.offset.tolist(), end.places.size.tolist(), strict=True)
        return header, [rec.parse(data[offset : offset + size], offset=offset) for offset, size in spans]
    except FormatError:
        return None


def tiles_of(about: ArrayShape, rows: int, cols: int, wanted: tuple[IntArray, ...]) -> IntArray:
    """Tiles (ascending) that hold some tokens; `wanted` has the numbers along each axis of `about.token_shape`."""
    if about.layout == Layout.VECTORS:
        return np.unique(wanted[0] // (rows * cols))
    if about.layout == Layout.GRIDS:
        return np.unique(wanted[0])
    grid = about.grid(rows, cols)
    # A token that two tiles hold belongs to the earlier one, as `mosaic` and the encoder's masks have it.
    down, across = np.unique(wanted[0] // rows), np.unique(wanted[1] // cols)
    return (down[:, None] * grid.n_cols + across).ravel()


def decode_tiles(
    decoder: TileDecoder, about: ArrayShape, tiles: IntArray, records: list[Record]
) -> TokenSink:
    """The array with the tokens of these tiles in it; all else is 0 or the value of invalid tokens.

    Raises Corrupt when a record is refused or a tile has not all that decoding it needs: in a store that is damage.
    """
    spec = decoder.header.planes[0]
    found = decoder.symbols(0, tiles, records)
    if found.damaged:
        raise Corrupt(f"a record is refused: {found.damaged[0].what}")
    needed = (1 << spec.n_layers) - 1
    if not ((found.symbols.layers & needed) == needed).all():
        raise Corrupt("records of some tiles are missing")
    values: np.ndarray
    if spec.kind == PlaneKind.INTEGER:
        entry = decoder.package.planes[0]
        values = integers_of(found.symbols.values, entry, decoder.package.liftings.get(entry.name))
        if spec.channels != about.channels:
            values = from_bytes(values)
    else:
        values = decoder.embedding(found).values
    validity = found.symbols.token_validity
    if (
        validity.all()
    ):  # zeros take memory where they are written to: little of a large chunk that is read in part
        there = np.zeros(about.token_shape, dtype=bool)
        sink = TokenSink(about, spec.rows, spec.cols, np.zeros(about.shape, about.dtype), there)
    else:
        fill = no_value(about.dtype) if about.nodata is None else about.nodata
        sink = TokenSink.of(about, spec.rows, spec.cols, fill)
    starts = np.flatnonzero(np.diff(tiles, prepend=-2) != 1)  # runs of consecutive tiles
    for first, end in zip(starts, [*starts[1:], len(tiles)], strict=True):
        sink.put(int(tiles[first]), values[first:end], validity[first:end])
    return sink
