"""The drift monitor: what a table promises, what noise may do, and what is flagged."""

from __future__ import annotations

import numpy as np
import pytest

from codec.bitstream.core import TableSet, tile_costs
from codec.errors import InputError
from codec.transform.drift import Drift, Row, Tally, flags, judge, tally
from codec.transform.maps import quant_maps
from codec.transform.student import two_sided_probability, two_sided_quantile
from codec.transform.tables import Tables
from tests.package.small_package import small_codec
from tests.transform.synthetic_embeddings import embeddings

INDEX = 24
PLANE = 0
N_LAYERS = 4


@pytest.fixture(scope="module")
def tables() -> Tables:
    return small_codec().tables


def drawn(tables: Tables, n: int, seed: int, index: int = INDEX) -> np.ndarray:
    """Symbols N×C×F that the tables themselves would send: magnitudes by their frequencies, without escapes."""
    rng = np.random.default_rng(seed)
    maps = quant_maps(tables, PLANE, index)
    symbols = np.zeros((n, *maps.layer.shape), dtype=np.int16)
    for number in np.unique(maps.level[maps.coded]):
        frequencies, low_bits = tables.levels[number].frequencies[:-1], tables.levels[number].low_bits
        cells = maps.coded & (maps.level == number)
        size = (n, int(cells.sum()))
        index = rng.choice(len(frequencies), size, p=frequencies / frequencies.sum())
        # Each index but 0 stands for 2^b magnitudes, all of them as likely (bitstream §5.3).
        magnitude = np.where(index > 0, (index << low_bits) - rng.integers(0, 1 << low_bits, size), 0)
        symbols[:, cells] = magnitude * rng.choice([-1, 1], size)
    return symbols


def quantised(tables: Tables, scale: float, n: int, seed: int = 3) -> np.ndarray:
    latents = small_codec().transforms["tokens"].analyse(embeddings(n, seed=seed)) * np.float32(scale)
    return quant_maps(tables, PLANE, INDEX).quantise(latents)


def told(tables: Tables, symbols: np.ndarray, **options: object) -> Tally:
    n = len(symbols)
    every = np.full(n, (1 << N_LAYERS) - 1, dtype=np.uint16)
    given = {"layers": every, "offsets": np.zeros((n, N_LAYERS), np.int8), "ladder_index": INDEX, **options}
    return tally(tables, PLANE, symbols=symbols, **given)  # type: ignore[arg-type]


def row(judged: list[Drift], **where: int) -> Drift:
    return next(entry for entry in judged if entry.row == Row(**where))


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    # Printed tables of Student's t.
    [(0.95, 1, 12.706), (0.95, 4, 2.776), (0.95, 9, 2.262), (0.99, 5, 4.032), (0.95, 30, 2.042), (0.9, 120, 1.658)],
)  # fmt: skip
def test_quantiles_are_those_of_printed_tables(probability: float, degrees: int, expected: float) -> None:
    assert two_sided_quantile(probability, degrees) == pytest.approx(expected, abs=6e-4)
    assert two_sided_probability(expected, degrees) == pytest.approx(probability, abs=1e-4)


@pytest.mark.parametrize(("probability", "degrees"), [(0.0, 3), (1.0, 3), (0.9, 0)])
def test_a_quantile_of_nothing_is_refused(probability: float, degrees: int) -> None:
    with pytest.raises(InputError, match="quantile"):
        two_sided_quantile(probability, degrees)


def test_the_expectation_is_the_entropy_of_the_tables(tables: Tables) -> None:
    maps = quant_maps(tables, PLANE, INDEX)
    entropy = 0.0
    for number in maps.level[maps.coded]:
        p = tables.levels[number].frequencies / 65536
        more = 1 + tables.levels[number].low_bits  # a sign and low bits for every non-zero
        entropy += float(-(p * np.log2(p)).sum() + more * (1 - p[0]))
    found = row(judge(told(tables, drawn(tables, 4, 1))))
    # Escapes, at most a thousandth, cost their code on top.
    assert found.expected_bits == pytest.approx(4 * entropy, rel=0.01)


def test_measured_bits_are_the_costs_of_the_compiled_core(tables: Tables) -> None:
    symbols = quantised(tables, 1.0, 6)
    offsets = np.zeros((6, N_LAYERS), np.int8)
    offsets[3:, 1] = -2
    found = told(tables, symbols, offsets=offsets)
    judged = judge(found)
    compiled = TableSet(tables.encode())
    for layer in range(N_LAYERS):
        near = tile_costs(compiled, PLANE, layer, INDEX, symbols[:3]).sum()
        shift = -2 if layer == 1 else 0
        far = tile_costs(compiled, PLANE, layer, INDEX + shift, symbols[3:]).sum()
        assert row(judged, layer=layer).measured_bits == pytest.approx(int(near + far) / 256)


def test_rows_of_layers_bands_and_channels_each_add_up_to_the_plane(tables: Tables) -> None:
    judged = judge(told(tables, quantised(tables, 1.0, 20)))
    whole = row(judged)
    for kind in ("layer", "band", "channel"):
        part = [entry for entry in judged if getattr(entry.row, kind) is not None]
        assert sum(entry.measured_bits for entry in part) == pytest.approx(whole.measured_bits)
        assert sum(entry.expected_bits for entry in part) == pytest.approx(whole.expected_bits)


