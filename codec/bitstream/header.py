"""The file header (bitstream §3): what a decoder must know before it meets a record, in at most 800 bytes."""

from __future__ import annotations

import hashlib
import math
import re
import struct
from dataclasses import dataclass
from datetime import datetime

from codec.bitstream import extensions as ext
from codec.bitstream.array_shape import ArrayShape
from codec.bitstream.core import crc32c
from codec.bitstream.extensions import Extension, ExtensionNumber
from codec.bitstream.sensing_time import TIME_UNKNOWN, to_datetime
from codec.errors import Corrupt, InputError, LimitExceeded, Truncated, UnsupportedVersion
from codec.types import (
    MAX_CHANNELS,
    MAX_LAYERS,
    MAX_PLANES,
    MAX_TILES,
    MAX_TOKENS_SIDE,
    Georeference,
    PlaneKind,
    PlaneSpec,
    TileGrid,
)

# 0x89: seven-bit transfers break it; CR LF: newline translation breaks it; 0x1A: stops a listing of the file.
MAGIC = b"\x89NEC\r\n\x1a\n"
VERSION = 0
FLAG_EMBEDDED_TABLES = 1
FLAG_EMBEDDED_TRANSFORM = 8  # only beside the tables: the file needs no package
MAX_HEADER = 800  # so that a copy fits one default packet
MAX_LADDER_INDEX = 254

_FIXED = struct.Struct("<8s BBHBBH 16s Q 8s I II HH q 6d I")
_PLANE = struct.Struct("<8s BBHBB")
_CRC = struct.Struct("<I")
_FIELD_MASK = (1 << ext.FIELD_BANDS) - 1
_LENGTH_END = 12  # bytes up to and with the header length field
_SENSOR = re.compile(rb"[a-z0-9-]{1,16}\Z")
_RESERVED_FLAGS = {2: "per-symbol table indices", 4: "contexts"}
assert (_FIXED.size, _PLANE.size) == (124, 14)


