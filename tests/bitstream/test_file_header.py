"""The file header: round trip, layout, and a refusal of the right kind for every illegal value."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nec_cases import SMALL, file_headers, header

from codec.bitstream import extensions as ext
from codec.bitstream.core import crc32c
from codec.bitstream.extensions import Extension
from codec.bitstream.header import MAGIC, MAX_HEADER, FileHeader
from codec.bitstream.sensing_time import TIME_UNKNOWN, to_datetime, to_microseconds
from codec.errors import Corrupt, FormatError, InputError, LimitExceeded, Truncated, UnsupportedVersion
from codec.types import Georeference, TileGrid

PLAIN = header()


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    """`data` with other bytes at `offset` and a right CRC."""
    body = data[:offset] + value + data[offset + len(value) : -4]
    return body + struct.pack("<I", crc32c(body))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(file_headers(), st.binary(max_size=20))
def test_a_header_round_trips_whatever_follows_it(head: FileHeader, rest: bytes) -> None:
    data = head.encode()
    assert len(data) == head.length <= MAX_HEADER
    decoded, length = FileHeader.decode(data + rest)
    assert (decoded, length) == (head, len(data))
    assert decoded.encode() == data
    assert decoded.file_id == hashlib.sha256(data).digest()[:8]


def test_every_field_stands_where_the_text_says() -> None:
    head = header(
        sensor="naip", band_mask=0x0102030405060708, codec_id=b"ABCDEFGH", run=7, ladder_index=9,
        grid=TileGrid(100, 200, 16, 32), time_us=-5, georeference=Georeference((1.0, 2.0, 3.0, 4.0, 5.0, 6.0), 32719),
    )  # fmt: skip
    data = head.encode()
    assert data[:8] == bytes.fromhex("89 4E 45 43 0D 0A 1A 0A")
    assert data[8:16] == struct.pack("<BBHBBH", 0, 0, len(data), 2, 9, 0)
    assert data[16:32] == b"naip" + bytes(12)
    assert data[32:40] == bytes([8, 7, 6, 5, 4, 3, 2, 1])
    assert data[40:52] == b"ABCDEFGH" + bytes([7, 0, 0, 0])
    assert data[52:64] == struct.pack("<IIHH", 100, 200, 16, 32)
    assert data[64:124] == struct.pack("<q6dI", -5, 1, 2, 3, 4, 5, 6, 32719)
    assert data[124:138] == SMALL[0].spec(0).space_id + struct.pack("<BBHBB", 3, 2, 4, 3, 0)
    assert len(data) == 128 + 14 * 2
    assert data[-4:] == struct.pack("<I", crc32c(data[:-4]))


def test_the_essential_part_of_eight_planes_has_240_bytes() -> None:
    assert len(header(*[SMALL[1]] * 8).encode()) == 240


@pytest.mark.parametrize("cut", range(len(PLAIN.encode())))
def test_any_truncation_of_a_header_is_truncated(cut: int) -> None:
    with pytest.raises(Truncated):
        FileHeader.decode(PLAIN.encode()[:cut], "a.nec")


def test_any_flipped_bit_of_a_header_is_refused() -> None:
    data = PLAIN.encode()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            FileHeader.decode(bytes(damaged) + bytes(1000))


ILLEGAL = [
    ("version 1", 8, b"\x01", UnsupportedVersion),
    ("flag of per-symbol tables", 9, b"\x02", UnsupportedVersion),
    ("flag of contexts", 9, b"\x04", UnsupportedVersion),
    ("highest flag", 9, b"\x80", UnsupportedVersion),
    ("no plane", 12, b"\x00", Corrupt),
    ("nine planes", 12, b"\x09", Corrupt),
    ("ladder index 255", 13, b"\xff", Corrupt),
    ("reserved field", 14, b"\x01\x00", UnsupportedVersion),
    ("empty sensor", 16, bytes(16), Corrupt),
    ("capital in the sensor", 16, b"S", Corrupt),
    ("hole in the sensor", 18, b"\x00", Corrupt),
    ("height 0", 52, bytes(4), Corrupt),
    ("width 0", 56, bytes(4), Corrupt),
    ("core height 0", 60, bytes(2), Corrupt),
    ("core width 0", 62, bytes(2), Corrupt),
    ("65,537 tiles", 52, struct.pack("<IIHH", 65537, 1, 1, 1), Corrupt),
    ("2^64 tiles", 52, struct.pack("<IIHH", 2**32 - 1, 2**32 - 1, 1, 1), Corrupt),
    ("infinite affine", 72, struct.pack("<d", math.inf), Corrupt),
    ("NaN affine", 112, struct.pack("<d", math.nan), Corrupt),
    ("0 token rows", 124 + 8, b"\x00", Corrupt),
    ("65 token columns", 124 + 9, b"\x41", Corrupt),
    ("0 channels", 124 + 10, b"\x00\x00", Corrupt),
    ("4097 channels", 124 + 10, b"\x01\x10", Corrupt),
    ("0 layers", 124 + 12, b"\x00", Corrupt),
    ("17 layers", 124 + 12, b"\x11", Corrupt),
    ("plane kind 2", 124 + 13, b"\x02", UnsupportedVersion),
]


@pytest.mark.parametrize(
    ("offset", "value", "refusal"), [i[1:] for i in ILLEGAL], ids=[i[0] for i in ILLEGAL]
)
def test_an_illegal_field_is_refused_by_its_kind(offset: int, value: bytes, refusal: type[Exception]) -> None:
    with pytest.raises(refusal) as caught:
        FileHeader.decode(patched(PLAIN.encode(), offset, value), "a.nec")
    assert type(caught.value) is refusal
    assert "a.nec" in str(caught.value)


def test_65536_tiles_are_the_most() -> None:
    data = patched(PLAIN.encode(), 52, struct.pack("<IIHH", 65536 * 65535, 1, 65535, 1))
    assert FileHeader.decode(data)[0].n_tiles == 65536
    with pytest.raises(Corrupt, match="65536 tiles"):
        FileHeader.decode(patched(data, 52, struct.pack("<I", 65536 * 65535 + 1)))


@pytest.mark.parametrize("length", [0, 12, 127 + 14 * 2, 801, 65535])
def test_an_illegal_header_length_is_corrupt(length: int) -> None:
    with pytest.raises(Corrupt):
        FileHeader.decode(patched(PLAIN.encode(), 10, struct.pack("<H", length)) + bytes(65535))


def test_text_mode_damage_is_named() -> None:
    for damaged in (
        PLAIN.encode().replace(b"\r\n", b"\n"),
        b"GIF89a" + bytes(300),
        b"\x09" + PLAIN.encode()[1:],
    ):
        with pytest.raises(Corrupt, match=r"not a \.nec file"):
            FileHeader.decode(damaged)


def with_extensions(*extensions: Extension, epsg: int = 32633) -> bytes:
    """A header with these extensions as they are."""
    data = header(georeference=Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), epsg)).encode()
    middle = ext.encode(extensions)
    body = data[:10] + struct.pack("<H", len(data) + len(middle)) + data[12:-4] + middle
    return body + struct.pack("<I", crc32c(body))


EXTENSIONS = [
    ("unknown mandatory", (Extension(9, True, b""),), UnsupportedVersion),
    ("reserved mandatory", (Extension(3, True, b"x"),), UnsupportedVersion),
    ("wide band mask of nothing", (Extension(7, True, bytes(16)),), Corrupt),
    ("empty wide band mask", (Extension(7, True, b""),), Corrupt),
    ("wide band mask of 65 bytes", (Extension(7, True, b"\x01" * 65),), Corrupt),
    ("optional wide band mask", (Extension(7, False, b"\x01"),), Corrupt),
    ("disorder", (Extension(10, False, b""), Extension(9, False, b"")), Corrupt),
    ("unknown repeated", (Extension(9, False, b""), Extension(9, False, b"")), Corrupt),
    ("name repeated", (Extension(6, False, b"a"), Extension(6, False, b"a")), Corrupt),
    ("empty name", (Extension(6, False, b""),), Corrupt),
    ("name of 129 bytes", (Extension(6, False, b"a" * 129),), Corrupt),
    ("name not UTF-8", (Extension(6, False, b"\xff"),), Corrupt),
    ("mandatory name", (Extension(6, True, b"a"),), Corrupt),
    ("WKT not UTF-8", (Extension(2, False, b"\xc3"),), Corrupt),
    ("optional mean vector", (Extension(1, False, b"\x00\x00\x01"),), Corrupt),
    ("empty mean vector", (Extension(1, True, b""),), Corrupt),
    ("mean vector without payload", (Extension(1, True, b"\x00"),), Corrupt),
    ("mean vector of plane 2 of 2", (Extension(1, True, b"\x02\x00\x01"),), Corrupt),
    (
        "mean vectors in disorder",
        (Extension(1, True, b"\x01\x00\x01"), Extension(1, True, b"\x00\x00\x01")),
        Corrupt,
    ),
    (
        "mean vector twice",
        (Extension(1, True, b"\x01\x00\x01"), Extension(1, True, b"\x01\x00\x01")),
        Corrupt,
    ),
]


@pytest.mark.parametrize(
    ("extensions", "refusal"), [e[1:] for e in EXTENSIONS], ids=[e[0] for e in EXTENSIONS]
)
def test_an_illegal_extension_is_refused_by_its_kind(
    extensions: tuple[Extension, ...], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        FileHeader.decode(with_extensions(*extensions))
    with pytest.raises(InputError):
        header(extensions=extensions)


def test_a_mean_vector_of_an_integer_plane_is_corrupt() -> None:
    data = patched(with_extensions(ext.mean_vector_extension(1, b"\x00\x01")), 124 + 14 + 13, b"\x01")
    with pytest.raises(Corrupt, match="float"):
        FileHeader.decode(data)


def test_an_optional_wkt_without_epsg_code_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        FileHeader.decode(with_extensions(Extension(2, False, b"LOCAL_CS"), epsg=0))
    assert (
        FileHeader.decode(with_extensions(Extension(2, True, b"LOCAL_CS"), epsg=0))[0].georeference.wkt
        == "LOCAL_CS"
    )


@pytest.mark.parametrize("tail", [b"\x08", b"\x08\x01", b"\x08\x01\x00", b"\x08\x00\x00\x08"])
def test_an_extension_that_overruns_is_corrupt(tail: bytes) -> None:
    data = PLAIN.encode()
    body = data[:10] + struct.pack("<H", len(data) + len(tail)) + data[12:-4] + tail
    with pytest.raises(Corrupt, match="overruns"):
        FileHeader.decode(body + struct.pack("<I", crc32c(body)))


def test_the_refusal_of_an_unknown_mandatory_extension_names_its_number() -> None:
    with pytest.raises(UnsupportedVersion, match="extension 99"):
        FileHeader.decode(with_extensions(Extension(99, True, b"")))


def test_unknown_optional_extensions_are_kept_to_the_byte() -> None:
    data = with_extensions(Extension(4, False, b"rpc"), Extension(100, False, b"\x00\x01"))
    assert FileHeader.decode(data)[0].encode() == data


def test_a_header_that_is_too_long_says_what_to_drop() -> None:
    name = ext.source_name_extension("x" * 100)
    head = header(
        georeference=Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), 4326, "W" * 700), extensions=(name,)
    )
    with pytest.raises(
        LimitExceeded, match=r"extension 2 \(wkt2\): 703 bytes, extension 6 \(source name\): 103 bytes"
    ):
        head.encode()


ILLEGAL_TO_BUILD = [
    {"sensor": ""}, {"sensor": "seventeen-letters"}, {"sensor": "Naip"}, {"sensor": "é"}, {"codec_id": b"short"},
    {"planes": ()}, {"planes": (SMALL[0].spec(),) * 9}, {"ladder_index": 255}, {"ladder_index": -1},
    {"band_mask": 2**576},
    {"run": 2**32}, {"time_us": 2**63}, {"flags": 2}, {"grid": TileGrid(2**32, 1, 65536, 1)},
    {"grid": TileGrid(10, 10, 65536, 1)},
]  # fmt: skip


@pytest.mark.parametrize("fields", ILLEGAL_TO_BUILD, ids=[str(f) for f in ILLEGAL_TO_BUILD])
def test_a_header_with_an_illegal_value_cannot_be_built(fields: dict[str, object]) -> None:
    with pytest.raises(InputError):
        header(**fields)


@pytest.mark.parametrize("mask", [1 << 64, 1 << 71 | 1, 1 << 72, (1 << 140) - 1, 1 << 575, (1 << 576) - 1])
def test_a_mask_of_more_than_64_bands_round_trips(mask: int) -> None:
    there = header(band_mask=mask)
    data = there.encode()
    assert FileHeader.decode(data)[0] == there
    assert FileHeader.decode(data)[0].band_mask == mask
    assert struct.unpack_from("<Q", data, 32) == (mask & 2**64 - 1,)
    assert there.extensions[-1].data == (mask >> 64).to_bytes((mask.bit_length() - 64 + 7) // 8, "little")
    there.check_band_mask(576)
    with pytest.raises(Corrupt, match="illegal header field"):
        there.check_band_mask(mask.bit_length() - 1)


def test_another_mask_is_another_extension() -> None:
    wide = header(band_mask=1 << 100 | 1)
    assert replace(wide, band_mask=1 << 64) == header(band_mask=1 << 64)
    assert replace(wide, band_mask=1) == header(band_mask=1)


def test_a_mask_of_64_bands_needs_no_extension() -> None:
    assert header(band_mask=2**64 - 1).extensions == header().extensions


def test_a_band_mask_beyond_the_package_is_corrupt() -> None:
    header(band_mask=0xFFF).check_band_mask(12)
    with pytest.raises(Corrupt):
        header(band_mask=0x1000).check_band_mask(12)


def test_sensing_times_are_microseconds_since_1970() -> None:
    assert to_microseconds(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=timezone.utc)) == 1_000_005
    noon_in_chile = datetime(2001, 1, 1, 9, tzinfo=timezone(timedelta(hours=-3)))
    assert to_microseconds(noon_in_chile) == 978_350_400_000_000  # date -u -d 2001-01-01T12:00Z +%s
    assert to_microseconds(None) == TIME_UNKNOWN
    assert to_datetime(TIME_UNKNOWN) is None
    assert to_datetime(-1) == datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc)


def test_a_time_without_zone_or_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(InputError):
        to_microseconds(datetime(2020, 1, 1))
    with pytest.raises(InputError):
        to_datetime(2**63 - 1)


def test_the_magic_is_the_documented_one() -> None:
    assert bytes([0x89]) + b"NEC" + bytes([0x0D, 0x0A, 0x1A, 0x0A]) == MAGIC
