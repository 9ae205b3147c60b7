"""The parts of a file: header, extensions, records, seal, table file. Defaults are legal; every field can be set."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from nec_reference.checks import crc8, crc32c

COEFFICIENTS, TABLES, INDEX, SEAL, COMPACT = 1, 2, 3, 4, 6


@dataclass(frozen=True)
class TableIn:
    """One table of tables.bin."""

    thresholds: tuple[int, ...]
    r1: float = 1.0
    r2: float = 0.0
    theta: float = 0.0
    low_bits: int = 0
    reserved: int = 0

    def encode(self) -> bytes:
        return struct.pack(
            f"<BBH3f{len(self.thresholds)}H",
            len(self.thresholds),
            self.low_bits,
            self.reserved,
            self.r1,
            self.r2,
            self.theta,
            *self.thresholds,
        )


@dataclass(frozen=True)
class PlaneIn:
    """One plane of tables.bin, and of a header."""

    rows: int
    cols: int
    channels: int
    shift: tuple[int, ...]  # one per layer
    band_of: tuple[int, ...]
    layer_map: tuple[tuple[int, ...], ...]
    class_map: tuple[tuple[int, ...], ...]
    kind: int = 0
    reserved: int = 0
    space_id: bytes = b"\x00space_0"

    @property
    def layers(self) -> int:
        return len(self.shift)

    def encode(self) -> bytes:
        head = struct.pack(
            "<BBHBBBB",
            self.rows,
            self.cols,
            self.channels,
            self.layers,
            len(self.layer_map),
            self.kind,
            self.reserved,
        )
        return (
            head
            + struct.pack(f"<{self.layers}b", *self.shift)
            + bytes(self.band_of)
            + b"".join(bytes(row) for row in self.layer_map)
            + b"".join(bytes(row) for row in self.class_map)
        )

    def header_entry(self) -> bytes:
        return self.space_id + struct.pack(
            "<BBHBB", self.rows, self.cols, self.channels, self.layers, self.kind
        )


@dataclass(frozen=True)
class TablesIn:
    """A whole table file."""

    ladder: tuple[float, ...]
    tables: tuple[TableIn, ...]
    planes: tuple[PlaneIn, ...]

    def encode(self) -> bytes:
        body = struct.pack(f"<{len(self.ladder)}f", *self.ladder)
        body += b"".join(table.encode() for table in self.tables)
        body += b"".join(plane.encode() for plane in self.planes)
        return table_file(body, len(self.planes), len(self.tables), len(self.ladder))

    def level(self, plane: int, band: int, channel: int, e: int) -> int:
        return max(0, min(self.planes[plane].class_map[band][channel] - e, len(self.tables) - 1))


def table_file(
    body: bytes,
    n_planes: int,
    n_tables: int,
    n_ladder: int,
    *,
    magic: bytes = b"NECT",
    version: int = 0,
    length: int | None = None,
    crc_xor: int = 0,
) -> bytes:
    """Head and CRC around the table file's body."""
    length = 12 + len(body) + 4 if length is None else length
    data = magic + struct.pack("<BBBBI", version, n_planes, n_tables, n_ladder, length) + body
    return data + struct.pack("<I", crc32c(data) ^ crc_xor)


def extension(number: int, content: bytes, *, must: bool) -> bytes:
    return struct.pack("<BH", number | (0x80 if must else 0), len(content)) + content


AFFINE = (10.0, 0.0, 500000.0, 0.0, -10.0, 4000000.0)


def header(
    planes: Sequence[PlaneIn],
    codec_id: bytes,
    *,
    scene: tuple[int, int],
    core: tuple[int, int],
    ladder_index: int,
    flags: int = 0,
    version: int = 0,
    magic: bytes = bytes.fromhex("894E45430D0A1A0A"),
    n_planes: int | None = None,
    reserved: int = 0,
    sensor: bytes = b"sentinel2-l2a",
    band_mask: int = 0,
    run: int = 0,
    time: int = -(2**63),
    affine: Sequence[float] = AFFINE,
    epsg: int = 32633,
    extensions: bytes = b"",
    length: int | None = None,
    crc_xor: int = 0,
) -> bytes:
    """A file header; `length` and `crc_xor` make wrong ones."""
    entries = b"".join(plane.header_entry() for plane in planes)
    right = 124 + len(entries) + len(extensions) + 4
    data = (
        magic
        + struct.pack(
            "<BBHBBH",
            version,
            flags,
            right if length is None else length,
            len(planes) if n_planes is None else n_planes,
            ladder_index,
            reserved,
        )
        + sensor.ljust(16, b"\0")
        + struct.pack("<Q8sIIIHHq6dI", band_mask, codec_id, run, *scene, *core, time, *affine, epsg)
        + entries
        + extensions
    )
    return data + struct.pack("<I", crc32c(data) ^ crc_xor)


def count_code(count: int) -> int:
    """The code of a writable tile count, found by trying them all."""
    counts = list(range(1, 129)) + [(17 + j) << (3 + e) for e in range(8) for j in range(16)]
    return counts.index(count)


def record(
    payload: bytes,
    *,
    kind: int = COEFFICIENTS,
    plane: int = 0,
    layer: int = 0,
    log2_lanes: int = 0,
    ladder_offset: int = 0,
    first_tile: int = 0,
    count: int = 1,
    check_xor: int = 0,
    crc_xor: int = 0,
    compact: bool = True,
) -> bytes:
    """A whole record around a payload.

    Payloads of coefficients begin with the form; where §5.1 wants it in the header (one lane, form bits 0 and 1
    clear, and bits 5 to 7 too), it goes there, unless `compact` is False.
    """
    if compact and kind == COEFFICIENTS and log2_lanes == 0 and not payload[0] & 0b11100011 and payload[1:]:
        kind, log2_lanes, payload = COMPACT, payload[0] >> 2, payload[1:]
    word = kind | plane << 3 | layer << 6 | log2_lanes << 10 | (ladder_offset & 7) << 13
    word |= first_tile << 16 | count_code(count) << 32 | (len(payload) - 1) << 40
    head = word.to_bytes(7, "little")
    data = head + bytes([crc8(head) ^ check_xor]) + payload
    return data + struct.pack("<I", crc32c(data) ^ crc_xor)


def seal(
    before: bytes,
    n_records: int,
    *,
    offset: int | None = None,
    digest_xor: int = 0,
    reserved: int = 0,
    first_tile: int = 0,
) -> bytes:
    """The seal of the file `before`."""
    digest = bytearray(hashlib.sha256(before).digest()[:8])
    digest[0] ^= digest_xor
    payload = struct.pack(
        "<IQ8sI", n_records, len(before) if offset is None else offset, bytes(digest), reserved
    )
    return record(payload, kind=SEAL, first_tile=first_tile)


def index(records: Sequence[bytes], *, part: int = 0) -> bytes:
    """One index record that lists `records`."""
    return record(b"".join(r[:8] for r in records), kind=INDEX, first_tile=part)
