"""The generator of the entropy benchmark: what its sets say of themselves is true."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.entropy import latents


@pytest.mark.parametrize(("name", "bits"), [("dense", 1.78), ("sparse", 0.10)])
def test_a_set_has_the_entropy_it_is_called_for(name: str, bits: float) -> None:
    drawn = latents.make(name, 2)
    assert drawn.symbols.shape == (2, 196, 768)
    assert drawn.symbols.dtype == np.int8
    assert drawn.entropy == pytest.approx(bits, rel=0.01)
    # Of the symbols themselves, with the counts of every channel instead of its distribution's table.
    counted = sum(
        -f * math.log2(p / 65536)
        for channel in range(0, 768, 16)
        for f, p in zip(
            np.bincount(drawn.symbols[:, :, channel].ravel().astype(int) + 60, minlength=121),
            drawn.frequencies[channel],
            strict=True,
        )
        if f
    )
    part = drawn.symbols[:, :, ::16]
    assert counted == pytest.approx(latents.cross_entropy_bits(part, drawn.frequencies[::16]))
    assert drawn.cross_entropy_bits() / drawn.symbols.size == pytest.approx(bits, rel=0.02)


def test_dense_channels_are_gaussians_of_the_named_spread() -> None:
    frequencies = latents.make("dense", 1).frequencies
    values = np.arange(-60, 61)
    # Rounding adds 1/12 to the variance of a density that is not much narrower than a step.
    at = [
        0,
        *(round(768 * q) for q in (0.15866, 0.5)),
    ]  # the widest, one deviation above the median, and the median
    scale = np.sqrt((frequencies[at] * values**2).sum(axis=1) / 65536 - 1 / 12)
    assert math.log(scale[1] / scale[2]) == pytest.approx(0.55, rel=0.03)
    fourth = (frequencies[0] * values**4).sum() / 65536
    assert fourth / (scale[0] ** 2 + 1 / 12) ** 2 == pytest.approx(3, rel=0.02)  # of a normal density


def test_sparse_channels_are_laplacians_of_the_named_spread() -> None:
    frequencies = latents.make("sparse", 1).frequencies
    zero = frequencies[:, 60] / 65536
    at = [round(768 * q) for q in (0.02275, 0.15866)]  # two and one deviations above the median
    scale = -0.5 / np.log(1 - zero[at])  # P(0) = 1 − exp(−½/b)
    assert math.log(scale[0] / scale[1]) == pytest.approx(0.75, rel=0.03)


def test_drawn_symbols_follow_their_frequencies() -> None:
    frequencies = latents.integer_frequencies(
        np.eye(121)[[60]] * 0.5 + np.eye(121)[[61]] * 0.25 + np.eye(121)[[57]] * 0.25
    )
    drawn = latents.draw(frequencies, 40, 100, seed=5)
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [-3, 0, 1]
    # Within five deviations of a binomial.
    assert np.abs(counts - np.array([1000, 2000, 1000])).max() < 5 * math.sqrt(4000 / 4)


def test_equal_arguments_give_equal_symbols_and_other_seeds_others() -> None:
    one, same, other = (latents.make("dense", 1, seed=s, channels=8).symbols for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_unsorted_channels_keep_their_distributions() -> None:
    drawn = latents.make("dense", 1, channels=16)
    mixed = drawn.unsorted()
    assert not np.array_equal(mixed.symbols, drawn.symbols)
    assert mixed.cross_entropy_bits() == pytest.approx(drawn.cross_entropy_bits())


def test_an_impossible_symbol_costs_infinitely_much() -> None:
    certain = latents.integer_frequencies(np.eye(121)[[60]])
    assert latents.cross_entropy_bits(np.zeros((1, 3, 1), np.int8), certain) == 0
    assert latents.cross_entropy_bits(np.ones((1, 3, 1), np.int8), certain) == math.inf
