"""Records (§4): their header, the tile-count code, scanning, index and seal."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from nec_reference.checks import crc8, crc32c
from nec_reference.header import Header
from nec_reference.refusals import Corrupt, Unsupported

PADDING, COEFFICIENTS, TABLES, INDEX, SEAL, REFINEMENT, COMPACT = range(7)
HEADER_BYTES, CRC_BYTES = 8, 4
SEAL_BYTES = 24

# (first bit, last bit, field) of the u64, in the order of the text's table
BIT_FIELDS = (
    (0, 2, "kind"),
    (3, 5, "plane"),
    (6, 9, "layer"),
    (10, 12, "log2 lanes"),
    (13, 15, "ladder offset"),
    (16, 31, "first tile"),
    (32, 39, "tile-count code"),
    (40, 55, "length − 1"),
    (56, 63, "check"),
)


@dataclass(frozen=True)
class RecordHeader:
    """The fields of §4.1, as numbers; legal or not is `check_fields`' business."""

    kind: int
    plane: int
    layer: int
    log2_lanes: int  # of kind 6: bits 2–4 of the form
    ladder_offset: int
    first_tile: int
    count_code: int
    length: int  # payload bytes

    @property
    def count(self) -> int:
        return tile_count(self.count_code)

    @property
    def has_coefficients(self) -> bool:
        return self.kind in (COEFFICIENTS, COMPACT)

    @property
    def lanes(self) -> int:
        return 1 if self.kind == COMPACT else 1 << self.log2_lanes


@dataclass(frozen=True)
class Record:
    """An intact record: check byte, length and CRC held."""

    offset: int
    header: RecordHeader
    data: bytes  # header, payload, CRC

    @property
    def payload(self) -> bytes:
        return self.data[HEADER_BYTES:-CRC_BYTES]

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


@dataclass(frozen=True)
class Gap:
    """A stretch that holds no record: its first and last byte, and whether it begins a record cut by the file's end."""

    first: int
    last: int
    cut: bool


def tile_count(code: int) -> int:
    """§4.2."""
    if code <= 127:
        return code + 1
    e, j = divmod(code - 128, 16)
    return (17 + j) << (3 + e)


def unpack_header(data: bytes) -> RecordHeader | None:
    """The record header in 8 bytes; None where the check byte is wrong or the kind is padding."""
    if len(data) < HEADER_BYTES or crc8(data[:7]) != data[7]:
        return None
    (word,) = struct.unpack("<Q", data[:8])
    kind, plane, layer, log2_lanes, ladder_offset, first_tile, count_code, length_less_1, _ = (
        (word >> first) & ((1 << (last - first + 1)) - 1) for first, last, _ in BIT_FIELDS
    )
    if kind == PADDING:
        return None
    if ladder_offset >= 4:
        ladder_offset -= 8
    return RecordHeader(
        kind, plane, layer, log2_lanes, ladder_offset, first_tile, count_code, length_less_1 + 1
    )


def scan(data: bytes, start: int) -> tuple[list[Record], list[Gap]]:
    """All intact records from byte `start` on, and the gaps between them (§4.4)."""
    records: list[Record] = []
    gaps: list[Gap] = []
    gap_first: int | None = None
    gap_last = 0
    gap_cut = False
    position = start
    while position < len(data):
        if data[position] == 0:
            position += 1
            continue
        header = unpack_header(data[position : position + HEADER_BYTES])
        end = position if header is None else position + HEADER_BYTES + header.length + CRC_BYTES
        if header is not None and end <= len(data):
            (stored,) = struct.unpack("<I", data[end - CRC_BYTES : end])
            if crc32c(data[position : end - CRC_BYTES]) == stored:
                if gap_first is not None:
                    gaps.append(Gap(gap_first, gap_last, gap_cut))
                    gap_first = None
                records.append(Record(position, header, data[position:end]))
                position = end
                continue
        if gap_first is None:
            gap_first = position
            gap_cut = header is not None and end > len(data)
        gap_last = position
        position += 1
    if gap_first is not None:
        gaps.append(Gap(gap_first, len(data) - 1 if gap_cut else gap_last, gap_cut))
    return records, gaps


def check_fields(record: Record, file: Header) -> None:
    """Refuse an intact record with an illegal field or an unknown kind (§4.1, §4.5, §4.6)."""
    header = record.header
    if header.kind not in (COEFFICIENTS, TABLES, INDEX, SEAL, COMPACT):
        raise Unsupported(f"record kind {header.kind}")
    if header.has_coefficients:
        if header.plane >= len(file.planes):
            raise Corrupt(f"plane {header.plane} of {len(file.planes)}")
        if header.layer >= file.planes[header.plane].layers:
            raise Corrupt(f"layer {header.layer} of {file.planes[header.plane].layers}")
        if header.first_tile + header.count > file.n_tiles:
            raise Corrupt(f"tiles {header.first_tile} + {header.count} of {file.n_tiles}")
        return
    if header.plane or header.layer or header.log2_lanes or header.ladder_offset:
        raise Corrupt("a record without coefficients names plane, layer, lanes or ladder offset")
    if header.kind == TABLES:
        if header.first_tile >= header.count:
            raise Corrupt(f"chunk {header.first_tile} of {header.count}")
        return
    if header.count_code:
        raise Corrupt("an index or a seal with a tile-count code")
    if header.kind == INDEX:
        if header.length % 8:
            raise Corrupt(f"an index of {header.length} bytes")
        return
    if header.first_tile:
        raise Corrupt("a seal with a first tile")
    if header.length != SEAL_BYTES:
        raise Corrupt(f"a seal of {header.length} bytes")
    if record.payload[20:24] != bytes(4):
        raise Corrupt("the seal's reserved field is not zero")


def check_seal(data: bytes, records: list[Record]) -> None:
    """Refuse the last record, a seal at the very end of the file, if its numbers disagree with the file (§4.6)."""
    seal = records[-1]
    count, offset, digest, _ = struct.unpack("<IQ8sI", seal.payload)
    if count != len(records) - 1:
        raise Corrupt(f"the seal counts {count} records, the file has {len(records) - 1}")
    if offset != seal.offset:
        raise Corrupt(f"the seal was written at byte {offset} and stands at {seal.offset}")
    if digest != hashlib.sha256(data[: seal.offset]).digest()[:8]:
        raise Corrupt("the seal's SHA-256 does not match the file")


def index_entries(parts: list[Record]) -> list[bytes]:
    """The 8-byte headers that the index records list, parts in order."""
    ordered = sorted(parts, key=lambda part: part.header.first_tile)
    return [part.payload[at : at + 8] for part in ordered for at in range(0, len(part.payload), 8)]
