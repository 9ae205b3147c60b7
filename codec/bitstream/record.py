"""The record header (bitstream §4.1, §4.2): one u64 that says what a payload holds and how long it is."""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import replace

from codec.bitstream.core import crc8, crc32c
from codec.bitstream.header import FileHeader
from codec.errors import Corrupt, InputError, Truncated, UnsupportedVersion
from codec.types import Record, RecordHeader, RecordKind

HEADER_SIZE = 8
CRC_SIZE = 4
OVERHEAD = HEADER_SIZE + CRC_SIZE
MAX_PAYLOAD = 65_536
MIN_LADDER_OFFSET, MAX_LADDER_OFFSET = -4, 3
MAX_LOG2_LANES = 7
MAX_STATE_FORM = 7
DEFINED_KINDS = frozenset(
    {RecordKind.COEFFICIENTS, RecordKind.TABLES, RecordKind.INDEX, RecordKind.SEAL, RecordKind.COMPACT}
)

_WORD = struct.Struct("<Q")
_CRC = struct.Struct("<I")

# Code k ≤ 127: k + 1 tiles; above, (17 + j)·2^(3+e): steps that grow with the count, so one byte reaches 32768.
TILE_COUNTS: tuple[int, ...] = (*range(1, 129), *((17 + j) << (3 + e) for e in range(8) for j in range(16)))
_CODES = {count: code for code, count in enumerate(TILE_COUNTS)}
MAX_TILE_COUNT = TILE_COUNTS[-1]


def largest_writable(count: int) -> int:
    """The largest tile count ≤ `count` that one record can carry."""
    if count < 1:
        raise InputError("a record holds at least one tile", found=count)
    return TILE_COUNTS[bisect_right(TILE_COUNTS, count) - 1]


def tile_count_code(count: int) -> int:
    """The code of a writable tile count; InputError for any other, which must be split."""
    code = _CODES.get(count)
    if code is None:
        near = f", use {largest_writable(count)} and a further record" if count > 0 else ""
        raise InputError(f"{count} tiles cannot be written in one record{near}")
    return code


def pack_fields(header: RecordHeader) -> int:
    """The u64 without payload length and check byte: of kind COEFFICIENTS, what the core's encoder takes and completes."""
    is_compact = header.kind == RecordKind.COMPACT
    for name, value, low, high in (
        ("kind", header.kind, 1, 7),
        ("plane", header.plane, 0, 7),
        ("layer", header.layer, 0, 15),
        ("log2 of the lanes", header.log2_lanes, 0, 0 if is_compact else MAX_LOG2_LANES),
        ("form of the state", header.state_form, 0, MAX_STATE_FORM if is_compact else 0),
        ("ladder offset", header.ladder_offset, MIN_LADDER_OFFSET, MAX_LADDER_OFFSET),
        ("first tile", header.first_tile, 0, 65_535),
    ):
        if not low <= value <= high:
            raise InputError(f"the record's {name} lies in {low} to {high}", found=value)
    return (
        int(header.kind)
        | header.plane << 3
        | header.layer << 6
        | (header.state_form if is_compact else header.log2_lanes) << 10
        | (header.ladder_offset & 7) << 13
        | header.first_tile << 16
        | tile_count_code(header.tile_count) << 32
    )


def pack(header: RecordHeader) -> bytes:
    """The record header's 8 bytes."""
    if not 1 <= header.payload_length <= MAX_PAYLOAD:
        raise InputError(f"a payload has 1 to {MAX_PAYLOAD} bytes", found=header.payload_length)
    word = _WORD.pack(pack_fields(header) | (header.payload_length - 1) << 40)[:7]
    return word + bytes([crc8(word)])


def payload_length(word: int) -> int:
    """Payload bytes that a packed header announces."""
    return (word >> 40 & 0xFFFF) + 1


