"""Round trips over wide shapes: every back end writes the same bytes, and each reads what any wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from array_forms import ISAS, using
from coding_cases import Case, cases, random_symbols, sent
from hypothesis import HealthCheck, given, settings
from table_files import PlaneTableSpec, TableFile, TableSpec, laplace_thresholds, packed_header

FULL = tuple(range(1, 256))  # K = 255
EXTREMES = [(1,), (65535,), (32768,), (1, 65535), FULL, tuple(65536 - t for t in reversed(FULL))]
SOME = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(case: Case, dtype: Any) -> list[bytes]:
    """Encoded by every back end, decoded by every back end."""
    symbols = case.symbols.astype(dtype)
    wanted = np.where(sent(case)[None], case.expected_symbols(), 99)
    written = []
    for name in ISAS:
        with using(name):
            written.append(case.encode(symbols))
    assert all(records == written[0] for records in written), f"not the same bytes on {ISAS}"
    for name in ISAS:
        with using(name):
            decoded = case.decode(written[0], dtype)
        assert decoded.outcomes == [None] * len(case.headers), name
        np.testing.assert_array_equal(decoded.symbols, wanted, err_msg=name)
        if case.layer == 0:
            np.testing.assert_array_equal(decoded.token_mask, case.expected_token_mask(), err_msg=name)
    return written[0]


@SOME
@given(cases(max_channels=140, max_tiles=3))
def test_int16_symbols_come_back(case: Case) -> None:
    check(case, np.int16)


@SOME
@given(cases(max_channels=140, max_tiles=3, largest=127))
def test_int8_symbols_come_back(case: Case) -> None:
    check(case, np.int8)


def plane_of(
    channels: int, tokens: int, n: int, thresholds: tuple[int, ...], log2_lanes: int, low_bits: int = 0
) -> Case:
    """One band, one layer, one table, one record over all tiles; no tile and no record where n is 0."""
    cells = np.zeros((1, channels), np.uint8)
    plane = PlaneTableSpec(1, tokens, channels, 1, (0,) * tokens, cells, cells, (0,), kind=1)
    mask = np.zeros((n, tokens), np.bool_)
    symbols = np.zeros((n, channels, tokens), np.int16)
    headers = [packed_header(0, n - 1, log2_lanes=log2_lanes)] if n else []
    return Case(
        TableFile([TableSpec(thresholds, low_bits=low_bits)], [plane]),
        0, symbols, np.zeros(n, np.bool_), mask, mask, headers, 0, log2_lanes=log2_lanes,
    )  # fmt: skip


@pytest.mark.parametrize("log2_lanes", range(8))
@pytest.mark.parametrize("thresholds", EXTREMES)
@pytest.mark.parametrize("largest", [0, 1, 254, 255, 256, 32767])
def test_extreme_tables_and_symbols_come_back(
    log2_lanes: int, thresholds: tuple[int, ...], largest: int
) -> None:
    case = plane_of(37, 3, 4, thresholds, log2_lanes)
    rng = np.random.default_rng(largest)
    case.symbols[...] = rng.choice([-largest, 0, largest], case.symbols.shape)
    check(case, np.int16)


LOW = [
    ((2,), 1),  # a magnitude with one slot
    ((65534,), 1),
    ((32768,), 8),
    (tuple(range(256, 128 * 256, 256)), 8),  # K = 127, up to 32512
    (tuple(range(128, 256 * 128, 128)), 7),  # K = 255, up to 32640
]


@pytest.mark.parametrize("log2_lanes", range(8))
@pytest.mark.parametrize(("thresholds", "low_bits"), LOW)
def test_low_bits_come_back_at_the_borders_of_indices(
    log2_lanes: int, thresholds: tuple[int, ...], low_bits: int
) -> None:
    case = plane_of(37, 3, 4, thresholds, log2_lanes, low_bits)
    most = len(thresholds) << low_bits
    borders = {0, 1, 1 << low_bits, (1 << low_bits) + 1, most - 1, most, most + 1, 32766, 32767}
    values = sorted(m * sign for m in borders if m <= 32767 for sign in (-1, 1))
    case.symbols[...] = np.random.default_rng(low_bits).choice(values, case.symbols.shape)
    check(case, np.int16)


@pytest.mark.parametrize("log2_lanes", [0, 3, 6])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_values_of_symbols_with_low_bits_are_those_of_their_magnitudes(log2_lanes: int, dtype: Any) -> None:
    case = plane_of(64, 3, 4, tuple(range(1024, 65536, 1024)), log2_lanes, low_bits=3)  # K = 63
    magnitudes = np.random.default_rng(4).integers(-700, 701, case.symbols.shape)
    case.symbols[...] = magnitudes
    records = case.encode(case.symbols)
    step, table = case.file.ladder[0], case.file.tables[0]
    size = np.abs(magnitudes)
    expected = np.sign(magnitudes) * step * np.where(size == 1, table.r1, size + table.r2) * (size > 0)
    for name in ISAS:
        with using(name):
            decoded = case.decode(records, dtype)
        assert decoded.outcomes == [None] * len(case.headers), name
        np.testing.assert_array_equal(decoded.symbols, expected.astype(dtype), err_msg=name)


@pytest.mark.parametrize("log2_lanes", range(8))
@pytest.mark.parametrize("tokens", [1, 2])
def test_4096_channels_of_few_tokens_come_back(log2_lanes: int, tokens: int) -> None:
    case = plane_of(4096, tokens, 1, laplace_thresholds(1.0, 9), log2_lanes)
    case.symbols = random_symbols(case, np.random.default_rng(tokens), 0.4, 2000)
    check(case, np.int16)


@pytest.mark.parametrize("log2_lanes", range(8))
def test_one_channel_of_many_tiles_comes_back(log2_lanes: int) -> None:
    case = plane_of(1, 5, 100, laplace_thresholds(1.0, 9), log2_lanes)
    case.symbols = random_symbols(case, np.random.default_rng(9), 0.6, 2000)
    check(case, np.int16)


@pytest.mark.parametrize("log2_lanes", range(8))
@pytest.mark.parametrize("value", [0, 1, -1, 5, -32767])
def test_one_symbol_comes_back_on_any_number_of_lanes(log2_lanes: int, value: int) -> None:
    case = plane_of(1, 1, 1, (40000, 60000), log2_lanes)
    case.symbols[...] = value
    check(case, np.int16)


@pytest.mark.parametrize("name", ISAS)
def test_no_tile_and_no_record_is_no_record(name: str) -> None:
    with using(name):
        assert plane_of(3, 2, 0, (40000,), 0).encode() == []
        case = plane_of(3, 2, 2, (40000,), 0)
        case.headers = []
        assert case.encode() == []
        decoded = case.decode([])
    assert decoded.outcomes == []
    assert (decoded.symbols == 99).all()
    assert not decoded.layers.any()
