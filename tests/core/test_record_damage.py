"""Damaged and hostile records: refused with the right kind and nothing lost that came before, or canonical."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
import pytest
from coding_cases import Case, cases, random_symbols, sent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_files import PlaneTableSpec, TableFile, TableSpec, resealed, slow_crc8, slow_crc32c, split_form

from _swathpack_core import TableSet, decode_records

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def of_first_record(case: Case) -> npt.NDArray[np.bool_]:
    """N×C×F: the coefficients of the first record's layer in its tiles."""
    first, count = case.headers[0] >> 16 & 0xFFFF, (case.headers[0] >> 32 & 0xFF) + 1
    tiles = np.arange(case.n_tiles)
    return ((tiles >= first) & (tiles < first + count))[:, None, None] & sent(case)[None]


def check_cleared_at_most(case: Case, record: bytes, kinds: set[str]) -> None:
    """The record, under the first record's header, is refused; what it would have set is as it was, or 0."""
    decoded = case.decode([record])
    (outcome,) = decoded.outcomes
    assert outcome is not None
    assert outcome[0] in kinds, outcome
    own = of_first_record(case)
    assert (decoded.symbols[~own] == 99).all()
    assert np.isin(decoded.symbols[own], (0, 99)).all()
    assert decoded.token_mask.all()
    assert not decoded.layers.any()


def check_untouched(case: Case, records: list[bytes], kinds: set[str]) -> None:
    """All records are refused with one of `kinds` before their payload is looked at, and nothing was written."""
    decoded = case.decode(records)
    for outcome in decoded.outcomes:
        assert outcome is not None
        assert outcome[0] in kinds, outcome
    assert (decoded.symbols == 99).all()
    assert decoded.token_mask.all()
    assert not decoded.layers.any()


@FEW
@given(cases(max_channels=4, max_tiles=3))
def test_any_truncation_is_reported_as_truncated(case: Case) -> None:
    record = case.encode()[0][:300]
    check_untouched(case, [record[:n] for n in range(len(record))], {"truncated"})


