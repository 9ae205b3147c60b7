"""Table files, arguments and record headers for the tests of the core, written from docs/bitstream.md alone.

Nothing here calls the core: CRCs are computed bit by bit, headers by shifting.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


def slow_crc32c(data: bytes) -> int:
    """CRC-32C by its definition (§1), a bit at a time."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def slow_crc8(data: bytes) -> int:
    """CRC-8/AUTOSAR by its definition (§1), a bit at a time."""
    register = 0xFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = ((register << 1) ^ (0x12F if register & 0x80 else 0)) & 0x1FF
    return register ^ 0xFF


@dataclass(frozen=True)
class TableSpec:
    """One table of a table file (§6)."""

    thresholds: tuple[int, ...]
    r1: float = 1.0
    r2: float = 0.0
    theta: float = 0.25
    low_bits: int = 0
    reserved: int = 0

    def encode(self) -> bytes:
        head = struct.pack(
            "<BBHfff", len(self.thresholds), self.low_bits, self.reserved, self.r1, self.r2, self.theta
        )
        return head + struct.pack(f"<{len(self.thresholds)}H", *self.thresholds)


@dataclass(frozen=True)
class PlaneTableSpec:
    """One plane of a table file (§6)."""

    rows: int
    cols: int
    channels: int
    n_layers: int
    bands: tuple[int, ...]  # of each frequency
    layer_map: npt.NDArray[np.uint8]  # B×C
    class_map: npt.NDArray[np.uint8]  # B×C
    layer_shift: tuple[int, ...]
    kind: int = 0
    reserved: int = 0

    @property
    def n_bands(self) -> int:
        return self.layer_map.shape[0]

    @property
    def n_frequencies(self) -> int:
        return self.rows * self.cols

    def encode(self) -> bytes:
        head = struct.pack(
            "<BBHBBBB",
            self.rows,
            self.cols,
            self.channels,
            self.n_layers,
            self.n_bands,
            self.kind,
            self.reserved,
        )
        maps = self.layer_map.astype(np.uint8).tobytes() + self.class_map.astype(np.uint8).tobytes()
        return head + struct.pack(f"<{self.n_layers}b", *self.layer_shift) + bytes(self.bands) + maps


@dataclass(frozen=True)
class TableFile:
    """A whole table file (§6)."""

    tables: Sequence[TableSpec]
    planes: Sequence[PlaneTableSpec]
    ladder: Sequence[float] = field(default_factory=lambda: [2.0**i for i in range(8)])

    def encode(self) -> bytes:
        body = struct.pack(f"<{len(self.ladder)}f", *self.ladder)
        body += b"".join(t.encode() for t in self.tables) + b"".join(p.encode() for p in self.planes)
        head = b"NECT" + struct.pack(
            "<BBBBI", 0, len(self.planes), len(self.tables), len(self.ladder), 12 + len(body) + 4
        )
        return head + body + struct.pack("<I", slow_crc32c(head + body))


def with_crc(data: bytes) -> bytes:
    """The bytes with their last four replaced by the CRC-32C of those before."""
    return data[:-4] + struct.pack("<I", slow_crc32c(data[:-4]))


def laplace_thresholds(scale: float, n_thresholds: int) -> tuple[int, ...]:
    """Thresholds of magnitudes of a rounded Laplacian of this scale; every symbol keeps at least one slot."""
    edges = 1.0 - np.exp(-(np.arange(n_thresholds) + 0.5) / scale)
    out = np.maximum(np.round(edges * 65536).astype(int), np.arange(1, n_thresholds + 1))
    return tuple(int(t) for t in np.minimum(out, 65536 - n_thresholds + np.arange(n_thresholds)))


def packed_header(
    first_tile: int,
    count_code: int,
    *,
    kind: int = 1,
    plane: int = 0,
    layer: int = 0,
    log2_lanes: int = 0,
    offset: int = 0,
) -> int:
    """A record header (§4.1) with length and check 0, as the encoder takes it."""
    return (
        kind
        | plane << 3
        | layer << 6
        | log2_lanes << 10
        | (offset & 7) << 13
        | first_tile << 16
        | count_code << 32
    )


def split_form(record: bytes) -> tuple[int, int]:
    """The form of a coefficient record, and where in it the payload without the form begins (bitstream §5.1)."""
    return ((record[1] >> 2 & 7) << 2, 8) if record[0] & 7 == 6 else (record[8], 9)


def asked_header(record: bytes) -> int:
    """The header that the encoder is asked with for this coefficient record (§5.1): kind 1, length and check 0."""
    header = int.from_bytes(record[:5], "little")
    return header & ~(0b111 | 0b111 << 10) | 1 if header & 0b111 == 6 else header


def with_form(record: bytes) -> bytes:
    """The payload of a coefficient record with its form in front, wherever the record has it."""
    form, at = split_form(record)
    return bytes([form]) + record[at:-4]


def resealed(record: bytes) -> bytes:
    """The record with its length, check byte and CRC made right again (§4.1), after its payload was changed."""
    length = len(record) - 12 - 1
    head = record[:5] + struct.pack("<H", length)
    body = head + bytes([slow_crc8(head)]) + record[8:-4]
    return body + struct.pack("<I", slow_crc32c(body))
