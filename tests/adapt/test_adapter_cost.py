"""Counted operations against a count by hand."""

from __future__ import annotations

import pytest

from codec.adapt import apply
from codec.adapt.cost import cost
from codec.adapt.registry import base_of
from codec.errors import IdentityError
from tests.adapt.small_bases import BANDS, CASES, LoopStatistics, own_encoder

# The small MAE of these tests: 3×3 patches of 4 px and a class token, width 32 in two heads, hidden 96, two blocks.
L, N, D, HIDDEN, HEADS, HD, BLOCKS, R, F = 9, 10, 32, 96, 2, 16, 2, 5, 10
STEM = 2 * L * D * 3 * 16
LINEAR = 2 * N * (4 * D * D + 2 * D * HIDDEN)
ATTENTION = 2 * 2 * N * N * D
FROZEN = STEM + BLOCKS * (LINEAR + ATTENTION)


def test_operations_of_the_folded_form_are_those_of_the_formula() -> None:
    base = base_of(CASES["MAE"].encoder())
    adapted = apply(base, "deflect", BANDS, statistics=LoopStatistics(5, 4), uatt__rank=R, layers=(0,))
    found = cost(adapted, base, 12, 12)
    assert found.flop_of_base == FROZEN
    wide = 2 * (2 * 2 * N * N * HEADS * (HD + R))  # two branches, products and sums of width hd + r
    # c U_q, adapted queries into code space by U_kᵀ, and the way back by U_v.
    ups = 3 * 2 * N * R * D
    code = 2 * L * F * R
    assert found.flop == FROZEN - ATTENTION + wide + ups + code
    assert found.ratio == found.flop / FROZEN
    assert found.trained == F * R + 3 * R * D


def test_low_rank_updates_cost_two_products_per_map() -> None:
    base = base_of(CASES["MAE"].encoder())
    found = cost(apply(base, "lora", base.bands, rank=3), base, 12, 12)
    assert found.flop == FROZEN + BLOCKS * 2 * N * 3 * ((D + 3 * D) + (D + D) + 2 * (D + HIDDEN))


def test_the_cost_beside_another_base_is_refused() -> None:
    with pytest.raises(IdentityError, match="another base"):
        cost(apply(own_encoder(), "frozen", BANDS), base_of(CASES["MAE"].encoder()), 12, 12)
