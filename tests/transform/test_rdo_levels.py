"""Tables for symbols chosen by rate and distortion, against what such an encoder then sends."""

from __future__ import annotations

import numpy as np
import pytest

from codec.transform.levels import Pool, fit_level
from codec.transform.rate import magnitude_costs
from codec.transform.rdo import reconstructed
from codec.transform.rdo_levels import decision_edges, fit_traded_level
from codec.transform.tables import TOTAL, Level

TRADEOFF = 0.1155


def laplace(seed: int) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).laplace(scale=2**-0.5, size=200_000))


def sent(level: Level, x: np.ndarray, tradeoff: float) -> tuple[np.ndarray, float, float]:
    """Magnitudes, bits and squared error of each value by a search over all magnitudes up to rounding."""
    n = int(x.max()) + 3
    bits, values = magnitude_costs(level, n) / 256, reconstructed(level, n)
    candidates = np.arange(n)
    loss = np.square(x[:, None] - values) + tradeoff * bits
    loss[candidates[None] > np.rint(x)[:, None]] = np.inf
    k = loss.argmin(axis=1)
    return k, float(bits[k].mean()), float(np.square(x - values[k]).mean())


def test_without_a_trade_it_is_the_plain_table() -> None:
    pools = [Pool.of(laplace(0))]
    assert fit_traded_level(pools, 1.0, 0.0) == fit_level(pools, 1.0)


@pytest.mark.parametrize("ratio", [0.35, 0.7, 1.4, 2.0])
def test_the_loss_is_less_than_with_the_plain_table(ratio: float) -> None:
    """Bits and error on values that neither table saw, at the same step and the same λ."""
    pools, x = [Pool.of(laplace(0))], laplace(1)[:20_000] * ratio
    _, plain_bits, plain_error = sent(fit_level(pools, ratio), x, TRADEOFF)
    _, bits, error = sent(fit_traded_level(pools, ratio, TRADEOFF), x, TRADEOFF)
    assert error + TRADEOFF * bits < plain_error + TRADEOFF * plain_bits


@pytest.mark.parametrize("ratio", [0.7, 1.4, 4.0])
def test_frequencies_and_points_are_those_of_what_is_sent(ratio: float) -> None:
    pools = [Pool.of(laplace(0))]
    level = fit_traded_level(pools, ratio, TRADEOFF)
    x = laplace(2)[:50_000] * ratio
    k, _, _ = sent(level, x, TRADEOFF)
    zero = level.frequencies[0] / TOTAL
    assert (k == 0).mean() == pytest.approx(zero, abs=0.02)
    assert x[k == 1].mean() == pytest.approx(level.r1, abs=0.05)
    assert (x - k)[k > 1].mean() == pytest.approx(level.r2, abs=0.08)


def test_a_level_whose_non_zeros_become_negligible_has_no_table() -> None:
    pools = [Pool.of(laplace(0))]
    assert fit_level(pools, 2.0**-2.5).thresholds
    assert not fit_traded_level(pools, 2.0**-2.5, 0.3).thresholds


def test_edges_are_where_two_magnitudes_lose_alike() -> None:
    """By hand at λ = 0.1: 1 over 0 from (1 + 0.2) / 2, 2 over 1 from (3 + 0.3) / 2, over 0 from 4.5 / 4."""
    edges = decision_edges(np.array([1.0, 3.0, 6.0]), np.array([0.0, 1.0, 2.0]), 0.1)
    assert edges.tolist() == pytest.approx([0.6, 1.65])


def test_edges_never_lie_below_rounding() -> None:
    edges = decision_edges(np.zeros(4), np.array([0.0, 0.8, 1.8, 2.8]), 0.0)
    assert edges.tolist() == [0.5, 1.5, 2.5]
