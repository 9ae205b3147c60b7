"""Ideal code lengths, contexts and mixtures behave as their definitions say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.open_questions.code_length import (
    EDGES,
    EXACT,
    N_BINS,
    Symbols,
    bin_of,
    counted,
    level_costs,
)
from benchmarks.open_questions.contexts import ContextTables, activity
from benchmarks.open_questions.table_mixture import Mixture, by_unit
from codec.transform.fit import fit_planes
from codec.transform.maps import quant_maps


def symbols(magnitude: np.ndarray, n_levels: int = 1) -> Symbols:
    shape = magnitude.shape[1:]
    return Symbols(
        magnitude.astype(np.int32), np.zeros(shape, np.int16), np.zeros(shape, np.uint8), np.ones(shape, bool), n_levels
    )  # fmt: skip


def test_every_magnitude_has_a_bin_that_holds_it() -> None:
    magnitude = np.arange(32768)
    found = bin_of(magnitude)
    assert (found[:EXACT] == magnitude[:EXACT]).all()
    beyond, of = magnitude[EXACT:], found[EXACT:] - EXACT
    assert (EDGES[of] <= beyond).all()
    assert (beyond < EDGES[of + 1]).all()
    assert found.max() == N_BINS - 1


def test_costs_obey_the_inequality_of_kraft() -> None:
    counts = np.random.default_rng(0).integers(0, 50, (3, N_BINS)).astype(float)
    costs = level_costs(counts)
    size = np.concatenate([np.ones(EXACT), np.diff(EDGES)])  # magnitudes in a bin
    signs = np.concatenate([np.ones(1), 2 * np.ones(N_BINS - 1)])
    total = (2.0**-costs * size * signs).sum(axis=1)
    np.testing.assert_allclose(total, 1, rtol=1e-9)


def test_the_scale_of_a_level_is_that_of_the_tables_of_a_fit() -> None:
    rng = np.random.default_rng(4)
    values = rng.laplace(size=(400, 2, 2, 3)).astype(np.float32)
    codec = fit_planes({"tokens": values})
    index = codec.default_ladder_index
    found = Symbols.of(codec, codec.transforms["tokens"].analyse(values), index)
    maps = quant_maps(codec.tables, 0, index)
    scale = np.sqrt(np.square(codec.transforms["tokens"].analyse(values)).mean(axis=0)) / maps.step
    of_level = 2.0 ** ((found.level - 16) / 4)
    np.testing.assert_allclose(np.log2(of_level), np.log2(scale), atol=0.3)


def test_equally_frequent_zeros_and_ones_take_one_bit_and_a_sign() -> None:
    counts = np.zeros((1, N_BINS))
    counts[0, :2] = 1e9
    costs = level_costs(counts)
    assert costs[0, 0] == pytest.approx(1, abs=1e-6)
    assert costs[0, 1] == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize("kind", ["frequency", "channel", "frequency and channel"])
def test_a_context_sees_nothing_that_comes_later_and_not_the_mean(kind: str) -> None:
    side, channels = 3, 4
    plain = np.zeros((1, channels, side * side), int)
    expected = np.ones((channels, side * side))
    for channel in range(channels):
        for f in range(side * side):
            changed = plain.copy()
            changed[0, channel, f] = 7
            there = activity(symbols(changed), side, kind, expected)[0]
            for c, g in np.argwhere(there > 0).tolist():
                earlier = c > channel or sum(divmod(g, side)) > sum(divmod(f, side))
                assert earlier
                assert f > 0


def test_contexts_save_where_neighbours_tell_and_nothing_where_they_do_not() -> None:
    rng = np.random.default_rng(1)
    busy = rng.random((800, 1, 1)) < 0.5
    told = rng.poisson(np.where(busy, 2.0, 0.1), (800, 6, 16))
    untold = rng.poisson(0.5, (800, 6, 16))
    for magnitude, low, high in ((told, 0.0, 0.95), (untold, 0.99, 1.01)):
        fit, test = symbols(magnitude[:400]), symbols(magnitude[400:])
        costs = level_costs(counted(fit.levels, fit.bins, 1))
        static = costs[0, test.bins].sum()
        ratio = ContextTables.fit(fit, 4, "frequency and channel", costs).bits(test).sum() / static
        assert low < ratio < high


def test_two_kinds_of_files_find_their_two_table_sets() -> None:
    rng = np.random.default_rng(2)
    kind = np.arange(60) % 2
    magnitude = rng.poisson(np.where(kind, 4.0, 0.2)[:, None, None], (60, 4, 16))
    all_of = symbols(magnitude)
    units = by_unit(all_of, np.arange(60))
    mixture = Mixture.fit(units, 1, 2, seed=0)
    chosen = (units @ mixture.costs.T).argmin(axis=1)
    assert len(set(chosen[kind == 0])) == len(set(chosen[kind == 1])) == 1
    assert chosen[0] != chosen[1]


def test_naming_a_set_costs_its_bits() -> None:
    magnitude = np.random.default_rng(3).poisson(1.0, (8, 4, 16))
    all_of = symbols(magnitude)
    costs = level_costs(counted(all_of.levels, all_of.bins, 1))
    twice = Mixture(np.stack([costs.ravel(), costs.ravel()]))
    static = costs[0, all_of.bins].sum(axis=1)
    unit = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    np.testing.assert_allclose(twice.bits(all_of, unit) - static, 1 / 4)
