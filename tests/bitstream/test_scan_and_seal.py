"""Finding what is intact: padding, gaps, cuts, seals and indexes, in files that were damaged, cut or appended to."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nec_cases import header

from codec.bitstream import record as rec
from codec.bitstream.reader import read_bytes
from codec.bitstream.scan import ScanResult, SealState, Stretch, scan
from codec.bitstream.writer import to_bytes
from codec.errors import Corrupt, FormatError, UnsupportedVersion
from codec.types import Record, RecordHeader, RecordKind

HEAD = header(tiles=8)
START = HEAD.length


def record(first: int, payload: bytes) -> Record:
    return rec.build(RecordHeader(RecordKind.COEFFICIENTS, 0, 0, 0, 0, first, 1, 1), payload)


RECORDS = [record(i, bytes([i + 1]) * (5 + i)) for i in range(4)]
BARE = to_bytes(HEAD, RECORDS, index=False, seal=False)
WHOLE = to_bytes(HEAD, RECORDS)


def payloads(found: ScanResult) -> list[bytes]:
    return [rec.payload(r) for r in found.of_kind(RecordKind.COEFFICIENTS)]


def test_a_sealed_file_is_sealed_and_complete() -> None:
    found = scan(WHOLE)
    assert [r.header.kind for r in found.records] == [RecordKind.COEFFICIENTS] * 4 + [
        RecordKind.INDEX,
        RecordKind.SEAL,
    ]
    assert (found.seal, found.seal_error, found.gaps, found.padding, found.index) == (
        SealState.SEALED,
        None,
        (),
        0,
        (),
    )
    assert [r.data for r in found.records[:4]] == [r.data for r in RECORDS]


def test_index_and_seal_hold_what_the_text_says() -> None:
    index, seal = scan(WHOLE).records[-2:]
    assert rec.payload(index) == b"".join(r.data[:8] for r in RECORDS)
    digest = hashlib.sha256(WHOLE[: seal.offset]).digest()[:8]
    assert rec.payload(seal) == struct.pack("<IQ", 5, seal.offset) + digest + bytes(4)


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), min_size=5, max_size=5))
def test_zero_bytes_anywhere_between_records_are_padding(zeros: list[int]) -> None:
    data = (
        BARE[:START]
        + bytes(zeros[0])
        + b"".join(r.data + bytes(n) for r, n in zip(RECORDS, zeros[1:], strict=True))
    )
    found = scan(data)
    assert payloads(found) == [rec.payload(r) for r in RECORDS]
    assert (found.padding, found.gaps) == (sum(zeros), ())


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=60), st.integers(0, 4))
def test_foreign_bytes_between_records_are_one_gap(junk: bytes, place: int) -> None:
    at = START + sum(len(r.data) for r in RECORDS[:place])
    found = scan(BARE[:at] + junk + BARE[at:])
    assert payloads(found) == [rec.payload(r) for r in RECORDS]
    left, right = len(junk) - len(junk.lstrip(b"\0")), len(junk.rstrip(b"\0"))
    assert found.gaps == ((Stretch(at + left, at + right - 1),) if left < right else ())
    assert found.padding + sum(g.size for g in found.gaps) == len(junk)


def test_any_cut_leaves_the_records_before_it() -> None:
    ends = [r.offset + len(r.data) for r in scan(WHOLE).records]
    for cut in range(START, len(WHOLE)):
        found = scan(WHOLE[:cut])
        n_whole = sum(end <= cut for end in ends)
        assert [r.data for r in found.records] == [r.data for r in scan(WHOLE).records[:n_whole]]
        assert found.seal == SealState.UNSEALED
        rest = cut - (ends[n_whole - 1] if n_whole else START)
        assert (found.cut is not None) == (rest >= 8)
        assert sum(g.size for g in found.gaps) + found.padding == rest


def test_no_flipped_bit_gives_a_record_that_was_not_written() -> None:
    written = {r.data for r in scan(WHOLE).records}
    for bit in range(8 * len(WHOLE)):
        damaged = bytearray(WHOLE)
        damaged[bit // 8] ^= 1 << bit % 8
        if bit < 8 * START:
            with pytest.raises(FormatError):
                scan(bytes(damaged))
            continue
        found = scan(bytes(damaged))
        assert {r.data for r in found.records} < written
        assert found.seal != SealState.SEALED
        assert len(found.records) + len(found.refused) == len(written) - 1 or found.seal == SealState.BROKEN


def test_a_file_that_was_appended_to_after_its_seal_is_unsealed() -> None:
    found = scan(WHOLE + record(7, b"late").data)
    assert found.seal == SealState.UNSEALED
    assert [r.header.kind for r in found.records][-2:] == [RecordKind.SEAL, RecordKind.COEFFICIENTS]
    assert scan(WHOLE + b"\0").seal == SealState.UNSEALED


def test_a_seal_breaks_when_a_record_before_it_was_removed_or_inserted() -> None:
    first = START + len(RECORDS[0].data)
    for data in (WHOLE[:START] + WHOLE[first:], WHOLE[:first] + record(6, b"new").data + WHOLE[first:]):
        found = scan(data)
        assert found.seal == SealState.BROKEN
        assert found.refused[-1].kind == Corrupt.kind
        assert found.index  # and it says how many records are listed
        assert RecordKind.SEAL not in [r.header.kind for r in found.records]


@pytest.mark.parametrize(
    ("length", "reserved"),
    [(23, b""), (25, b""), (24, b"\x01\0\0\0")],
    ids=["short", "long", "reserved field"],
)
def test_a_seal_of_another_form_is_refused(length: int, reserved: bytes) -> None:
    payload = bytes(length - len(reserved)) + reserved
    found = scan(BARE + rec.numbered(RecordKind.SEAL, 0, 1, payload).data)
    assert (found.seal, found.refused[0].kind) == (SealState.UNSEALED, Corrupt.kind)


@pytest.mark.parametrize(("count", "shift"), [(4, 1), (5, 0), (3, 0)])
def test_each_number_of_a_seal_is_checked(count: int, shift: int) -> None:
    digest = hashlib.sha256(BARE).digest()[:8]
    payload = struct.pack("<IQ", count, len(BARE) + shift) + digest + bytes(4)
    assert scan(BARE + rec.numbered(RecordKind.SEAL, 0, 1, payload).data).seal == SealState.BROKEN


def test_an_index_of_other_records_is_told() -> None:
    heads = b"".join(r.data[:8] for r in [*RECORDS[:3], record(7, b"other")])
    assert "others" in scan(BARE + rec.numbered(RecordKind.INDEX, 0, 1, heads).data).index[0]


def test_only_a_header_with_a_right_check_is_a_cut_record() -> None:
    head = bytearray(rec.pack(RecordHeader(RecordKind.COEFFICIENTS, 0, 0, 0, 0, 0, 1, 65536)))
    assert scan(BARE + bytes(head) + b"\0").cut == Stretch(len(BARE), len(BARE) + 8)
    assert scan(BARE + b"x" + bytes(head)).cut is None  # it does not begin the gap
    head[7] ^= 1
    assert scan(BARE + bytes(head)).cut is None


def test_an_index_of_no_whole_entries_is_refused_alone() -> None:
    found = scan(BARE + rec.numbered(RecordKind.INDEX, 0, 1, bytes(12)).data)
    assert [r.kind for r in found.refused] == [Corrupt.kind]
    assert len(found.records) == 4


def test_an_index_in_parts_is_checked_as_one() -> None:
    heads = b"".join(r.data[:8] for r in RECORDS)
    parts = [rec.numbered(RecordKind.INDEX, i, 1, heads[16 * i : 16 * i + 16]) for i in range(2)]
    assert scan(BARE + parts[0].data + parts[1].data).index == ()
    assert scan(BARE + parts[1].data + parts[0].data).index
    assert scan(BARE + parts[0].data).index


def raw_record(word: int, payload: bytes) -> bytes:
    """A record with any header: check byte and CRC are right."""
    word |= (len(payload) - 1) << 40
    body = word.to_bytes(8, "little")[:7]
    body += bytes([rec.crc8(body)]) + payload
    return body + struct.pack("<I", rec.crc32c(body))


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (5, UnsupportedVersion.kind), (7, UnsupportedVersion.kind),
        (6 | 7 << 3, Corrupt.kind), (6 | 255 << 32, Corrupt.kind),
        (1 | 7 << 3, Corrupt.kind), (1 | 15 << 6, Corrupt.kind), (1 | 0xFFFF << 16, Corrupt.kind),
        (1 | 255 << 32, Corrupt.kind), (2 | 1 << 16, Corrupt.kind), (3 | 1 << 32, Corrupt.kind), (4 | 1 << 10, Corrupt.kind),
    ],
)  # fmt: skip
def test_an_intact_record_with_an_illegal_field_is_refused_alone(word: int, kind: str) -> None:
    found = scan(BARE[:START] + raw_record(word, b"x" * 24) + BARE[START:])
    assert [(r.offset, r.kind) for r in found.refused] == [(START, kind)]
    assert payloads(found) == [rec.payload(r) for r in RECORDS]
    assert found.gaps == ()


def test_a_header_without_any_record_is_a_file() -> None:
    nec = read_bytes(HEAD.encode())
    assert (nec.records, nec.gaps, nec.seal) == ((), (), SealState.UNSEALED)


def test_verification_names_the_first_thing_that_is_wrong() -> None:
    read_bytes(WHOLE).check_whole()
    read_bytes(BARE).check_whole()  # unsealed is a state, not damage
    assert read_bytes(WHOLE).is_whole
    assert not read_bytes(BARE).is_whole
    flipped = bytearray(WHOLE)
    flipped[START + 9] ^= 1
    for data, words in (
        (bytes(flipped), f"byte {START}"),
        (WHOLE[:-3], "ends inside a record"),
        (BARE + raw_record(7, b"x"), "kind 7"),
        (WHOLE[:START] + WHOLE[START + len(RECORDS[0].data) :], "seal"),
    ):
        with pytest.raises(FormatError, match=words):
            read_bytes(data, "a.nec").check_whole()
        assert not read_bytes(data).is_whole