@dataclass(frozen=True, slots=True)
class FileHeader:
    """Header of a `.nec` file; equal headers have equal bytes and one `file_id`.

    `extensions` is complete and in file order; a WKT in `georeference` that has no extension yet gets its own, and that of
    bands beyond the first 64 follows `band_mask`.
    Building one with illegal values raises InputError; `decode` raises by the kinds of §3 instead.
    """

    sensor: str  # 1 to 16 of a–z 0–9 -
    codec_id: bytes  # 8 bytes
    grid: TileGrid
    georeference: Georeference
    planes: tuple[PlaneSpec, ...]
    ladder_index: int
    band_mask: int = 0  # bit i: band i of the package's full list was there; 0: not said
    run: int = 0
    time_us: int = TIME_UNKNOWN  # since 1970-01-01T00:00:00Z, without leap seconds
    flags: int = 0
    extensions: tuple[Extension, ...] = ()

    def __post_init__(self) -> None:
        _require("a sensor name is 1 to 16 of a–z, 0–9 and -", self.sensor, _legal_sensor(self.sensor))
        _require("a codec id has 8 bytes", len(self.codec_id), len(self.codec_id) == 8)
        _require("a file has 1 to 8 planes", len(self.planes), 1 <= len(self.planes) <= MAX_PLANES)
        _require(
            "a ladder index lies in 0 to 254", self.ladder_index, 0 <= self.ladder_index <= MAX_LADDER_INDEX
        )
        bands = self.band_mask
        _require(f"the band mask has {ext.MAX_BANDS} bits", bands, 0 <= bands < 1 << ext.MAX_BANDS)
        _require("the run number has 32 bits", self.run, 0 <= self.run < 2**32)
        _require("the time has 64 bits", self.time_us, -(2**63) <= self.time_us < 2**63)
        _require("only flag bit 0, and bit 3 with it, are defined", self.flags, self.flags in (0, 1, 9))
        _require("scene sides have 32 bits", self.grid, max(self.grid.height, self.grid.width) < 2**32)
        cores = max(self.grid.core_height, self.grid.core_width)
        _require("a tile's core has at most 65535 pixels a side", cores, cores < 2**16)
        given = self.extensions
        object.__setattr__(
            self, "extensions", _with_wide_mask(_with_wkt(given, self.georeference), self.band_mask)
        )
        try:
            for extensions in (given, self.extensions):
                ext.check(extensions, planes=self.planes, grid=self.grid, epsg=self.georeference.epsg)
        except (Corrupt, UnsupportedVersion) as error:
            raise InputError(f"illegal header extensions: {error}") from error

    @property
    def n_tiles(self) -> int:
        return self.grid.n_tiles

    @property
    def embeds_tables(self) -> bool:
        return bool(self.flags & FLAG_EMBEDDED_TABLES)

    @property
    def is_self_contained(self) -> bool:
        """Tables and transform are in the file: no package is looked for."""
        return bool(self.flags & FLAG_EMBEDDED_TRANSFORM)

    @property
    def length(self) -> int:
        """Bytes of the whole header, extensions and CRC included."""
        return _FIXED.size + _PLANE.size * len(self.planes) + sum(e.size for e in self.extensions) + _CRC.size

    @property
    def time(self) -> datetime | None:
        return to_datetime(self.time_us)

    @property
    def source_name(self) -> str:
        """Where the scene came from; empty when the file does not say."""
        return next((e.data.decode() for e in self.extensions if e.number == ExtensionNumber.SOURCE_NAME), "")

    @property
    def array(self) -> ArrayShape | None:
        """How the tiles make up a caller's array; None when the file does not say."""
        found = (e.data for e in self.extensions if e.number == ExtensionNumber.ARRAY)
        data = next(found, None)
        return None if data is None else ArrayShape.decode(data)

    @property
    def mean_vector_payloads(self) -> dict[int, bytes]:
        """Plane → coded mean vector (see codec.bitstream.mean_vector)."""
        return {e.data[0]: e.data[1:] for e in self.extensions if e.number == ExtensionNumber.MEAN_VECTOR}

    @property
    def file_id(self) -> bytes:
        """First 8 bytes of SHA-256 over the header."""
        return hashlib.sha256(self.encode()).digest()[:8]

    def check_band_mask(self, n_bands: int, path: object = None) -> None:
        """Refuse a mask that names bands beyond the package's list of `n_bands`; raises Corrupt."""
        _legal(
            f"a band mask of {n_bands} bands", f"{self.band_mask:#x}", not self.band_mask >> n_bands, 32, path
        )

    def encode(self) -> bytes:
        """The header's bytes. Raises LimitExceeded, naming what to drop, when they are more than 800."""
        length = self.length
        if length > MAX_HEADER:
            droppable = sorted((e for e in self.extensions), key=lambda e: -e.size)
            raise LimitExceeded(
                f"the header has {length} bytes, {length - MAX_HEADER} too many",
                fix="drop or shorten " + ", ".join(f"{e.label}: {e.size} bytes" for e in droppable[:3]),
            )
        grid = self.grid
        body = _FIXED.pack(
            MAGIC, VERSION, self.flags, length, len(self.planes), self.ladder_index, 0, self.sensor.encode("ascii"),
            self.band_mask & _FIELD_MASK, self.codec_id, self.run,
            grid.height, grid.width, grid.core_height, grid.core_width, self.time_us,
            *self.georeference.transform, self.georeference.epsg,
        )  # fmt: skip
        for p in self.planes:
            body += _PLANE.pack(p.space_id, p.rows, p.cols, p.channels, p.n_layers, p.kind)
        body += ext.encode(self.extensions)
        return body + _CRC.pack(crc32c(body))

    @staticmethod
    def decode(data: bytes | bytearray | memoryview, path: object = None) -> tuple[FileHeader, int]:
        """Read the header that `data` begins with; returns it and its length.

        Raises Truncated, Corrupt or UnsupportedVersion as the table of §3 says; `path` is for the message.
        """
        view = bytes(data[:MAX_HEADER])
        length = _checked_length(view, path)
        (
            _, _, flags, _, n_planes, ladder_index, reserved, sensor, band_mask, codec_id, run,
            height, width, core_height, core_width, time_us, a, b, c, d, e, f, epsg,
        ) = _FIXED.unpack_from(view)  # fmt: skip
        if flags & ~(FLAG_EMBEDDED_TABLES | FLAG_EMBEDDED_TRANSFORM):
            names = [name for bit, name in _RESERVED_FLAGS.items() if flags & bit]
            raise UnsupportedVersion(
                f"flags {flags:#04x} ask for what version 0 does not have" + (f": {', '.join(names)}" if names else ""),
                path=path, offset=9, fix="use a newer Swathpack",
            )  # fmt: skip
        _legal("no transform without tables", flags, flags != FLAG_EMBEDDED_TRANSFORM, 9, path)
        if reserved:
            raise UnsupportedVersion(
                "a reserved field is used", path=path, offset=14, expected=0, found=reserved
            )
        _legal("at least one plane, at most 8", n_planes, 1 <= n_planes <= MAX_PLANES, 12, path)
        _legal("a ladder index of at most 254", ladder_index, ladder_index <= MAX_LADDER_INDEX, 13, path)
        name = sensor.rstrip(b"\0")
        _legal("a sensor name of a–z, 0–9 and -", sensor, bool(_SENSOR.match(name)), 16, path)
        for offset, value in ((52, height), (56, width), (60, core_height), (62, core_width)):
            _legal("at least one pixel", value, value > 0, offset, path)
        n_tiles = -(-height // core_height) * -(-width // core_width)
        _legal(f"at most {MAX_TILES} tiles", n_tiles, n_tiles <= MAX_TILES, 52, path)
        affine = (a, b, c, d, e, f)
        _legal("six finite numbers as transform", affine, all(map(math.isfinite, affine)), 72, path)
        planes = tuple(_decode_plane(view, _FIXED.size + _PLANE.size * i, path) for i in range(n_planes))
        start = _FIXED.size + _PLANE.size * n_planes
        found = ext.decode(view[start : length - _CRC.size], offset=start, path=path)
        grid = TileGrid(height, width, core_height, core_width)
        ext.check(found, planes=planes, grid=grid, epsg=epsg, path=path)
        wkt = next((e.data.decode() for e in found if e.number == ExtensionNumber.WKT2), "")
        beyond = next((e.data for e in found if e.number == ExtensionNumber.WIDE_BAND_MASK), b"")
        header = FileHeader(
            sensor=name.decode("ascii"), codec_id=codec_id, grid=grid,
            georeference=Georeference(affine, epsg, wkt), planes=planes, ladder_index=ladder_index,
            band_mask=band_mask | int.from_bytes(beyond, "little") << ext.FIELD_BANDS, run=run, time_us=time_us,
            flags=flags, extensions=found,
        )  # fmt: skip
        return header, length


def _checked_length(view: bytes, path: object) -> int:
    """Header length, once magic, version, length and CRC hold."""
    if not MAGIC.startswith(view[: len(MAGIC)]):
        raise Corrupt(
            "not a .nec file", path=path, offset=0, expected=MAGIC.hex(" "), found=view[:8].hex(" ")
        )
    if len(view) < len(MAGIC):
        raise Truncated(
            "the file ends inside its header", path=path, offset=len(view), fix="receive it again"
        )
    if len(view) > len(MAGIC) and view[8] != VERSION:
        raise UnsupportedVersion(
            f"format version {view[8]} is not known", path=path, offset=8, expected=VERSION, found=view[8],
            fix="use a newer Swathpack",
        )  # fmt: skip
    if len(view) < _LENGTH_END + 1:
        raise Truncated(
            "the file ends inside its header", path=path, offset=len(view), fix="receive it again"
        )
    length, n_planes = struct.unpack_from("<HB", view, 10)
    least = _FIXED.size + _PLANE.size * n_planes + _CRC.size
    _legal(f"a header length of {least} to {MAX_HEADER}", length, least <= length <= MAX_HEADER, 10, path)
    if len(view) < length:
        raise Truncated(
            "the file ends inside its header", path=path, offset=len(view), expected=f"{length} bytes",
            found=len(view), fix="receive it again",
        )  # fmt: skip
    (stored,) = _CRC.unpack_from(view, length - _CRC.size)
    computed = crc32c(view[: length - _CRC.size])
    if stored != computed:
        raise Corrupt(
            "the header's checksum does not match", path=path, offset=length - _CRC.size,
            expected=f"{stored:#010x}", found=f"{computed:#010x}", fix="receive the header again",
        )  # fmt: skip
    return int(length)


def _decode_plane(view: bytes, offset: int, path: object) -> PlaneSpec:
    space_id, rows, cols, channels, n_layers, kind = _PLANE.unpack_from(view, offset)
    for place, value in ((8, rows), (9, cols)):
        _legal(f"1 to {MAX_TOKENS_SIDE} tokens", value, 1 <= value <= MAX_TOKENS_SIDE, offset + place, path)
    _legal(f"1 to {MAX_CHANNELS} channels", channels, 1 <= channels <= MAX_CHANNELS, offset + 10, path)
    _legal(f"1 to {MAX_LAYERS} layers", n_layers, 1 <= n_layers <= MAX_LAYERS, offset + 12, path)
    if kind not in (PlaneKind.FLOAT, PlaneKind.INTEGER):
        raise UnsupportedVersion(f"plane kind {kind} is not known", path=path, offset=offset + 13)
    return PlaneSpec(rows, cols, channels, n_layers, PlaneKind(kind), space_id)


def _with_wkt(extensions: tuple[Extension, ...], georeference: Georeference) -> tuple[Extension, ...]:
    texts = [e.data for e in extensions if e.number == ExtensionNumber.WKT2]
    if not texts and georeference.wkt:
        own = ext.wkt_extension(georeference.wkt, epsg=georeference.epsg)
        return tuple(sorted((*extensions, own), key=lambda e: e.number))
    if texts and texts[0] != georeference.wkt.encode():
        raise InputError("the WKT extension and the georeference differ", fix="give the WKT in one of them")
    return extensions


def _with_wide_mask(extensions: tuple[Extension, ...], band_mask: int) -> tuple[Extension, ...]:
    """With what of the mask the fixed field does not hold; the mask decides, not what stood there before."""
    others = tuple(e for e in extensions if e.number != ExtensionNumber.WIDE_BAND_MASK)
    beyond = band_mask >> ext.FIELD_BANDS
    if not beyond:
        return others
    return tuple(sorted((*others, ext.wide_mask_extension(beyond)), key=lambda e: e.number))


def _legal_sensor(name: str) -> bool:
    return name.isascii() and bool(_SENSOR.match(name.encode("ascii")))


def _require(rule: str, found: object, holds: bool) -> None:
    if not holds:
        raise InputError(rule, found=found)


def _legal(rule: str, found: object, holds: bool, offset: int, path: object) -> None:
    if not holds:
        raise Corrupt("an illegal header field", path=path, offset=offset, expected=rule, found=found)
