"""Table files against the compiled core, and costs against the specification's recipe and the core."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from codec.bitstream.core import TableSet, tile_costs
from codec.errors import InputError
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.layout import band_of_frequency
from codec.transform.levels import MAX_LOW_BITS, Pool, fit_level, level_of_counts
from codec.transform.maps import quant_maps
from codec.transform.rate import choose_ladder_index, frequency_costs, magnitude_costs, symbol_costs
from codec.transform.tables import TOTAL, Level, PlaneMaps, Tables
from codec.types import PlaneKind
from tests.transform.synthetic_embeddings import embeddings, spectral


@pytest.fixture(scope="module")
def fitted() -> FittedCodec:
    return fit_planes({"tokens": embeddings(400), "spectral": spectral(400)}, default_bytes=60.0)


def cost_by_the_recipe(frequency: int) -> int:
    """Bitstream §10.2 in Python integers."""
    n = frequency.bit_length() - 1
    y = frequency << (31 - n)
    fraction = 0
    for _ in range(8):
        y = y * y // 2**31
        fraction *= 2
        if y >= 2**32:
            fraction += 1
            y //= 2
    return 4096 - (256 * n + fraction)


def test_frequency_costs_follow_the_recipe_and_the_logarithm() -> None:
    frequencies = [*range(1, 600), *range(600, 65536, 37), 65535]
    got = frequency_costs(frequencies)
    assert got.tolist() == [cost_by_the_recipe(f) for f in frequencies]
    ideal = [256 * -math.log2(f / TOTAL) for f in frequencies]
    assert np.abs(got - ideal).max() <= 1.0  # the recipe rounds the logarithm down to 1/256


def test_magnitude_costs_add_signs_and_escape_codes() -> None:
    level = Level((60000, 65000), 0.9, 0.0)  # magnitudes 0 and 1; from 2 on escapes
    f = [cost_by_the_recipe(k) for k in (60000, 5000, 536)]
    want = [
        f[0],
        f[1] + 256,
        f[2] + 256 + 256 * 1,
        f[2] + 256 + 256 * 3,
        f[2] + 256 + 256 * 3,
        f[2] + 256 + 256 * 5,
    ]
    assert magnitude_costs(level, 6).tolist() == want
    assert magnitude_costs(Level((), 0.9, 0.0), 3).tolist() == [0, 0, 0]


def test_costs_equal_the_cores_on_every_layer_and_plane(fitted: FittedCodec) -> None:
    core = TableSet(fitted.tables_bytes)
    data = {"tokens": embeddings(20, seed=5) * 3, "spectral": spectral(20, seed=5) * 3}  # ×3: escapes too
    for index in (fitted.tables.usable_indices().start, fitted.default_ladder_index):
        for number, name in enumerate(data):
            maps = quant_maps(fitted.tables, number, index)
            symbols = maps.quantise(fitted.transforms[name].analyse(data[name]))
            costs = symbol_costs(fitted.tables, number, index, symbols)
            for layer in range(len(fitted.tables.planes[number].layer_shift)):
                got = tile_costs(core, number, layer, index, symbols)
                assert got.tolist() == costs[:, maps.layer == layer].sum(axis=1).tolist()


def test_the_core_reads_what_was_fitted(fitted: FittedCodec) -> None:
    core = TableSet(fitted.tables_bytes)
    tables = fitted.tables
    assert (core.n_tables, core.n_planes, core.n_ladder) == (len(tables.levels), 2, len(tables.ladder))
    np.testing.assert_array_equal(core.ladder, tables.ladder)
    for number, level in enumerate(tables.levels):
        assert core.points(number) == (np.float32(level.r1), np.float32(level.r2))
        assert core.theta(number) == level.theta
    for number, plane in enumerate(tables.planes):
        info = core.plane(number)
        np.testing.assert_array_equal(info["bands"], plane.bands)
        np.testing.assert_array_equal(info["class_map"], plane.class_map)
        np.testing.assert_array_equal(info["layer_map"], plane.layer_map)
        assert list(info["layer_shift"]) == list(plane.layer_shift)
        index = fitted.default_ladder_index
        maps = quant_maps(tables, number, index)
        for layer in range(len(plane.layer_shift)):
            pairs = {
                (int(plane.bands[f]), int(c)) for c, f in np.argwhere(maps.coded & (maps.layer == layer))
            }
            assert core.coded(number, layer, index) == len(pairs)
            assert all(
                core.level(number, b, c, index) == maps.level[c, plane.bands.tolist().index(b)]
                for b, c in pairs
            )


def test_reading_a_table_file_back_gives_the_same_bytes(fitted: FittedCodec) -> None:
    assert Tables.decode(fitted.tables_bytes).encode() == fitted.tables_bytes


def test_usable_indices_are_those_the_core_accepts(fitted: FittedCodec) -> None:
    core = TableSet(fitted.tables_bytes)
    symbols = {
        n: np.zeros((1, p.channels, p.rows * p.cols), np.int16) for n, p in enumerate(fitted.tables.planes)
    }

    def accepted(index: int) -> bool:
        try:
            for number, plane in enumerate(fitted.tables.planes):
                for layer in range(len(plane.layer_shift)):
                    tile_costs(core, number, layer, index, symbols[number])
        except InputError:
            return False
        return True

    found = [index for index in range(len(fitted.tables.ladder)) if accepted(index)]
    assert found == list(fitted.tables.usable_indices())
    with pytest.raises(InputError, match="outside what the tables allow"):
        quant_maps(fitted.tables, 0, fitted.tables.usable_indices().stop)


def test_every_table_is_a_distribution_with_rare_escapes(fitted: FittedCodec) -> None:
    coded = [level for level in fitted.tables.levels if level.thresholds]
    assert len(coded) > 30
    for level in coded:
        assert level.frequencies.min() >= 1
        assert level.frequencies.sum() == TOTAL
        if len(level.thresholds) < 255:
            assert level.frequencies[-1] / TOTAL <= 1.1e-3


def test_levels_without_a_table_have_less_than_one_non_zero_in_a_thousand() -> None:
    pool = [Pool.of(np.abs(np.random.default_rng(0).laplace(scale=2**-0.5, size=200_000)))]
    for number in range(-24, 0):
        ratio = 2.0 ** (number / 4)
        survival = math.exp(-math.sqrt(2) * 0.5 / ratio)  # of a Laplace density, exactly
        has_table = bool(fit_level(pool, ratio).thresholds)
        if survival > 1.5e-3:
            assert has_table
        if survival < 1e-3 / 1.5:
            assert not has_table


@pytest.mark.parametrize("ratio", [0.3, 1.0, 5.0, 40.0])
def test_a_table_is_within_two_percent_of_the_entropy(ratio: float) -> None:
    x = np.abs(np.random.default_rng(1).standard_normal(400_000))
    level = fit_level([Pool.of(x)], ratio)
    magnitude = np.rint(np.abs(np.random.default_rng(2).standard_normal(400_000)) * ratio).astype(int)
    p = np.bincount(magnitude) / len(magnitude)
    p = p[p > 0]
    entropy = -(p * np.log2(p)).sum() + (magnitude > 0).mean()  # signs are raw
    cost = magnitude_costs(level, int(magnitude.max()) + 1)[magnitude].mean() / 256
    assert cost <= 1.02 * entropy


def test_magnitude_costs_with_low_bits() -> None:
    level = Level((60000, 65000), 0.9, 0.0, low_bits=3)  # index 1 is 1 … 8, the escape 9 … 16, 17 … 24, …
    f = [cost_by_the_recipe(k) for k in (60000, 5000, 536)]
    low = [f[0]] + 8 * [f[1] + 256 + 3 * 256]
    escapes = [f[2] + 256 + 3 * 256 + 256 * n for n in 8 * [1] + 16 * [3] + 32 * [5]]
    assert magnitude_costs(level, 65).tolist() == low + escapes


def laplace_counts(deviation: float, n: int = 1 << 30) -> npt.NDArray[np.int64]:
    """What n symbols of a rounded Laplace density have of each magnitude."""
    reach = np.exp(-math.sqrt(2) / deviation * (np.arange(int(25 * deviation) + 2) - 0.5))
    reach[0] = 1.0
    return np.rint(-np.diff(reach) * n).astype(np.int64)


def mean_bits(level: Level, counts: npt.NDArray[np.int64]) -> float:
    return float((counts * magnitude_costs(level, len(counts))).sum() / counts.sum()) / 256


@pytest.mark.parametrize("deviation", [0.3, 1, 3, 6, 8, 10, 20, 40, 70, 200, 600])
def test_low_bits_cost_a_thousandth_at_most_and_one_more_would_cost_more(deviation: float) -> None:
    counts = laplace_counts(deviation)
    all_levels = [level_of_counts(counts, most_low_bits=b) for b in range(MAX_LOW_BITS + 1)]
    level = all_levels[-1]
    cheapest = min(mean_bits(each, counts) for each in all_levels)
    assert mean_bits(level, counts) <= 1.0015 * cheapest  # integer costs are rounded up to 1/256 bit
    p = counts / counts.sum()
    entropy = -(p[p > 0] * np.log2(p[p > 0])).sum() + 1 - p[0]
    assert mean_bits(level, counts) <= 1.005 * entropy
    # A Laplace density loses 0.36 · 4^b / 3 / deviation² bits to b low bits, nearly.
    one_more = 0.36 * (4 ** (level.low_bits + 1) - 1) / 3 / deviation**2
    assert one_more > 0.0008 * entropy
    assert len(level.thresholds) <= 60


def test_tables_with_low_bits_are_taken_by_the_core() -> None:
    levels = tuple(level_of_counts(laplace_counts(d)) for d in (2, 10, 40, 160, 640))
    assert [level.low_bits for level in levels] == sorted(level.low_bits for level in levels)
    assert levels[-1].low_bits >= 5
    cells = np.zeros((1, 1), np.uint8)
    plane = PlaneMaps(1, 1, 1, PlaneKind.INTEGER, (0,), np.zeros(1, np.uint8), cells, cells)
    tables = Tables(np.ones(1, np.float32), levels, (plane,))
    core = TableSet(tables.encode())
    assert [core.low_bits(i) for i in range(5)] == [level.low_bits for level in levels]
    assert Tables.decode(tables.encode()).levels == levels


def test_a_histogram_that_ends_amid_the_distribution_gives_no_low_bits() -> None:
    counts = laplace_counts(600)
    known = 1024
    cut = np.append(counts[: known - 1], counts[known - 1 :].sum())
    assert level_of_counts(counts).low_bits > 0
    assert level_of_counts(cut, is_cut=True).low_bits == 0
    narrow = laplace_counts(60)
    cut = np.append(narrow[: known - 1], narrow[known - 1 :].sum())
    assert level_of_counts(cut, is_cut=True) == level_of_counts(narrow)


def test_narrow_levels_have_no_low_bits() -> None:
    pool = [Pool.of(np.abs(np.random.default_rng(0).laplace(scale=2**-0.5, size=200_000)))]
    assert [fit_level(pool, ratio).low_bits for ratio in (0.25, 1.0, 4.0)] == [0, 0, 0]
    assert fit_level(pool, 40.0).low_bits > 0


def test_reconstruction_points_are_conditional_means() -> None:
    x = np.abs(np.random.default_rng(1).standard_normal(400_000))
    level = fit_level([Pool.of(x)], 1.5)
    scaled = x * 1.5
    magnitude = np.rint(scaled)
    assert level.r1 == pytest.approx(scaled[magnitude == 1].mean(), abs=1e-3)
    assert level.r2 == pytest.approx((scaled - magnitude)[magnitude > 1].mean(), abs=1e-3)


@pytest.mark.parametrize(("kind", "n_bands"), [("frequency", 64), ("diagonal", 15)])
def test_frequency_0_is_alone_in_band_0(kind: str, n_bands: int) -> None:
    bands = band_of_frequency(kind, 8, 8)
    assert np.flatnonzero(bands == 0).tolist() == [0]
    assert np.unique(bands).tolist() == list(range(n_bands))


def test_more_tokens_than_bands_fall_back_to_diagonals() -> None:
    assert band_of_frequency("frequency", 64, 64).max() == 126


def test_the_finest_index_within_a_budget_is_chosen() -> None:
    bytes_at = {i: 1000.0 / (i + 1) for i in range(5, 40)}
    assert choose_ladder_index(range(5, 40), bytes_at.__getitem__, 50.0) == 19
    assert choose_ladder_index(range(5, 40), bytes_at.__getitem__, 1e9) == 5
    with pytest.raises(InputError, match="cannot be met"):
        choose_ladder_index(range(5, 40), bytes_at.__getitem__, 24.9)
