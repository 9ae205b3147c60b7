"""Files that are refused as a whole: the header and its extensions, and what they promise."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from nec_encoder import parts
from nec_encoder.payload import TileIn, encode_payload
from nec_reference.manifest import codec_id

from nec_vectors.files import Invalid, assemble, head
from nec_vectors.packages import INTEGER_NONE, ONE, THREE, TWO, PackageOut
from nec_vectors.valid_files import one_record

ZERO = bytes.fromhex("00 01")  # a payload of package `one`: value 0
PLANE = ONE.tables.planes[0]


def vectors() -> list[Invalid]:
    """All file-level refusals."""
    return [*_cut(), *_fields(), *_planes(), *_extensions(), *_mean_vectors(), *_identities(), *_embedded()]


def _with_header(name: str, reason: str, kind: str = "corrupt", **fields: Any) -> Invalid:
    """A sound file of package `one` but for the header's fields that are given."""
    fields.setdefault("scene", (8, 8))
    needs = fields.pop("needs", "file")
    data = assemble(head(ONE, **fields), [parts.record(ZERO)])
    return Invalid(f"header-{name}", reason, ONE, data, "file", kind, needs=needs)


def _cut() -> list[Invalid]:
    whole = head(ONE, scene=(8, 8))

    def cut(name: str, reason: str, data: bytes, kind: str = "truncated") -> Invalid:
        return Invalid(name, reason, ONE, data, "file", kind, needs="file")

    return [
        cut("empty", "no byte at all: a cut file", b""),
        cut("cut-magic", "five bytes of the magic", whole[:5]),
        cut("cut-before-length", "the header ends before it says how long it is", whole[:10]),
        cut("cut-before-crc", "the header ends before its CRC", whole[:-4]),
        cut("cut-last-byte", "the header lacks its last byte", whole[:-1]),
        cut("not-a-nec-file", "three bytes that no .nec file begins with", b"\x89PN", "corrupt"),
    ]


def _fields() -> list[Invalid]:
    nan_affine = (10.0, 0.0, math.nan, 0.0, -10.0, 0.0)
    infinite = (10.0, 0.0, 0.0, 0.0, -math.inf, 0.0)
    return [
        _with_header("magic", "CR LF became LF LF", magic=bytes.fromhex("894E45430A0A1A0A")),
        _with_header("version-1", "a version from the future", "unsupported", version=1),
        _with_header("version-255", "the last version there can be", "unsupported", version=255),
        _with_header("flag-1", "bit 1: reserved for per-symbol table indices", "unsupported", flags=2),
        _with_header("flag-7", "bit 7 of the flags", "unsupported", flags=0x80),
        _with_header("flag-3-alone", "a transform in the file and no tables", flags=8),
        _with_header("length-short", "header length without room for the CRC", length=141),
        _with_header("length-zero", "header length 0", length=0),
        _with_header("length-801", "one byte more than a header may have", length=801),
        _with_header(
            "length-801-true",
            "a header that really has 801 bytes",
            extensions=parts.extension(100, bytes(801 - 142 - 3), must=False),
        ),
        _with_header("crc", "one bit of the header's CRC", crc_xor=1 << 31),
        _with_header("planes-0", "no plane", planes=()),
        _with_header("planes-9", "nine planes", planes=(PLANE,) * 9),
        _with_header("ladder-255", "ladder index 255", ladder_index=255),
        _with_header("reserved", "the reserved u16", "unsupported", reserved=0x0100),
        _with_header("sensor-upper-case", "an upper-case letter in the sensor's name", sensor=b"Sentinel2"),
        _with_header("sensor-empty", "no sensor name", sensor=b""),
        _with_header("sensor-inner-zero", "a letter behind the padding", sensor=b"landsat\0008"),
        _with_header("scene-height-0", "a scene of no rows", scene=(0, 8)),
        _with_header("scene-width-0", "a scene of no columns", scene=(8, 0)),
        _with_header("core-height-0", "a tile of no rows", core=(0, 8)),
        _with_header("core-width-0", "a tile of no columns", core=(8, 0)),
        _with_header("tiles-65537", "65,537 tiles", scene=(65537, 1), core=(1, 1)),
        _with_header(
            "tiles-2-64", "more tiles than 64 bits count", scene=(2**32 - 1, 2**32 - 1), core=(1, 1)
        ),
        _with_header("affine-nan", "a NaN in the affine transform", affine=nan_affine),
        _with_header("affine-infinite", "an infinite coefficient", affine=infinite),
        _with_header("band-12", "a band beyond the package's twelve", band_mask=1 << 12, needs="bands"),
        _with_header(
            "band-64", "band 64 of twelve", extensions=parts.extension(7, b"\x01", must=True), needs="bands"
        ),
        _with_header("band-63", "the highest bit of the band mask", band_mask=1 << 63 | 1, needs="bands"),
    ]


