"""Symbols chosen by rate and distortion, against a search by hand over every candidate."""

from __future__ import annotations

import numpy as np
import pytest

from codec.errors import InputError
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.maps import quant_maps
from codec.transform.rate import symbol_costs
from codec.transform.rdo import check_tradeoff, quantise, reconstructed
from codec.transform.tables import Level
from tests.transform.synthetic_embeddings import embeddings


@pytest.fixture(scope="module")
def fitted() -> FittedCodec:
    return fit_planes({"tokens": embeddings(400)}, default_bytes=60.0)


@pytest.fixture(scope="module")
def latents(fitted: FittedCodec) -> np.ndarray:
    return fitted.transforms["tokens"].analyse(embeddings(40, seed=5))


def bits_of(level: Level, magnitude: int) -> float:
    """docs/bitstream.md §5.3 and a bit for the sign, from the thresholds."""
    edges = [0, *level.thresholds, 65536]
    k = len(level.thresholds)
    bits = -np.log2((edges[min(magnitude, k) + 1] - edges[min(magnitude, k)]) / 65536)
    if magnitude:
        bits += 1
    if magnitude >= k:
        bits += 2 * np.floor(np.log2(magnitude - k + 1)) + 1
    return float(bits)


@pytest.mark.parametrize("tradeoff", [0.08, 0.1155, 0.4])
def test_each_symbol_is_the_least_of_its_candidates(
    fitted: FittedCodec, latents: np.ndarray, tradeoff: float
) -> None:
    index = fitted.tables.usable_indices().start + 24
    maps = quant_maps(fitted.tables, 0, index)
    plain, got = maps.quantise(latents), quantise(fitted.tables.levels, maps, latents, tradeoff)
    assert (got != plain).sum() > 100
    rng = np.random.default_rng(0)
    changed, unchanged = (
        np.argwhere(mask & (plain != 0) & (maps.layer > 0)) for mask in (got != plain, got == plain)
    )
    for n, c, f in [*rng.permutation(changed)[:300], *rng.permutation(unchanged)[:300]]:
        level = fitted.tables.levels[maps.level[c, f]]
        x, m = abs(float(latents[n, c, f])) / float(maps.step[c, f]), abs(int(plain[n, c, f]))

        def loss(k: int, x: float = x, level: Level = level) -> float:
            value = 0.0 if k == 0 else level.r1 if k == 1 else k + level.r2
            return (x - value) ** 2 + tradeoff * bits_of(level, k)

        least = min(loss(k) for k in {m, m - 1, 0})
        assert loss(abs(int(got[n, c, f]))) == pytest.approx(least, abs=tradeoff * 0.05)


def test_no_trade_is_plain_rounding(fitted: FittedCodec, latents: np.ndarray) -> None:
    maps = quant_maps(fitted.tables, 0, fitted.default_ladder_index)
    np.testing.assert_array_equal(quantise(fitted.tables.levels, maps, latents, 0.0), maps.quantise(latents))


def test_magnitudes_fall_signs_stay_and_layer_0_is_left_alone(
    fitted: FittedCodec, latents: np.ndarray
) -> None:
    maps = quant_maps(fitted.tables, 0, fitted.tables.usable_indices().start + 24)
    plain, got = maps.quantise(latents), quantise(fitted.tables.levels, maps, latents, 0.5)
    assert (np.abs(got) <= np.abs(plain)).all()
    assert (np.sign(got) * np.sign(plain) >= 0).all()
    np.testing.assert_array_equal(got[:, maps.layer == 0], plain[:, maps.layer == 0])


def test_the_whole_loss_never_rises_and_bytes_fall_with_the_tradeoff(
    fitted: FittedCodec, latents: np.ndarray
) -> None:
    index = fitted.tables.usable_indices().start + 24
    maps = quant_maps(fitted.tables, 0, index)
    above = maps.layer > 0

    def parts(symbols: np.ndarray) -> tuple[float, float]:
        error = np.square((maps.reconstruct(symbols) - latents)[:, above] / maps.step[above]).sum()
        return float(error), float(symbol_costs(fitted.tables, 0, index, symbols)[:, above].sum()) / 256

    plain, bits = parts(maps.quantise(latents)), []
    for tradeoff in (0.02, 0.05, 0.1155, 0.3):
        error, rate = parts(quantise(fitted.tables.levels, maps, latents, tradeoff))
        assert error + tradeoff * rate <= plain[0] + tradeoff * plain[1]
        bits.append(rate)
    assert bits == sorted(bits, reverse=True)
    assert bits[1] < plain[1]


def test_values_are_those_of_the_specification() -> None:
    assert reconstructed(Level((1, 2, 3), 0.9, -0.1), 4).tolist() == pytest.approx([0.0, 0.9, 1.9, 2.9])
    assert reconstructed(Level((1,), 0.9, -0.1), 1).tolist() == [0.0]


@pytest.mark.parametrize("value", ["a", None, True, -0.1, 1.1, float("nan"), float("inf")])
def test_what_is_no_tradeoff_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="the trade-off is a number from 0"):
        check_tradeoff(value)
