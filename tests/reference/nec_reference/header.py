"""The file header (§3), its planes (§3.2) and extensions (§3.3)."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass

from nec_reference.array import Array, check_array, decode_array
from nec_reference.checks import crc32c
from nec_reference.plane import KIND_FLOAT, KIND_INTEGER, Plane
from nec_reference.refusals import Corrupt, Truncated, Unsupported

MAGIC = bytes.fromhex("89 4E 45 43 0D 0A 1A 0A")
MAX_HEADER = 800
MAX_TILES = 65536

# (offset, struct format, field), in the order of the text's table; planes and extensions follow at byte 124.
FIELDS = (
    (0, "8s", "magic"),
    (8, "B", "version"),
    (9, "B", "flags"),
    (10, "H", "header length"),
    (12, "B", "P"),
    (13, "B", "ladder index"),
    (14, "H", "reserved"),
    (16, "16s", "sensor"),
    (32, "Q", "band mask"),
    (40, "8s", "codec_id"),
    (48, "I", "run"),
    (52, "I", "scene height"),
    (56, "I", "scene width"),
    (60, "H", "core height"),
    (62, "H", "core width"),
    (64, "q", "time"),
    (72, "6d", "affine"),
    (120, "I", "EPSG"),
)
PLANES_OFFSET = 124

# (offset in the plane, struct format, field)
PLANE_FIELDS = (
    (0, "8s", "space_id"),
    (8, "B", "token rows"),
    (9, "B", "token columns"),
    (10, "H", "channels"),
    (12, "B", "layers"),
    (13, "B", "kind"),
)
PLANE_BYTES = 14

FLAG_EMBEDDED_TABLES = 1
FLAG_EMBEDDED_TRANSFORM = 8
MEAN_VECTOR, CRS_WKT2, SOURCE_NAME, WIDE_BAND_MASK, ARRAY = 1, 2, 6, 7, 8


@dataclass(frozen=True)
class Header:
    """Every field of §3, plus what the extensions said."""

    length: int
    flags: int
    ladder_index: int
    sensor: str
    band_mask: int
    codec_id: bytes
    run: int
    height: int
    width: int
    core_height: int
    core_width: int
    time: int
    affine: tuple[float, ...]
    epsg: int
    planes: tuple[Plane, ...]
    mean_vectors: dict[int, bytes]  # plane -> payload
    wkt: str | None
    source_name: str | None
    skipped_extensions: tuple[int, ...]  # unknown optional numbers
    array: Array | None
    file_id: bytes

    @property
    def tile_rows(self) -> int:
        return -(-self.height // self.core_height)

    @property
    def tile_cols(self) -> int:
        return -(-self.width // self.core_width)

    @property
    def n_tiles(self) -> int:
        return self.tile_rows * self.tile_cols

    @property
    def embeds_tables(self) -> bool:
        return bool(self.flags & FLAG_EMBEDDED_TABLES)

    @property
    def self_contained(self) -> bool:
        return bool(self.flags & FLAG_EMBEDDED_TRANSFORM)


def decode_header(data: bytes) -> Header:
    """Decode the header at the beginning of a file.

    Checks in the text's order: magic, version, length, CRC; then the fields, which only then mean anything.
    """
    if data[:8] != MAGIC[: len(data)]:
        raise Corrupt("not a .nec file: wrong magic")
    if len(data) < 13:
        raise Truncated(f"the header ends after {len(data)} bytes")
    if data[8] != 0:
        raise Unsupported(f"version {data[8]}")
    n_planes = data[12]
    (length,) = struct.unpack_from("<H", data, 10)
    if not 1 <= n_planes <= 8:
        raise Corrupt(f"{n_planes} planes")
    if not PLANES_OFFSET + PLANE_BYTES * n_planes + 4 <= length <= MAX_HEADER:
        raise Corrupt(f"header length {length} with {n_planes} planes")
    if len(data) < length:
        raise Truncated(f"the header ends after {len(data)} of {length} bytes")
    (stored,) = struct.unpack_from("<I", data, length - 4)
    if crc32c(data[: length - 4]) != stored:
        raise Corrupt("the header's CRC does not match")

    field = {
        name: struct.unpack_from("<" + form, data, offset) for offset, form, name in FIELDS
    }  # every value a tuple
    (flags,) = field["flags"]
    (ladder_index,) = field["ladder index"]
    (height,), (width,) = field["scene height"], field["scene width"]
    (core_height,), (core_width,) = field["core height"], field["core width"]
    affine = field["affine"]
    if flags & ~(FLAG_EMBEDDED_TABLES | FLAG_EMBEDDED_TRANSFORM):
        raise Unsupported(f"header flags {flags:#04x}")
    if flags == FLAG_EMBEDDED_TRANSFORM:
        raise Corrupt("a transform in the file and no tables")
    if ladder_index == 255:
        raise Corrupt("ladder index 255")
    if field["reserved"] != (0,):
        raise Unsupported("the reserved header field is not zero")
    if 0 in (height, width, core_height, core_width):
        raise Corrupt("a scene or a tile of no pixels")
    if -(-height // core_height) * -(-width // core_width) > MAX_TILES:
        raise Corrupt("more than 65536 tiles")
    if not all(math.isfinite(value) for value in affine):
        raise Corrupt("the affine transform is not finite")
    (epsg,) = field["EPSG"]
    planes = tuple(_decode_plane(data, PLANES_OFFSET + PLANE_BYTES * index) for index in range(n_planes))
    extensions = data[PLANES_OFFSET + PLANE_BYTES * n_planes : length - 4]
    mean_vectors, wkt, source_name, skipped, beyond, array = _decode_extensions(extensions, planes, epsg)
    if array is not None:
        check_array(array, planes, (height, width), (core_height, core_width))
    return Header(
        length=length,
        flags=flags,
        ladder_index=ladder_index,
        sensor=_decode_sensor(field["sensor"][0]),
        band_mask=field["band mask"][0] + (beyond << 64),
        codec_id=field["codec_id"][0],
        run=field["run"][0],
        height=height,
        width=width,
        core_height=core_height,
        core_width=core_width,
        time=field["time"][0],
        affine=affine,
        epsg=epsg,
        planes=planes,
        mean_vectors=mean_vectors,
        wkt=wkt,
        source_name=source_name,
        skipped_extensions=skipped,
        array=array,
        file_id=hashlib.sha256(data[:length]).digest()[:8],
    )


def _decode_sensor(raw: bytes) -> str:
    name = raw.rstrip(b"\0")
    if not name or any(byte not in b"abcdefghijklmnopqrstuvwxyz0123456789-" for byte in name):
        raise Corrupt(f"sensor name {raw!r}")
    return name.decode("ascii")


def _decode_plane(data: bytes, start: int) -> Plane:
    space_id, rows, cols, channels, layers, kind = (
        struct.unpack_from("<" + form, data, start + offset)[0] for offset, form, _ in PLANE_FIELDS
    )
    if not (1 <= rows <= 64 and 1 <= cols <= 64):
        raise Corrupt(f"a plane of {rows}x{cols} tokens")
    if not 1 <= channels <= 4096:
        raise Corrupt(f"a plane of {channels} channels")
    if not 1 <= layers <= 16:
        raise Corrupt(f"a plane of {layers} layers")
    if kind not in (KIND_FLOAT, KIND_INTEGER):
        raise Unsupported(f"plane kind {kind}")
    return Plane(space_id, rows, cols, channels, layers, kind)


def _decode_extensions(
    data: bytes, planes: tuple[Plane, ...], epsg: int
) -> tuple[dict[int, bytes], str | None, str | None, tuple[int, ...], int, Array | None]:
    mean_vectors: dict[int, bytes] = {}
    wkt: str | None = None
    source_name: str | None = None
    skipped: list[int] = []
    beyond = 0
    array: Array | None = None
    before = -1
    position = 0
    while position < len(data):
        if position + 3 > len(data):
            raise Corrupt("an extension's head overruns the header")
        kind, length = struct.unpack_from("<BH", data, position)
        content = data[position + 3 : position + 3 + length]
        if len(content) < length:
            raise Corrupt("an extension overruns the header")
        position += 3 + length
        must, number = bool(kind & 0x80), kind & 0x7F
        if number < before or (number == before and number != MEAN_VECTOR):
            raise Corrupt(f"extension {number} after extension {before}")
        before = number
        if number == MEAN_VECTOR:
            if not must:
                raise Corrupt("the mean vector is marked optional")
            if not content or content[0] >= len(planes):
                raise Corrupt("the mean vector names no plane of this file")
            if mean_vectors and content[0] <= max(mean_vectors):
                raise Corrupt("mean vectors are not in ascending order of planes")
            if planes[content[0]].kind != KIND_FLOAT:
                raise Corrupt("a mean vector of a plane of kind integer")
            mean_vectors[content[0]] = content[1:]
        elif number == CRS_WKT2:
            if not must and epsg == 0:
                raise Corrupt("the CRS is marked optional, and there is no EPSG code that says the same")
            wkt = _utf8(content)
        elif number == SOURCE_NAME:
            if must:
                raise Corrupt("the source name is marked mandatory")
            if not 1 <= length <= 128:
                raise Corrupt(f"a source name of {length} bytes")
            source_name = _utf8(content)
        elif number == WIDE_BAND_MASK:
            if not must:
                raise Corrupt("the wide band mask is marked optional")
            if not 1 <= length <= 64 or content[-1] == 0:
                raise Corrupt(f"a wide band mask of {length} bytes")
            beyond = sum(byte << 8 * i for i, byte in enumerate(content))
        elif number == ARRAY:
            if must:
                raise Corrupt("the array extension is marked mandatory")
            array = decode_array(content)
        elif must:
            raise Unsupported(f"extension {number} must be understood")
        else:
            skipped.append(number)
    return mean_vectors, wkt, source_name, tuple(skipped), beyond, array


def _utf8(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise Corrupt("an extension's text is not UTF-8") from None