def _planes() -> list[Invalid]:
    def plane(name: str, reason: str, refusal: str = "corrupt", **fields: Any) -> Invalid:
        return _with_header(f"plane-{name}", reason, refusal, planes=(replace(PLANE, **fields),))

    return [
        plane("rows-0", "no token row", rows=0),
        plane("rows-65", "65 token rows", rows=65),
        plane("cols-0", "no token column", cols=0),
        plane("cols-65", "65 token columns", cols=65),
        plane("channels-0", "no channel", channels=0),
        plane("channels-4097", "4097 channels", channels=4097),
        plane("layers-0", "no layer", shift=()),
        plane("layers-17", "17 layers", shift=(0,) * 17),
        plane("kind-2", "a plane kind from the future", "unsupported", kind=2),
    ]


def _extensions() -> list[Invalid]:
    def extended(name: str, reason: str, extensions: bytes, kind: str = "corrupt", **more: Any) -> Invalid:
        data = assemble(head(ONE, scene=(8, 8), extensions=extensions, **more), [parts.record(ZERO)])
        return Invalid(f"extension-{name}", reason, ONE, data, "file", kind, needs="file")

    source = parts.extension(6, b"a", must=False)
    wkt = parts.extension(2, b"a crs", must=False)
    unknown, reserved = (parts.extension(number, b"x", must=True) for number in (42, 3))
    return [
        extended("unknown-mandatory", "number 42 must be understood", unknown, "unsupported"),
        extended("reserved-mandatory", "number 3, ground control points, is reserved", reserved, "unsupported"),
        extended("wide-optional", "a wide band mask that may be skipped", parts.extension(7, b"\x01", must=False)),
        extended("wide-empty", "a wide band mask of no bytes", parts.extension(7, b"", must=True)),
        extended("wide-last-zero", "a wide band mask that ends in zero", parts.extension(7, b"\x01\x00", must=True)),
        extended("wide-65", "a wide band mask of 65 bytes", parts.extension(7, b"\x01" * 65, must=True)),
        extended("head-overruns", "two bytes are no extension", b"\x06\x01"),
        extended("content-overruns", "an extension longer than the header", b"\x06\x05\x00abcd"),
        extended("disorder", "number 2 behind number 6", source + wkt),
        extended("repeat", "two source names", source + source),
        extended("repeat-unknown", "an unknown optional number twice", parts.extension(90, b"", must=False) * 2),
        extended("source-empty", "an empty source name", parts.extension(6, b"", must=False)),
        extended("source-129", "a source name of 129 bytes", parts.extension(6, b"a" * 129, must=False)),
        extended("source-not-utf8", "a source name in Latin-1", parts.extension(6, b"Z\xfcrich", must=False)),
        extended("source-mandatory", "a source name that must be understood", parts.extension(6, b"a", must=True)),
        extended("wkt-not-utf8", "half a character at the end of a CRS", parts.extension(2, b"x\xc3", must=True)),
        extended("wkt-optional-alone", "an optional CRS, and no EPSG code that says the same", wkt, epsg=0),
    ]  # fmt: skip


