"""The table file, `tables.bin` (§6)."""

from __future__ import annotations

import math
import struct
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from nec_reference.checks import crc32c
from nec_reference.plane import KIND_FLOAT, KIND_INTEGER, Plane
from nec_reference.refusals import Corrupt, Identity, Unsupported

MAGIC = b"NECT"
MAX_BYTES = 131072
NEVER_SENT = 255
MAX_MAGNITUDE = 32767


@dataclass(frozen=True)
class Table:
    """One integer table: thresholds T_1 … T_K, reconstruction points and dead zone."""

    thresholds: tuple[int, ...]
    r1: float
    r2: float
    theta: float
    low_bits: int = 0

    @property
    def escape(self) -> int:
        """K: the symbol that is the escape."""
        return len(self.thresholds)

    def find(self, slot: int) -> tuple[int, int, int]:
        """The symbol k with T_k <= slot < T_(k+1), its T_k, and its frequency."""
        k = bisect_right(self.thresholds, slot)
        low = self.thresholds[k - 1] if k else 0
        high = self.thresholds[k] if k < len(self.thresholds) else 65536
        return k, low, high - low


@dataclass(frozen=True)
class TablePlane:
    """What the table file says of one plane."""

    rows: int
    cols: int
    channels: int
    layers: int
    kind: int
    layer_shift: tuple[int, ...]
    band_of: tuple[int, ...]  # frequency -> band
    layer_map: tuple[bytes, ...]  # band -> channel -> layer
    class_map: tuple[bytes, ...]  # band -> channel -> class

    @property
    def bands(self) -> int:
        return len(self.layer_map)

    def frequencies(self, band: int) -> list[int]:
        return [f for f, of in enumerate(self.band_of) if of == band]


@dataclass(frozen=True)
class Tables:
    """A whole table file."""

    ladder: tuple[float, ...]
    tables: tuple[Table, ...]
    planes: tuple[TablePlane, ...]

    def level(self, plane: int, band: int, channel: int, e: int) -> int:
        return max(0, min(self.planes[plane].class_map[band][channel] - e, len(self.tables) - 1))


class _Reader:
    """Takes fields one after the other; a field that is not there makes the file corrupt."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        piece = self.data[self.position : self.position + count]
        if len(piece) < count:
            raise Corrupt("the table file's fields overrun its length")
        self.position += count
        return piece

    def unpack(self, form: str) -> tuple[float, ...]:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def number(self, form: str) -> int:
        return int(self.unpack(form)[0])


def decode_tables(data: bytes) -> Tables:
    """Decode and validate a whole table file: magic, version, length, CRC; then the fields in order."""
    if data[:4] != MAGIC:
        raise Corrupt("not a table file: wrong magic")
    if len(data) < 16:
        raise Corrupt(f"a table file of {len(data)} bytes")
    if data[4] != 0:
        raise Unsupported(f"table file version {data[4]}")
    if len(data) > MAX_BYTES:
        raise Corrupt(f"a table file of {len(data)} bytes")
    (length,) = struct.unpack_from("<I", data, 8)
    if length != len(data):
        raise Corrupt(f"the table file has {len(data)} bytes and names {length}")
    (stored,) = struct.unpack_from("<I", data, length - 4)
    if crc32c(data[: length - 4]) != stored:
        raise Corrupt("the table file's CRC does not match")

    reader = _Reader(data[: length - 4])
    reader.take(5)
    n_planes, n_tables, n_ladder = (reader.number("B") for _ in range(3))
    reader.take(4)
    if not 1 <= n_planes <= 8 or not 1 <= n_tables <= 128 or n_ladder < 1:
        raise Corrupt(f"{n_planes} planes, {n_tables} tables, a ladder of {n_ladder}")
    ladder = reader.unpack(f"{n_ladder}f")
    if not all(math.isfinite(step) and step > 0 for step in ladder):
        raise Corrupt("a step width is not a positive finite number")
    if any(b <= a for a, b in pairwise(ladder)):
        raise Corrupt("the ladder does not increase")
    tables = tuple(_decode_table(reader) for _ in range(n_tables))
    planes = tuple(_decode_plane(reader) for _ in range(n_planes))
    if reader.position != length - 4:
        raise Corrupt("bytes are left over behind the last plane")
    return Tables(ladder, tables, planes)


def _decode_table(reader: _Reader) -> Table:
    n_thresholds = reader.number("B")
    low_bits = reader.number("B")
    if low_bits > 8 or (low_bits and not n_thresholds) or n_thresholds << low_bits > MAX_MAGNITUDE:
        raise Corrupt(f"{low_bits} low bits with {n_thresholds} thresholds")
    if reader.number("H"):
        raise Unsupported("a table's reserved field is not zero")
    r1, r2, theta = reader.unpack("3f")
    # A NaN makes every comparison false.
    if not (0 < r1 <= 2 and -1 <= r2 <= 1):
        raise Corrupt(f"reconstruction points {r1}, {r2}")
    if not 0 <= theta <= 0.5:
        raise Corrupt(f"dead zone {theta}")
    thresholds = tuple(reader.number("H") for _ in range(n_thresholds))
    if any(b <= a for a, b in pairwise((0, *thresholds))):
        raise Corrupt("thresholds do not increase from 1 on")
    if any(t % (1 << low_bits) for t in thresholds):
        raise Corrupt(f"a threshold is no multiple of {1 << low_bits}")
    return Table(thresholds, r1, r2, theta, low_bits)


def _decode_plane(reader: _Reader) -> TablePlane:
    rows, cols, channels, layers, bands, kind, reserved = (reader.number(form) for form in "BBHBBBB")
    if not (1 <= rows <= 64 and 1 <= cols <= 64 and 1 <= channels <= 4096 and 1 <= layers <= 16):
        raise Corrupt(f"a plane of {rows}x{cols} tokens, {channels} channels, {layers} layers")
    if not 1 <= bands <= rows * cols:
        raise Corrupt(f"{bands} bands of {rows * cols} frequencies")
    if kind not in (KIND_FLOAT, KIND_INTEGER):
        raise Unsupported(f"plane kind {kind}")
    if reserved:
        raise Unsupported("a plane's reserved field is not zero")
    layer_shift = tuple(reader.number("b") for _ in range(layers))
    band_of = tuple(reader.take(rows * cols))
    if set(band_of) != set(range(bands)):
        raise Corrupt("a band that does not occur, or one that is not there")
    if kind == KIND_FLOAT and [f for f, band in enumerate(band_of) if band == 0] != [0]:
        raise Corrupt("frequency 0 is not alone in band 0")
    layer_map = tuple(reader.take(channels) for _ in range(bands))
    if any(layer >= layers and layer != NEVER_SENT for row in layer_map for layer in row):
        raise Corrupt("the layer map names a layer that is not there")
    class_map = tuple(reader.take(channels) for _ in range(bands))
    return TablePlane(rows, cols, channels, layers, kind, layer_shift, band_of, layer_map, class_map)


def check_against_header(tables: Tables, planes: tuple[Plane, ...]) -> None:
    """The header's planes MUST equal the tables' (§3.2); a difference is an identity refusal."""
    named = [(p.rows, p.cols, p.channels, p.layers, p.kind) for p in planes]
    have = [(p.rows, p.cols, p.channels, p.layers, p.kind) for p in tables.planes]
    if named != have:
        raise Identity(f"the file's planes {named} are not the tables' {have}")