@FEW
@given(cases(max_channels=4, max_tiles=3))
def test_any_flipped_bit_is_refused(case: Case) -> None:
    record = case.encode()[0]
    flipped = []
    for bit in range(min(8 * len(record), 2400)):
        data = bytearray(record)
        data[bit // 8] ^= 1 << bit % 8
        flipped.append(bytes(data))
    # A flip in the length field breaks the check byte first: corrupt, not truncated.
    check_untouched(case, flipped, {"corrupt"})


@FEW
@given(cases(max_channels=4, max_tiles=3))
def test_bytes_behind_a_record_are_refused(case: Case) -> None:
    check_untouched(case, [case.encode()[0] + b"\0"], {"corrupt"})


def mutations() -> st.SearchStrategy[list[tuple[str, int, int]]]:
    kind = st.sampled_from(["flip", "set", "delete", "insert"])
    return st.lists(st.tuples(kind, st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=3)


def mutated(record: bytes, changes: list[tuple[str, int, int]]) -> bytes:
    payload = bytearray(record[8:-4])
    for kind, place, value in changes:
        at = place % max(1, len(payload))
        if kind == "insert" or not payload:
            payload.insert(at, value)
        elif kind == "delete" and len(payload) > 1:
            del payload[at]
        elif kind == "set":
            payload[at] = value
        else:
            payload[at] ^= 1 << value % 8
    return resealed(record[:8] + bytes(payload) + record[-4:])


@MANY
@given(cases(max_channels=4, max_tiles=3), mutations())
def test_a_mutation_with_right_checksums_is_refused_or_is_itself_canonical(
    case: Case, changes: list[tuple[str, int, int]]
) -> None:
    record = mutated(case.encode()[0], changes)
    decoded = case.decode([record])
    if decoded.outcomes[0] is not None:
        check_cleared_at_most(case, record, {"corrupt", "limit"})
        return
    case.headers = case.headers[:1]
    case.symbols = np.where(
        sent(case)[None] & (decoded.layers > 0)[:, None, None], decoded.symbols, 0
    ).astype(np.int16)
    first, count = case.headers[0] >> 16 & 0xFFFF, (case.headers[0] >> 32 & 0xFF) + 1
    case.tile_mask[:] = False
    form, at = split_form(record)
    if form & 1:
        bits = np.unpackbits(np.frombuffer(record[at:], np.uint8), bitorder="little")
        case.tile_mask[first : first + count] = bits[:count]
    if case.layer == 0:
        case.token_mask = decoded.token_mask & ~case.doubled
    else:
        case.token_mask[:] = False
    assert case.encode() == [record]


@MANY
@given(cases(max_channels=4, max_tiles=3), mutations())
def test_a_refused_record_changes_nothing_where_its_layer_came_before(
    case: Case, changes: list[tuple[str, int, int]]
) -> None:
    sound = case.encode()
    damaged = mutated(sound[0], changes)
    before, after = case.decode(sound), case.decode([*sound, damaged])
    if after.outcomes[-1] is None:
        return  # the mutation is a legal record that says something else
    np.testing.assert_array_equal(after.symbols, before.symbols)
    np.testing.assert_array_equal(after.token_mask, before.token_mask)
    np.testing.assert_array_equal(after.layers, before.layers)


@FEW
@given(cases(max_channels=4, max_tiles=5), mutations())
def test_a_refused_record_spares_those_of_its_tiles_that_came_before(
    case: Case, changes: list[tuple[str, int, int]]
) -> None:
    damaged = mutated(case.encode()[0], changes)
    own, head = of_first_record(case), case.headers[0]
    case.headers = [head & ~(0xFF << 32)]  # its first tile alone
    first = head >> 16 & 0xFFFF
    sound = case.encode()
    before, after = case.decode(sound), case.decode([*sound, damaged])
    if after.outcomes[-1] is None:
        return
    own[first] = False
    np.testing.assert_array_equal(after.symbols[~own], before.symbols[~own])
    assert np.isin(after.symbols[own], (0, 99)).all()
    np.testing.assert_array_equal(after.token_mask, before.token_mask)
    np.testing.assert_array_equal(after.layers, before.layers)


def plain_case() -> Case:
    """Two layers of one channel; record 0 of layer 0 with a few symbols."""
    cells = np.zeros((2, 1), np.uint8)
    plane = PlaneTableSpec(2, 2, 1, 2, (0, 1, 1, 1), np.array([[0], [1]], np.uint8), cells, (0, 0))
    tokens = np.zeros((4, 4), np.bool_)
    case = Case(
        TableFile([TableSpec((40000, 60000))], [plane]),
        2,
        np.zeros((4, 1, 4), np.int16),
        np.zeros(4, np.bool_),
        tokens,
        tokens,
        [1 | 1 << 16],
        0,
    )
    case.symbols[1, 0, 0] = -1
    return case


def with_field(record: bytes, first_bit: int, n_bits: int, value: int) -> bytes:
    """The record with one header field set, its check byte and CRC made right."""
    packed = int.from_bytes(record[:8], "little")
    packed = packed & ~(((1 << n_bits) - 1) << first_bit) | value << first_bit
    head = packed.to_bytes(8, "little")[:7]
    body = head + bytes([slow_crc8(head)]) + record[8:-4]
    return body + struct.pack("<I", slow_crc32c(body))


@pytest.mark.parametrize(
    ("first_bit", "n_bits", "value", "kind"),
    [
        (0, 3, 0, "corrupt"),  # padding is never a record
        (0, 3, 2, "bad-input"),  # tables, index and seal are not this function's business
        (0, 3, 3, "bad-input"),
        (0, 3, 4, "bad-input"),
        (0, 3, 5, "unsupported-version"),
        (0, 3, 7, "unsupported-version"),
        (0, 3, 1, "corrupt"),  # the record is compact, and only compact records have no form in the payload
        (10, 3, 0, "corrupt"),  # one byte of state; there are two
        (10, 3, 5, "corrupt"),  # the long form
        (3, 3, 1, "corrupt"),  # plane 1 of 1
        (6, 4, 2, "corrupt"),  # layer 2 of 2
        (13, 3, 0b101, "corrupt"),  # ladder index 2 − 3
        (16, 16, 4, "corrupt"),  # tile 4 of 4
        (32, 8, 3, "corrupt"),  # tiles 1 … 4 of 4
        (32, 8, 255, "corrupt"),
    ],
)
def test_an_illegal_header_field_is_refused_with_its_kind(
    first_bit: int, n_bits: int, value: int, kind: str
) -> None:
    case = plain_case()
    (record,) = case.encode()
    check_untouched(case, [with_field(record, first_bit, n_bits, value)], {kind})


def test_an_outcome_says_what_and_where() -> None:
    case = plain_case()
    (record,) = case.encode()
    damaged = bytearray(record)
    damaged[-1] ^= 1
    (outcome,) = case.decode([bytes(damaged)]).outcomes
    assert outcome == ("corrupt", "the record's checksum does not match", len(record) - 4)
    (outcome,) = case.decode([record[:-1]]).outcomes
    assert outcome is not None
    assert outcome[0] == "truncated"
    assert f"expected {len(record)} bytes, found {len(record) - 1}" in outcome[1]


def test_a_damaged_record_does_not_touch_its_neighbours() -> None:
    case = plain_case()
    case.headers = [1 | t << 16 for t in range(4)]
    case.symbols[:, 0, 0] = [1, -2, 3, -4]
    records = case.encode()
    records[2] = records[2][:-1] + bytes([records[2][-1] ^ 0x80])
    decoded = case.decode(records)
    assert [o and o[0] for o in decoded.outcomes] == [None, None, "corrupt", None]
    np.testing.assert_array_equal(decoded.symbols[:, 0, 0], [1, -2, 99, -4])
    np.testing.assert_array_equal(decoded.layers, [1, 1, 0, 1])


def test_a_refused_record_leaves_an_earlier_one_standing() -> None:
    case = plain_case()
    (record,) = case.encode()
    other = resealed(record[:8] + b"\x00\x00" + record[-4:])  # a state of 0
    decoded = case.decode([record, other])
    assert decoded.outcomes[0] is None
    assert decoded.outcomes[1] is not None
    assert decoded.symbols[1, 0, 0] == -1


def test_a_few_bytes_that_claim_too_many_symbols_are_refused_as_a_limit() -> None:
    # 4 channels × 4096 frequencies: 4096 tiles (code 207) are exactly 2^26 symbols, 4352 (code 208) are too many.
    cells = np.zeros((1, 4), np.uint8)
    plane = PlaneTableSpec(64, 64, 4, 1, (0,) * 4096, cells, cells, (0,), kind=1)
    n = 4352
    out = np.zeros((n, 4, 4096), np.int8)
    tokens = np.zeros((n, 4096), np.bool_)
    records = [resealed(struct.pack("<Q", 6 | code << 32) + b"\x01" + bytes(4)) for code in (207, 208)]
    outcomes = decode_records(
        TableSet(TableFile([TableSpec((60000,))], [plane]).encode()),
        records,
        0,
        n,
        tokens,
        out,
        np.ones((n, 4096), np.bool_),
        np.zeros(n, np.uint16),
    )
    assert [outcome and outcome[0] for outcome in outcomes] == [None, "limit"]


def test_a_symbol_beyond_int8_is_refused_for_an_int8_array_only() -> None:
    case = plain_case()
    case.symbols[1, 0, 0] = 128
    records = case.encode()
    assert case.decode(records).outcomes == [None]
    narrow = case.decode(records, np.int8)
    assert narrow.outcomes[0] is not None
    assert narrow.outcomes[0][0] == "bad-input"
    assert (narrow.symbols == 99).all()


@FEW
@given(st.binary(max_size=200), cases(max_channels=3, max_tiles=3))
def test_any_bytes_as_a_payload_give_an_outcome(payload: bytes, case: Case) -> None:
    record = case.encode()[0]
    decoded = case.decode([resealed(record[:8] + (payload or b"\0") + record[-4:])])
    assert decoded.outcomes[0] is None or decoded.outcomes[0][0] in {"corrupt", "limit"}


@pytest.mark.long
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), mutations())
def test_many_mutations_with_right_checksums(case: Case, changes: list[tuple[str, int, int]]) -> None:
    rng = np.random.default_rng(0)
    case.symbols = random_symbols(case, rng, 0.1, 40)
    decoded = case.decode([mutated(case.encode()[0], changes)])
    assert decoded.outcomes[0] is None or decoded.outcomes[0][0] in {"corrupt", "limit"}