def _mean_vectors() -> list[Invalid]:
    sound = b"\x00" + encode_payload(ONE.tables, [TileIn([[3]])], e=8)
    pooled = b"\x01" + encode_payload(TWO.tables, [TileIn([[1], [0], [-1], [0]])], e=7, plane=1)
    tokens = b"\x00" + encode_payload(TWO.tables, [TileIn([[1, 0, 0, 0], [0] * 4, [0] * 4])], e=6)

    def mean(
        name: str, reason: str, *contents: bytes, package: PackageOut = ONE, must: bool = True
    ) -> Invalid:
        extensions = b"".join(parts.extension(1, content, must=must) for content in contents)
        data = head(package, scene=(8, 8), extensions=extensions)
        return Invalid(f"mean-{name}", reason, package, data, "file", "corrupt", needs="file")

    return [
        mean("optional", "a mean vector that need not be understood", sound, must=False),
        mean("empty", "a mean vector without a plane", b""),
        mean("no-payload", "a mean vector without a payload", b"\x00"),
        mean("plane-beyond", "a mean vector of plane 1 of 1", b"\x01" + sound[1:]),
        mean(
            "planes-descend", "the mean vector of plane 1 before that of plane 0", pooled, tokens, package=TWO
        ),
        mean("plane-twice", "two mean vectors of one plane", sound, sound),
        mean("integer", "a mean vector of a plane of kind integer", b"\x00" + ZERO, package=INTEGER_NONE),
        mean("tile-mask", "a mean vector whose virtual tile is masked", bytes.fromhex("00 01 01 01")),
        mean("end-state", "a mean vector's payload with a wrong end state", bytes.fromhex("00 00 02")),
        mean("left-over", "a byte behind a mean vector's payload", sound + b"\0"),
    ]


def _identities() -> list[Invalid]:
    data = assemble(head(ONE, scene=(8, 8), codec_id=bytes(8)), [parts.record(ZERO)])
    wider = replace(PLANE, channels=2)
    layered = replace(PLANE, shift=(0, 0))
    return [
        Invalid("codec-unknown", "a codec_id that the decoder lacks", ONE, data, "file", "identity", needs="identity"),
        _with_header("plane-not-the-tables", "two channels, the tables have one", "identity", planes=(wider,)),
        _with_header("layers-not-the-tables", "two layers, the tables have one", "identity", planes=(layered,)),
        _with_header("planes-not-the-tables", "two planes, the tables have one", "identity", planes=(PLANE, PLANE)),
    ]  # fmt: skip


def _embedded() -> list[Invalid]:
    """Tables that arrived whole, under the codec_id that they give, and are not sound."""

    def embedded(
        name: str, reason: str, tables: bytes, kind: str = "corrupt", cut: int | None = None
    ) -> Invalid:
        header = head(ONE, scene=(8, 8), flags=1, codec_id=codec_id(tables, ONE.transform_sha256))
        chunks = [parts.record(tables, kind=parts.TABLES)]
        if cut is not None:
            chunks = [
                parts.record(tables[:cut], kind=parts.TABLES, first_tile=0, count=2),
                parts.record(tables[cut:], kind=parts.TABLES, first_tile=1, count=3),
            ]
        return Invalid(
            f"embedded-{name}",
            reason,
            ONE,
            assemble(header, [*chunks, parts.record(ZERO)]),
            "file",
            kind,
            needs="file",
        )

    sound = ONE.tables_bytes
    other = assemble(
        head(ONE, scene=(8, 8), flags=1),
        [parts.record(THREE.tables_bytes, kind=parts.TABLES), one_record([0])],
    )
    return [
        embedded("crc", "embedded tables whose own CRC does not match", sound[:-1] + bytes([sound[-1] ^ 1])),
        embedded("version-1", "embedded tables from the future", sound[:4] + b"\x01" + sound[5:], "unsupported"),
        embedded("planes", "embedded tables of other planes than the header's", THREE.tables_bytes, "identity"),
        embedded("counts", "chunks 0 of 2 and 1 of 3", sound, cut=40),
        Invalid(
            "embedded-codec", "embedded tables that are not those of the header's codec_id",
            ONE, other, "file", "identity", needs="identity",
        ),
    ]  # fmt: skip
