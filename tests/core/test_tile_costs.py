"""Cost estimates by the integer recipe of bitstream §10.2, computed here with Python's own integers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from coding_cases import Case, cases, level_of
from hypothesis import given, settings
from table_files import PlaneTableSpec, TableFile, TableSpec, laplace_thresholds, packed_header

from _swathpack_core import TableSet, encode_records, tile_costs
from codec.errors import InputError


def cost(frequency: int) -> int:
    n = frequency.bit_length() - 1
    y, fraction = frequency * 2 ** (31 - n), 0
    for _ in range(8):
        y = y * y // 2**31
        digit = y >= 2**32
        if digit:
            y //= 2
        fraction = 2 * fraction + digit
    return 4096 - (256 * n + fraction)


def symbol_cost(table: TableSpec, value: int) -> int:
    edges, most = (0, *table.thresholds, 65536), len(table.thresholds)
    index = math.ceil(abs(value) / 2**table.low_bits)  # 0; 1 for 1 … 2^b; 2 for the next 2^b
    k = min(index, most)
    total = cost(edges[k + 1] - edges[k]) + (256 + 256 * table.low_bits if value else 0)
    if k == most:
        total += 256 * (2 * ((index - most + 1).bit_length() - 1) + 1)
    return total


@settings(max_examples=100, deadline=None)
@given(cases(max_channels=4, max_tiles=4))
def test_costs_are_those_of_the_recipe(case: Case) -> None:
    spec, q = case.file.planes[0], case.ladder_index + case.offset
    expected = [0] * case.n_tiles
    for channel, f in np.ndindex(spec.channels, spec.n_frequencies):
        band = spec.bands[f]
        level = level_of(case.file, 0, band, channel, q)
        if level is None or spec.layer_map[band, channel] != case.layer:
            continue
        table = case.file.tables[level]
        if table.thresholds:
            for tile in range(case.n_tiles):
                expected[tile] += symbol_cost(table, int(case.symbols[tile, channel, f]))
    costs = tile_costs(case.tables, 0, case.layer, q, case.symbols)
    assert costs.dtype == np.uint64
    assert costs.tolist() == expected


def one_channel(thresholds: tuple[int, ...], low_bits: int = 0) -> TableSet:
    cells = np.zeros((1, 1), np.uint8)
    plane = PlaneTableSpec(1, 1, 1, 1, (0,), cells, cells, (0,))
    return TableSet(TableFile([TableSpec(thresholds, low_bits=low_bits)], [plane]).encode())


def test_costs_by_hand() -> None:
    # Frequencies 32768 and 16384 cost 1 and 2 bits, the escape's 16384 two as well.
    tables = one_channel((32768, 49152))
    symbols = np.array([0, 1, -1, 2, 3, -4, 32767], np.int16).reshape(-1, 1, 1)
    bits = [1, 2 + 1, 2 + 1, 2 + 1 + 1, 2 + 1 + 3, 2 + 1 + 3, 2 + 1 + 2 * 14 + 1]
    assert tile_costs(tables, 0, 0, 0, symbols).tolist() == [256 * b for b in bits]


def test_costs_of_low_bits_by_hand() -> None:
    # As above with two low bits: 1 … 4 are index 1, 5 … 8 the escape with v = 0, 9 … 16 that with v = 1 or 2.
    tables = one_channel((32768, 49152), 2)
    symbols = np.array([0, 1, -4, 5, -8, 9, 16, 17], np.int16).reshape(-1, 1, 1)
    bits = [1, 2 + 1 + 2, 5, 5 + 1, 5 + 1, 5 + 3, 5 + 3, 5 + 5]
    assert tile_costs(tables, 0, 0, 0, symbols).tolist() == [256 * b for b in bits]


@pytest.mark.parametrize("frequency", [1, 2, 3, 1000, 32767, 32769, 46341, 65534, 65535])
def test_a_cost_is_the_logarithm_rounded_up_by_less_than_one_unit(frequency: int) -> None:
    tables = one_channel((frequency,))
    found = int(tile_costs(tables, 0, 0, 0, np.zeros((1, 1, 1), np.int16))[0])
    exact = 256 * (16 - math.log2(frequency))
    assert exact <= found + 1e-6
    assert found < exact + 1


def test_int8_symbols_cost_the_same() -> None:
    tables = one_channel((50000, 60000))
    symbols = np.arange(-127, 128, dtype=np.int8).reshape(-1, 1, 1)
    np.testing.assert_array_equal(
        tile_costs(tables, 0, 0, 0, symbols), tile_costs(tables, 0, 0, 0, symbols.astype(np.int16))
    )


def test_the_estimate_is_close_to_the_coded_size() -> None:
    rng = np.random.default_rng(3)
    n, channels = 40, 64
    cells = np.zeros((1, channels), np.uint8)
    plane = PlaneTableSpec(4, 4, channels, 1, (0,) * 16, cells, cells, (0,), kind=1)
    tables = TableSet(TableFile([TableSpec(laplace_thresholds(0.5, 6))], [plane]).encode())
    symbols = np.round(rng.laplace(0, 0.5, (n, channels, 16))).astype(np.int16)
    tokens = np.zeros((n, 16), np.bool_)
    (record,) = encode_records(
        tables,
        np.array([packed_header(0, n - 1)], np.uint64),
        0,
        symbols,
        np.zeros(n, np.bool_),
        tokens,
        tokens,
    )
    estimate = 3 + math.ceil(int(tile_costs(tables, 0, 0, 0, symbols).sum()) / 2048)
    assert abs(len(record) - 12 - estimate) <= 0.005 * estimate


@pytest.mark.parametrize(("plane", "layer", "q"), [(1, 0, 0), (0, 1, 0), (0, 0, -1), (0, 0, 8)])
def test_what_is_not_there_is_an_input_error(plane: int, layer: int, q: int) -> None:
    with pytest.raises(InputError):
        tile_costs(one_channel((1,)), plane, layer, q, np.zeros((1, 1, 1), np.int16))
