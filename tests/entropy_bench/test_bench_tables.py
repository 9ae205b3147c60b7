"""Tables, ideal bits and the coder of the entropy benchmark."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from benchmarks.entropy import ideal, latents, plane_coder, rates, static_tables
from benchmarks.entropy.missing import Missing
from benchmarks.entropy.plane_coder import OVERHEAD, PlaneCoder
from codec.bitstream.core import TableSet, tile_costs
from codec.transform.tables import Level
from codec.types import PlaneKind


def test_magnitudes_cost_what_the_format_says() -> None:
    """T_1 = 32768, T_2 = 49152: 0 costs 1 bit, ±1 2 + sign, then escapes of 2 + sign + 1, 3, 3, 5 bits."""
    bits = ideal.magnitude_bits(Level((32_768, 49_152), 1.0, 0.0), 6)
    assert bits.tolist() == [1, 3, 4, 6, 6, 8]
    assert ideal.magnitude_bits(Level((), 1.0, 0.0), 2).tolist() == [0, math.inf]


@pytest.mark.parametrize("name", ["dense", "sparse"])
def test_ideal_bits_agree_with_the_cores_costs(name: str) -> None:
    drawn = latents.make(name, 3, channels=40)
    tables = static_tables.fit(drawn.frequencies, rows=14, cols=14)
    symbols = np.ascontiguousarray(drawn.symbols.transpose(0, 2, 1))
    costs = tile_costs(TableSet(tables.encode()), 0, 0, 0, symbols) / 256
    # The core rounds each symbol's cost up by less than 1/256 bit.
    mine = ideal.static_bits_of_tiles(tables, symbols)
    assert (mine <= costs + 1e-6).all()
    assert (costs - mine < symbols[0].size / 256).all()


def test_shared_tables_are_the_best_way_to_share() -> None:
    frequencies = latents.channel_frequencies(latents.DENSITIES["dense"], 6)
    p = static_tables.folded(frequencies)

    def bits(groups: list[list[int]]) -> float:
        total = 0.0
        for group in groups:
            mean = p[group].mean(axis=0)
            total -= len(group) * float((mean[mean > 0] * np.log2(mean[mean > 0])).sum())
        return total

    everything = [
        [list(range(a, b)) for a, b in itertools.pairwise((0, *cut, 6))]
        for cut in itertools.combinations(range(1, 6), 2)
    ]
    chosen = [list(range(6))[part] for part in static_tables._share(p, 3)]
    assert len(chosen) == 3
    assert bits(chosen) == pytest.approx(min(map(bits, everything)))


@pytest.mark.parametrize("name", ["dense", "sparse"])
def test_128_tables_cost_less_than_a_thousandth_of_the_bytes(name: str) -> None:
    drawn = latents.make(name, 2)
    tables = static_tables.fit(drawn.frequencies, rows=14, cols=14)
    assert len(tables.levels) <= 128
    static = ideal.static_bits(tables, drawn.symbols.transpose(0, 2, 1))
    assert 1 <= static / drawn.cross_entropy_bits() < 1.001


def test_a_channel_with_one_possible_value_has_no_threshold() -> None:
    drawn = latents.make("sparse", 1)
    tables = static_tables.fit(drawn.frequencies, rows=14, cols=14)
    levels = [tables.levels[c] for c in tables.planes[0].class_map[0]]
    dead = drawn.frequencies[:, 60] == 65536
    assert dead.any()
    assert [not level.thresholds for level in levels] == dead.tolist()


@pytest.mark.parametrize("kind", list(PlaneKind))
@pytest.mark.parametrize("side", [1, 3])
def test_records_give_all_symbols_back_at_every_alignment(kind: PlaneKind, side: int) -> None:
    drawn = latents.make("dense", 3, channels=50, tokens=side * side)
    tables = static_tables.fit(drawn.frequencies, rows=side, cols=side, kind=kind)
    coder = PlaneCoder(tables, 3)
    records = coder.check(np.ascontiguousarray(drawn.symbols.transpose(0, 2, 1)))
    payload = sum(map(len, records)) - OVERHEAD * len(records)
    assert payload * 8 >= ideal.static_bits(tables, drawn.symbols.transpose(0, 2, 1))


def test_a_coder_that_forgets_a_symbol_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = latents.make("dense", 2, channels=20, tokens=4)
    coder = PlaneCoder(static_tables.fit(drawn.frequencies, rows=2, cols=2), 2)
    symbols = np.ascontiguousarray(drawn.symbols.transpose(0, 2, 1))
    right = coder.decode

    def wrong(records: object, out: np.ndarray) -> np.ndarray:
        right(records, out)
        out[1, 19, 3] += 1
        return out

    monkeypatch.setattr(coder, "decode", wrong)
    with pytest.raises(ValueError, match="does not give back"):
        coder.check(symbols)


def test_a_damaged_record_is_not_timed() -> None:
    drawn = latents.make("dense", 1, channels=20, tokens=4)
    coder = PlaneCoder(static_tables.fit(drawn.frequencies, rows=2, cols=2), 1)
    symbols = np.ascontiguousarray(drawn.symbols.transpose(0, 2, 1))
    coder.plan(symbols)
    (record,) = coder.encode(symbols)
    damaged = record[:-1] + bytes([record[-1] ^ 1])
    with pytest.raises(ValueError, match="refused"):
        coder.decode([damaged], np.empty_like(symbols))


def test_equal_records_have_the_tiles_asked_for() -> None:
    drawn = latents.make("sparse", 7, channels=64, tokens=1)
    coder = PlaneCoder(static_tables.fit(drawn.frequencies, rows=1, cols=1), 7)
    symbols = np.ascontiguousarray(drawn.symbols.transpose(0, 2, 1))
    assert len(coder.plan_equal(symbols, 3)) == 3  # 3 + 3 + 1
    assert coder.lanes().tolist() == [1, 1, 1]
    coder.check(symbols)


def test_token_order_gives_the_same_records_or_says_that_it_is_missing() -> None:
    drawn = latents.make("dense", 2, channels=20, tokens=4)
    tables = static_tables.fit(drawn.frequencies, rows=2, cols=2)
    usual = PlaneCoder(tables, 2).check(np.ascontiguousarray(drawn.symbols.transpose(0, 2, 1)))
    try:
        other = PlaneCoder(tables, 2, order=plane_coder.TOKEN_ORDER)
    except Missing as reason:
        pytest.skip(str(reason))
    assert other.check(drawn.symbols) == usual


def test_parameters_are_read_from_a_signature_and_not_from_prose() -> None:
    def function() -> None: ...

    function.__doc__ = "f(a: int, order: object = 'channel', *, threads: int = 1) -> list\n\nspeed: fast"
    assert plane_coder.takes(function, "order")
    assert plane_coder.takes(function, "threads")
    assert not plane_coder.takes(function, "speed")
    assert not plane_coder.takes(function, "rder")


def test_every_size_class_has_cells_and_excess_is_what_lies_above_the_share() -> None:
    small = rates.Found(rates.CELLS[0], 1, 1, ideal=100.0, payload=102.5, lanes=1)
    assert small.excess == pytest.approx(1.5)  # above 101
    large = rates.Found(rates.CELLS[0], 1, 1, ideal=50_000.0, payload=50_228.0, lanes=64)
    assert large.excess == pytest.approx(2.0)  # 128 above 50,100, per lane
    met = {
        rates.Found(c, c.tokens, 1, c.tokens * 768 * c.bits / 8, 0, 1).size_class.name for c in rates.CELLS
    }
    assert met == {size.name for size in rates.CLASSES}


def test_a_cell_codes_its_records_and_finds_them_no_smaller_than_ideal() -> None:
    found = rates.measure_cell(rates.Cell("sparse", 0.5, 1), 4)
    assert found.payload >= found.ideal > 0
    assert found.lanes == 1
