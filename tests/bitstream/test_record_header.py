"""The record header: tile-count codes, bit layout, legality, and single records as packets carry them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nec_cases import header

from codec.bitstream import record as rec
from codec.bitstream.core import crc8
from codec.errors import Corrupt, FormatError, InputError, Truncated, UnsupportedVersion
from codec.types import RecordHeader, RecordKind

record_headers = st.builds(
    RecordHeader,
    st.just(RecordKind.COEFFICIENTS),
    st.integers(0, 7),
    st.integers(0, 15),
    st.integers(0, 7),
    st.integers(-4, 3),
    st.integers(0, 65535),
    st.sampled_from(rec.TILE_COUNTS),
    st.integers(1, 65536),
) | st.builds(
    RecordHeader,
    st.just(RecordKind.COMPACT),
    st.integers(0, 7),
    st.integers(0, 15),
    st.just(0),
    st.integers(-4, 3),
    st.integers(0, 65535),
    st.sampled_from(rec.TILE_COUNTS),
    st.integers(1, 65536),
    st.integers(0, 7),
)


def word_of(header: RecordHeader) -> int:
    return int.from_bytes(rec.pack(header), "little")


def test_tile_count_codes_are_those_of_the_text() -> None:
    examples = {0: 1, 127: 128, 128: 136, 129: 144, 143: 256, 144: 272, 160: 544, 255: 32768}
    assert {code: rec.TILE_COUNTS[code] for code in examples} == examples
    assert len(rec.TILE_COUNTS) == 256
    assert all(
        a < b for a, b in zip(rec.TILE_COUNTS, rec.TILE_COUNTS[1:], strict=False)
    )  # one code per value


@given(st.integers(1, 70000))
def test_the_largest_writable_count_is_the_last_one_not_above(count: int) -> None:
    assert rec.largest_writable(count) == max(c for c in rec.TILE_COUNTS if c <= count)


@pytest.mark.parametrize("count", [0, -1, 129, 135, 257, 65536])
def test_other_counts_cannot_be_written(count: int) -> None:
    with pytest.raises(InputError):
        rec.tile_count_code(count)


@given(record_headers)
def test_a_record_header_round_trips(header: RecordHeader) -> None:
    packed = rec.pack(header)
    assert packed[7] == crc8(packed[:7])
    assert rec.unpack(int.from_bytes(packed, "little")) == header


def test_fields_stand_at_their_bits() -> None:
    header = RecordHeader(RecordKind.COEFFICIENTS, 5, 9, 6, -3, 0xABCD, 136, 0x1235)
    word = word_of(header)
    fields = [
        (0, 3, 1),
        (3, 3, 5),
        (6, 4, 9),
        (10, 3, 6),
        (13, 3, 0b101),
        (16, 16, 0xABCD),
        (32, 8, 128),
        (40, 16, 0x1234),
    ]
    assert [word >> bit & (1 << width) - 1 for bit, width, _ in fields] == [value for *_, value in fields]


def test_a_compact_record_has_its_form_where_others_have_lanes() -> None:
    header = RecordHeader(RecordKind.COMPACT, 5, 9, 0, -3, 0xABCD, 136, 0x1235, 6)
    of_lanes = RecordHeader(RecordKind.COEFFICIENTS, 5, 9, 6, -3, 0xABCD, 136, 0x1235)
    assert word_of(header) & ~(0xFF << 56) == (word_of(of_lanes) & ~(0xFF << 56)) + 6 - 1
    assert (header.is_coefficients, header.lanes) == (True, 1)
    assert (of_lanes.is_coefficients, of_lanes.lanes) == (True, 64)


@pytest.mark.parametrize(
    "change", [{"plane": 8}, {"layer": 16}, {"log2_lanes": 8}, {"ladder_offset": 4}, {"ladder_offset": -5},
               {"first_tile": 65536}, {"tile_count": 129}, {"payload_length": 0}, {"payload_length": 65537},
               {"state_form": 1}, {"kind": RecordKind.COMPACT, "state_form": 8},
               {"kind": RecordKind.COMPACT, "log2_lanes": 1}],
    ids=str,
)  # fmt: skip
def test_a_record_header_with_an_illegal_field_cannot_be_packed(change: dict[str, int]) -> None:
    fields = {"kind": RecordKind.COEFFICIENTS, "plane": 0, "layer": 0, "log2_lanes": 0, "ladder_offset": 0,
              "first_tile": 0, "tile_count": 1, "payload_length": 1}  # fmt: skip
    with pytest.raises(InputError):
        rec.pack(RecordHeader(**(fields | change)))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [5, 7])
def test_reserved_kinds_are_unsupported_by_number(kind: int) -> None:
    with pytest.raises(UnsupportedVersion, match=f"kind {kind}"):
        rec.unpack(kind)


@pytest.mark.parametrize("kind", [RecordKind.TABLES, RecordKind.INDEX, RecordKind.SEAL])
@pytest.mark.parametrize("bit", [3, 6, 10, 13])
def test_other_kinds_leave_the_coefficients_fields_at_zero(kind: RecordKind, bit: int) -> None:
    with pytest.raises(Corrupt):
        rec.unpack(kind | 1 << bit)


ILLEGAL_HERE = [
    ("plane", RecordHeader(RecordKind.COEFFICIENTS, 2, 0, 0, 0, 0, 1, 1)),
    ("layer", RecordHeader(RecordKind.COEFFICIENTS, 1, 1, 0, 0, 0, 1, 1)),
    ("tiles", RecordHeader(RecordKind.COEFFICIENTS, 0, 0, 0, 0, 5, 1, 1)),
    ("tiles", RecordHeader(RecordKind.COEFFICIENTS, 0, 0, 0, 0, 0, 6, 1)),
    ("plane", RecordHeader(RecordKind.COMPACT, 2, 0, 0, 0, 0, 1, 1)),
    ("layer", RecordHeader(RecordKind.COMPACT, 1, 1, 0, 0, 0, 1, 1)),
    ("tiles", RecordHeader(RecordKind.COMPACT, 0, 0, 0, 0, 5, 1, 1)),
    ("chunk", RecordHeader(RecordKind.TABLES, 0, 0, 0, 0, 3, 3, 1)),
    ("seal", RecordHeader(RecordKind.SEAL, 0, 0, 0, 0, 1, 1, 24)),
]


@pytest.mark.parametrize(("what", "record"), ILLEGAL_HERE)
def test_a_record_that_names_what_the_file_lacks_is_corrupt(what: str, record: RecordHeader) -> None:
    with pytest.raises(Corrupt, match=what):
        rec.check(record, header(tiles=5))


def test_chunk_and_part_numbers_are_no_tiles() -> None:
    rec.check(RecordHeader(RecordKind.TABLES, 0, 0, 0, 0, 7, 8, 1), header(tiles=1))
    rec.check(RecordHeader(RecordKind.INDEX, 0, 0, 0, 0, 9, 1, 8), header(tiles=1))


@given(record_headers, st.binary(min_size=1, max_size=40))
def test_a_built_record_parses(header: RecordHeader, payload: bytes) -> None:
    record = rec.build(header, payload)
    assert rec.parse(record.data) == record
    assert rec.payload(record) == payload
    assert record.header.payload_length == len(payload)


RECORD = rec.build(RecordHeader(RecordKind.COEFFICIENTS, 0, 0, 0, 0, 3, 2, 1), b"payload")


@pytest.mark.parametrize("cut", range(len(RECORD.data)))
def test_any_truncated_record_is_truncated(cut: int) -> None:
    with pytest.raises(Truncated):
        rec.parse(RECORD.data[:cut])


def test_any_flipped_bit_of_a_record_is_refused() -> None:
    for bit in range(8 * len(RECORD.data)):
        damaged = bytearray(RECORD.data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            rec.parse(bytes(damaged))


def test_bytes_behind_a_record_are_corrupt() -> None:
    with pytest.raises(Corrupt, match="behind"):
        rec.parse(RECORD.data + b"\0")