@pytest.mark.parametrize("seed", range(5))
def test_what_the_tables_would_send_is_not_flagged(tables: Tables, seed: int) -> None:
    judged = judge(told(tables, drawn(tables, 200, seed)))
    assert flags(judged) == []
    assert abs(row(judged).drift) < 0.02


@pytest.mark.parametrize(("scale", "flag"), [(1.5, "more"), (0.6, "fewer")])
def test_another_scale_of_the_embeddings_is_flagged(tables: Tables, scale: float, flag: str) -> None:
    judged = judge(told(tables, quantised(tables, scale, 400)))
    assert row(judged).flag == flag
    assert {entry.flag for entry in flags(judged)} == {flag}


def test_one_channel_that_moves_is_the_one_that_is_flagged(tables: Tables) -> None:
    symbols = drawn(tables, 400, 9)
    symbols[:, 2] *= 2
    channels = {entry.row.channel for entry in flags(judge(told(tables, symbols)))} - {None}
    assert channels == {2}


@pytest.mark.parametrize("n", [1, 4, 15])
def test_a_handful_of_tiles_is_not_judged(tables: Tables, n: int) -> None:
    judged = judge(told(tables, quantised(tables, 3.0, n)))
    assert judged
    assert all(entry.low is None and not entry.flag for entry in judged)


def test_copies_of_a_few_tiles_are_no_evidence(tables: Tables) -> None:
    # 4 different tiles, 16 times each: as many bits as 64 tiles, and as little news as 4.
    few = quantised(tables, 1.25, 4, seed=21)
    alike, different = (
        judge(told(tables, symbols))
        for symbols in (np.repeat(few, 16, axis=0), quantised(tables, 1.25, 64, seed=22))
    )
    width = {name: row(j).high - row(j).low for name, j in (("alike", alike), ("different", different))}  # type: ignore[operator]
    assert width["alike"] > 2 * width["different"]


def test_zeros_alone_are_as_uncertain_as_the_tables_say(tables: Tables) -> None:
    # No spread at all among the tiles, so the interval can only come from the tables' own variance.
    judged = judge(told(tables, np.zeros((64, 24, 64), dtype=np.int16)))
    faint = [e for e in judged if e.row.channel is not None and e.low is not None]
    assert faint
    assert all(e.high > e.low for e in faint)  # type: ignore[operator]


def test_a_layer_that_did_not_come_promises_nothing(tables: Tables) -> None:
    judged = judge(told(tables, quantised(tables, 1.0, 30), layers=np.full(30, 0b0011, np.uint16)))
    assert {entry.row.layer for entry in judged} == {None, 0, 1}


def test_a_mean_vector_excuses_fewer_bits_in_layer_0_only(tables: Tables) -> None:
    # Coarse, for tables of fine steps are flat: half the magnitudes save them next to nothing.
    coarse = INDEX + 14
    symbols = np.trunc(drawn(tables, 400, 8, coarse) / 3).astype(np.int16)
    plain, relieved = (judge(told(tables, symbols, ladder_index=coarse, relieved=r)) for r in (False, True))
    assert row(plain, layer=0).flag == "fewer"
    assert row(relieved, layer=0).flag == ""
    assert row(plain, layer=1).flag == row(relieved, layer=1).flag == "fewer"


def test_two_halves_of_a_pass_are_the_pass(tables: Tables) -> None:
    symbols = quantised(tables, 1.2, 100)
    whole, halves = told(tables, symbols), told(tables, symbols[:37]) + told(tables, symbols[37:])
    for one, other in zip(judge(whole), judge(halves), strict=True):
        assert one.drift == pytest.approx(other.drift)
        assert (one.low is None) == (other.low is None)
        if one.low is not None:
            assert one.low == pytest.approx(other.low)


@pytest.mark.parametrize(("classes", "flagged"), [(0.5, False), (2.0, True)])
def test_half_a_class_is_rounding_and_two_are_drift(tables: Tables, classes: float, flagged: bool) -> None:
    """Only layer 0, so that a channel is one coefficient and its tolerance is exactly half a class."""
    n, coarse, rng = 12_000, INDEX + 18, np.random.default_rng(12)
    maps = quant_maps(tables, PLANE, coarse)
    symbols = drawn(tables, n, 13, coarse)
    channel = int(np.where(maps.coded[:, 0], maps.level[:, 0], 99).argmin())  # the coarsest: most sensitive

    def magnitudes(level: int) -> np.ndarray:
        frequencies = tables.levels[level].frequencies[:-1]
        return rng.choice(len(frequencies), n, p=frequencies / frequencies.sum())

    level = int(maps.level[channel, 0])
    whole, half = int(classes), classes % 1
    above = np.where(rng.random(n) < half, magnitudes(level + whole + 1), magnitudes(level + whole))
    symbols[:, channel, 0] = above * rng.choice([-1, 1], n)
    found = row(
        judge(told(tables, symbols, ladder_index=coarse, layers=np.full(n, 1, np.uint16))), channel=channel
    )
    assert found.low is not None
    assert found.low > 0.05
    assert (found.flag == "more") == flagged
    assert found.tolerance_high > 0.05
