"""Records: symbols and masks come back, bytes are canonical, and both equal the independent reference's."""

from __future__ import annotations

import numpy as np
import pytest
from coding_cases import Case, cases, coded, random_symbols, sent
from hypothesis import HealthCheck, given, settings
from nec_encoder.parts import PlaneIn, TableIn, TablesIn
from nec_encoder.payload import TileIn, encode_payload
from table_files import (
    PlaneTableSpec,
    TableFile,
    TableSpec,
    laplace_thresholds,
    packed_header,
    split_form,
    with_form,
)

SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def simple_case(
    n_tiles: int,
    channels: int,
    rows: int,
    *,
    thresholds: tuple[int, ...] = (60000, 64000),
    count_code: int | None = None,
    log2_lanes: int = 0,
) -> Case:
    """One layer, one band, one table, one record over all tiles."""
    cells = np.zeros((1, channels), np.uint8)
    plane = PlaneTableSpec(rows, rows, channels, 1, (0,) * rows**2, cells, cells, (0,), kind=1)
    tokens = np.zeros((n_tiles, rows**2), np.bool_)
    header = packed_header(0, n_tiles - 1 if count_code is None else count_code, log2_lanes=log2_lanes)
    return Case(
        TableFile([TableSpec(thresholds)], [plane]),
        0,
        np.zeros((n_tiles, channels, rows**2), np.int16),
        np.zeros(n_tiles, np.bool_),
        tokens,
        tokens,
        [header],
        0,
        log2_lanes=log2_lanes,
    )


def check_round_trip(case: Case) -> list[bytes]:
    records = case.encode()
    decoded = case.decode(records)
    assert decoded.outcomes == [None] * len(records)
    written = np.broadcast_to(sent(case)[None], case.symbols.shape)
    np.testing.assert_array_equal(decoded.symbols, np.where(written, case.expected_symbols(), 99))
    np.testing.assert_array_equal(decoded.layers, np.full(case.n_tiles, 1 << case.layer))
    if case.layer == 0:
        np.testing.assert_array_equal(decoded.token_mask, case.expected_token_mask())
    else:
        assert decoded.token_mask.all(), "only layer 0 says which tokens are valid"
    return records


@SLOW
@given(cases())
def test_symbols_and_masks_come_back(case: Case) -> None:
    check_round_trip(case)


@SLOW
@given(cases())
def test_decoded_symbols_encode_to_the_same_bytes(case: Case) -> None:
    records = case.encode()
    decoded = case.decode(records)
    symbols = np.where(sent(case)[None], decoded.symbols, 0).astype(np.int16)
    assert case.encode(symbols) == records


@SLOW
@given(cases(largest=127))
def test_int8_and_int16_symbols_give_the_same_bytes_and_come_back(case: Case) -> None:
    records = case.encode()
    assert case.encode(case.symbols.astype(np.int8)) == records
    wide, narrow = case.decode(records), case.decode(records, np.int8)
    assert narrow.outcomes == [None] * len(records)
    np.testing.assert_array_equal(narrow.symbols, wide.symbols)


def reference_records(case: Case) -> list[bytes]:
    """Payloads by the reference encoder, written from the text alone."""
    spec = case.file.planes[0]
    plane = PlaneIn(
        spec.rows,
        spec.cols,
        spec.channels,
        spec.layer_shift,
        spec.bands,
        tuple(map(tuple, spec.layer_map.tolist())),
        tuple(map(tuple, spec.class_map.tolist())),
        spec.kind,
    )
    tables = TablesIn(
        tuple(case.file.ladder),
        tuple(TableIn(t.thresholds, low_bits=t.low_bits) for t in case.file.tables),
        (plane,),
    )
    payloads = []
    for header in case.headers:
        first, count = header >> 16 & 0xFFFF, (header >> 32 & 0xFF) + 1
        tiles, own = [], []
        for t in range(first, first + count):
            inside = ~case.doubled[t].reshape(spec.rows, spec.cols)
            rows, cols = np.nonzero(inside.any(axis=1))[0], np.nonzero(inside.any(axis=0))[0]
            own.append((int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1))
            masked = case.token_mask[t].reshape(spec.rows, spec.cols) & inside
            where = frozenset((int(r), int(c)) for r, c in zip(*np.nonzero(masked), strict=True))
            wholly = bool(case.tile_mask[t])
            tiles.append(TileIn(case.symbols[t].tolist(), wholly, frozenset() if wholly else where))
        payloads.append(
            encode_payload(
                tables,
                tiles,
                e=case.ladder_index + case.offset + spec.layer_shift[case.layer],
                layer=case.layer,
                lanes=1 << case.log2_lanes,
                own=own,
            )
        )
    return payloads


@SLOW
@given(cases())
def test_payloads_are_those_of_the_reference_encoder(case: Case) -> None:
    assert [with_form(record) for record in case.encode()] == reference_records(case)


