"""Ternary digits: nested in the bins of the coarser step, and hardly dearer than symbols of the finer one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.errors import InputError
from codec.transform import digits
from codec.transform.digits import RADIX, join, split
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.fit_cells import LEVELS_WITH_DIGITS
from codec.transform.layout import PlaneLayout
from codec.transform.maps import quant_maps
from codec.transform.rate import symbol_costs
from tests.transform.synthetic_embeddings import embeddings


@given(st.lists(st.integers(-1_000_000, 1_000_000), min_size=1, max_size=50), st.integers(0, 4))
def test_digits_put_together_are_the_number(totals: list[int], n_digits: int) -> None:
    found = split(np.array(totals), n_digits)
    coarse = np.array([round(t / RADIX**n_digits) for t in totals])  # odd divisors: no halves
    if np.abs(coarse).max() <= 32767:
        assert join(found).tolist() == totals
        assert found[0].tolist() == coarse.tolist()
        assert all(np.abs(d).max() <= 1 for d in found[1:])


def test_what_a_digit_may_not_say_is_left_to_the_next() -> None:
    # 5 = 9·1 − 4: without the first symbol 5 = 3·2 − 1, a digit of 2.
    never = np.array([False])
    always = np.array([True])
    found = split(np.array([5]), 2, [never, always, always])
    assert [int(s[0]) for s in found] == [0, 2, -1]
    assert join(found).tolist() == [5]


@pytest.fixture(scope="module")
def fitted() -> tuple[FittedCodec, FittedCodec]:
    """With two digits, and without; equal otherwise."""
    train = embeddings(400)
    layouts = [PlaneLayout(n_layers=4, dc_shift=-4, refinements=n) for n in (2, 0)]
    with_digits, without = (
        fit_planes({"tokens": train}, layouts={"tokens": layout}, default_bytes=40.0) for layout in layouts
    )
    return with_digits, without


def test_digits_cost_at_most_5_percent_more_than_symbols_of_the_finer_step(
    fitted: tuple[FittedCodec, FittedCodec],
) -> None:
    codec, plain = fitted
    latents = codec.transforms["tokens"].analyse(embeddings(200, seed=5))
    index = codec.default_ladder_index
    maps = [quant_maps(codec.tables, plane, index) for plane in range(3)]
    found = digits.quantise(latents, maps)
    every = np.full(len(latents), 0xFFFF, dtype=np.uint16)
    curve = []
    for at in plain.tables.usable_indices():
        own = quant_maps(plain.tables, 0, at)
        symbols = own.quantise(latents)
        error = float(np.square(own.reconstruct(symbols) - latents).sum())
        curve.append((np.log(error), np.log(symbol_costs(plain.tables, 0, at, symbols).sum())))
    errors, costs = np.array(sorted(curve)).T
    sent = 0
    for depth in range(3):
        sent += int(symbol_costs(codec.tables, depth, index, found[depth]).sum())
        latest = digits.reconstructed(found[: depth + 1], [every] * (depth + 1), maps[: depth + 1])
        error = float(np.square(latest - latents).sum())
        assert sent <= 1.05 * np.exp(np.interp(np.log(error), errors, costs))


def test_digits_take_nothing_from_the_symbols_they_refine(fitted: tuple[FittedCodec, FittedCodec]) -> None:
    """Steps are those of the plain codec, which reaches further on both sides, and tables cost what its own do."""
    codec, plain = fitted
    first = codec.tables.planes[0]
    given_up = int(np.flatnonzero(plain.tables.ladder == codec.tables.ladder[0])[0])
    shared = plain.tables.ladder[given_up : given_up + len(codec.tables.ladder)]
    assert np.array_equal(codec.tables.ladder, shared)
    assert np.array_equal(first.layer_map, plain.tables.planes[0].layer_map)
    latents = codec.transforms["tokens"].analyse(embeddings(200, seed=6))
    for index in list(codec.tables.usable_indices())[::6]:
        costs = [
            symbol_costs(tables, 0, at, quant_maps(tables, 0, at).quantise(latents)).sum()
            for tables, at in ((codec.tables, index), (plain.tables, index + given_up))
        ]
        assert costs[0] == pytest.approx(costs[1], rel=2e-3)
    for layer, shift in enumerate(first.layer_shift):
        classes = first.class_map[first.layer_map == layer].astype(int)
        assert classes.max() - shift - codec.tables.usable_indices().start < LEVELS_WITH_DIGITS


def test_a_coefficient_without_a_digits_table_at_one_quality_gets_none_of_another_kind(
    fitted: tuple[FittedCodec, FittedCodec],
) -> None:
    codec, _ = fitted
    for index in codec.tables.usable_indices():
        for plane in (1, 2):
            assert quant_maps(codec.tables, plane, index).level.min() >= LEVELS_WITH_DIGITS


def test_more_refinements_than_a_file_has_planes_are_refused() -> None:
    with pytest.raises(InputError, match="8 planes"):
        fit_planes({"tokens": embeddings(60)}, layouts={"tokens": PlaneLayout(refinements=8)})


def test_a_latent_that_is_no_number_is_refused(fitted: tuple[FittedCodec, FittedCodec]) -> None:
    codec, _ = fitted
    maps = [quant_maps(codec.tables, plane, codec.default_ladder_index) for plane in range(3)]
    with pytest.raises(InputError, match="not a number"):
        digits.quantise(np.full((1, *maps[0].layer.shape), np.nan, np.float32), maps)