def unpack(word: int) -> RecordHeader:
    """Fields of a packed header whose check byte was found right.

    Raises UnsupportedVersion for kinds 5 and 7 and Corrupt for a used field that its kind leaves at 0.
    """
    kind = word & 7
    if kind not in DEFINED_KINDS:
        if kind == RecordKind.PADDING:
            raise Corrupt("a record of kind 0 is padding, not a record")
        name = " (refinement)" if kind == RecordKind.REFINEMENT else ""
        raise UnsupportedVersion(f"record kind {kind}{name} is reserved", fix="use a newer Swathpack")
    offset, lanes_or_form = word >> 13 & 7, word >> 10 & 7
    is_compact = kind == RecordKind.COMPACT
    header = RecordHeader(
        kind=RecordKind(kind),
        plane=word >> 3 & 7,
        layer=word >> 6 & 15,
        log2_lanes=0 if is_compact else lanes_or_form,
        ladder_offset=offset - 8 if offset >= 4 else offset,
        first_tile=word >> 16 & 0xFFFF,
        tile_count=TILE_COUNTS[word >> 32 & 0xFF],
        payload_length=payload_length(word),
        state_form=lanes_or_form if is_compact else 0,
    )
    if not header.is_coefficients:
        if header.plane or header.layer or header.log2_lanes or offset:
            raise Corrupt(
                f"a record of kind {header.kind.name.lower()} uses plane, layer, lanes or ladder offset"
            )
        if kind != RecordKind.TABLES and header.tile_count != 1:
            raise Corrupt(
                f"a record of kind {header.kind.name.lower()} has a tile count", found=header.tile_count
            )
    return header


def check(record: RecordHeader, file: FileHeader) -> None:
    """Is an intact record legal in this file? Raises Corrupt, which concerns this record alone."""
    if record.is_coefficients:
        if record.plane >= len(file.planes):
            raise Corrupt(
                "a record names a plane that is not there",
                expected=f"< {len(file.planes)}",
                found=record.plane,
            )
        n_layers = file.planes[record.plane].n_layers
        if record.layer >= n_layers:
            raise Corrupt(
                "a record names a layer that is not there", expected=f"< {n_layers}", found=record.layer
            )
        if record.first_tile + record.tile_count > file.n_tiles:
            raise Corrupt(
                "a record names tiles that are not there", expected=f"≤ {file.n_tiles}",
                found=record.first_tile + record.tile_count,
            )  # fmt: skip
    elif record.kind == RecordKind.TABLES and record.first_tile >= record.tile_count:
        raise Corrupt(
            "a tables record beyond the last chunk",
            expected=f"< {record.tile_count}",
            found=record.first_tile,
        )
    elif record.kind == RecordKind.SEAL and record.first_tile:
        raise Corrupt("a seal with a number", expected=0, found=record.first_tile)


def build(header: RecordHeader, payload: bytes, offset: int = 0) -> Record:
    """A complete record: header (its payload length is taken from `payload`), payload, CRC-32C."""
    header = replace(header, payload_length=len(payload))
    body = pack(header) + payload
    return Record(header, body + _CRC.pack(crc32c(body)), offset)


def numbered(kind: RecordKind, number: int, count: int, payload: bytes) -> Record:
    """A record of kind tables, index or seal: part `number` of `count` (1 where the kind has no count)."""
    return build(RecordHeader(kind, 0, 0, 0, 0, number, count, len(payload)), payload)


def parse(data: bytes, *, offset: int = 0, path: object = None) -> Record:
    """One complete record, header to CRC, as a packet or an index hands it over.

    Raises Truncated, Corrupt or UnsupportedVersion. `offset` says where it stood, for the message and the result.
    """
    if len(data) < HEADER_SIZE:
        raise Truncated(
            "a record ends inside its header", path=path, offset=offset, expected=8, found=len(data)
        )
    if crc8(data[:7]) != data[7]:
        raise Corrupt("a record header's check byte does not match", path=path, offset=offset)
    word = int(_WORD.unpack_from(data)[0])
    size = OVERHEAD + payload_length(word)
    if len(data) < size:
        raise Truncated(
            "a record ends early", path=path, offset=offset, expected=f"{size} bytes", found=len(data)
        )
    if len(data) > size:
        raise Corrupt(
            "bytes behind a record", path=path, offset=offset, expected=f"{size} bytes", found=len(data)
        )
    stored, computed = _CRC.unpack_from(data, size - CRC_SIZE)[0], crc32c(data[: size - CRC_SIZE])
    if stored != computed:
        raise Corrupt(
            "a record's checksum does not match", path=path, offset=offset, expected=f"{stored:#010x}",
            found=f"{computed:#010x}",
        )  # fmt: skip
    return Record(unpack(word), bytes(data), offset)


def payload(record: Record) -> bytes:
    """The bytes between header and CRC."""
    return record.data[HEADER_SIZE:-CRC_SIZE]