@pytest.mark.parametrize("log2_lanes", range(8))
def test_every_number_of_lanes_carries_the_extreme_symbols(log2_lanes: int) -> None:
    case = simple_case(3, 131, 2, log2_lanes=log2_lanes)
    case.symbols = random_symbols(case, np.random.default_rng(log2_lanes), 0.3, 32767)
    assert case.symbols.max() == 32767
    assert case.symbols.min() == -32767
    check_round_trip(case)


@pytest.mark.parametrize("log2_lanes", [0, 6])
@pytest.mark.parametrize("channels", [1, 63, 64, 65, 4096])
def test_channel_counts_around_the_lane_count_and_the_largest(channels: int, log2_lanes: int) -> None:
    case = simple_case(1, channels, 1, log2_lanes=log2_lanes)
    case.symbols = random_symbols(case, np.random.default_rng(channels), 0.2, 500)
    check_round_trip(case)


@pytest.mark.parametrize("value", [0, 1, -1, 2, -3, 32767, -32767])
@pytest.mark.parametrize("thresholds", [(1,), (65535,), tuple(range(1, 256)), tuple(range(65281, 65536))])
def test_one_symbol_alone(value: int, thresholds: tuple[int, ...]) -> None:
    case = simple_case(1, 1, 1, thresholds=thresholds)
    case.symbols[...] = value
    check_round_trip(case)


def test_a_zero_alone_takes_one_byte_of_payload() -> None:
    # §5.1, §5.4: kind 6 with form 0 in the header, and the state 1 in its fewest bytes.
    (record,) = simple_case(1, 1, 1).encode()
    assert (record[0] & 7, record[1] >> 2 & 7, record[8:-4]) == (6, 0, b"\x01")


@pytest.mark.parametrize("log2_lanes", [0, 7])
def test_a_layer_without_a_coded_channel_has_only_its_states(log2_lanes: int) -> None:
    case = simple_case(2, 3, 2, thresholds=(), log2_lanes=log2_lanes)
    (record,) = check_round_trip(case)
    states = b"\x01" if log2_lanes == 0 else b"\x1c" + bytes([0, 0, 1, 0]) * 128
    assert record[8:-4] == states


def test_wholly_masked_tiles_have_no_symbols() -> None:
    case = simple_case(5, 4, 2)
    case.symbols[...] = 7
    case.tile_mask[:] = True
    (record,) = check_round_trip(case)
    assert record[8:-4] == bytes([0b1, 0b11111, 1])


@pytest.mark.parametrize(("n_signs", "long_form"), [(16, False), (17, True)])
def test_seventeen_signs_are_the_first_of_the_long_form(n_signs: int, long_form: bool) -> None:
    case = simple_case(1, 20, 1)
    case.symbols[0, :n_signs, 0] = -1
    (record,) = check_round_trip(case)
    assert bool(split_form(record)[0] & 16) == long_form


@pytest.mark.parametrize(("code", "count"), [(127, 128), (128, 136), (143, 256), (144, 272), (175, 1024)])
def test_coarse_tile_counts_are_coded_by_one_byte(code: int, count: int) -> None:
    case = simple_case(count, 2, 1, count_code=code)
    case.symbols = random_symbols(case, np.random.default_rng(code), 0.1, 5)
    check_round_trip(case)


def test_a_group_longer_than_the_coders_block_round_trips() -> None:
    # 128 lanes × 100 tiles × 16 frequencies are many blocks of the coder's 8192 symbols, with an odd remainder.
    for log2_lanes in (0, 2, 7):
        case = simple_case(100, 131, 4, thresholds=laplace_thresholds(0.5, 4), log2_lanes=log2_lanes)
        rng = np.random.default_rng(5)
        case.symbols = np.round(rng.laplace(0, 0.1, case.symbols.shape)).astype(np.int16)
        check_round_trip(case)


def test_records_of_one_call_do_not_depend_on_each_other() -> None:
    case = simple_case(9, 6, 2)
    case.symbols = random_symbols(case, np.random.default_rng(1), 0.4, 300)
    case.headers = [packed_header(t, 0) for t in range(9)]
    records = case.encode()
    for tile, record in enumerate(records):
        case.headers = [packed_header(tile, 0)]
        assert case.encode() == [record]
    decoded = case.decode(records[::-2])
    np.testing.assert_array_equal(decoded.symbols[::2], case.symbols[::2])
    np.testing.assert_array_equal(decoded.layers, [1, 0] * 4 + [1])


def test_a_case_strategy_covers_what_it_promises() -> None:
    """The strategy is part of the tests: both coded and silent coefficients must occur in its cases."""
    seen = set()

    @settings(max_examples=60, database=None, deadline=None)
    @given(cases())
    def collect(case: Case) -> None:
        seen.add(("silent", bool((sent(case) & ~coded(case)).any())))
        seen.add(("coded", bool(coded(case).any())))
        seen.add(("masked", bool(case.tile_mask.any())))
        seen.add(("doubled", bool(case.doubled.any())))

    collect()
    assert seen >= {
        (name, flag) for name in ("silent", "coded", "masked", "doubled") for flag in (True, False)
    }
