"""Ranges from counts: equal to what numpy says of all values together, whatever the batches were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.errors import InputError
from onboard.calibration import Histogram, observe
from tests.onboard.small_network import batch, run, small_network

BIN = 2 ** (1 / 64)  # values of one bin differ by less


def of(values: np.ndarray) -> Histogram:
    histogram = Histogram()
    histogram.add(values.astype(np.float32))
    return histogram


@given(st.integers(0, 10_000), st.floats(-10, 10), st.sampled_from([0.5, 0.9, 0.999, 1.0]))
@settings(max_examples=50, deadline=None)
def test_ranges_are_those_of_the_values_within_a_bin(seed: int, octaves: float, share: float) -> None:
    values = np.random.default_rng(seed).standard_normal(3000).astype(np.float32) * np.float32(2**octaves)
    values[:100] = 0
    magnitude = np.sort(np.abs(values))
    histogram = of(values)
    assert magnitude[-1] <= histogram.largest() * (1 + 1e-6)
    assert histogram.largest() <= magnitude[-1] * BIN * (1 + 1e-6)
    place = magnitude[max(0, int(np.ceil(share * len(values))) - 1)]
    assert place / BIN <= histogram.percentile(share) <= place * BIN * BIN


def test_the_least_error_is_that_of_a_search_over_the_values() -> None:
    """Few large values, as activations have them: the best range lies well below the largest."""
    values = np.random.default_rng(1).standard_t(4, size=50_000).astype(np.float32)

    def error(largest: float) -> float:
        step = largest / 127
        return float(np.square(np.clip(np.rint(values / step), -127, 127) * step - values).mean())

    best = min(np.linspace(1.0, np.abs(values).max(), 300), key=error)
    found = of(values).least_error()
    assert found < 0.9 * np.abs(values).max()
    assert error(found) < 1.02 * error(best)


def test_values_that_are_all_zero_have_no_range() -> None:
    histogram = of(np.zeros(10))
    assert (histogram.largest(), histogram.percentile(0.999), histogram.least_error()) == (0.0, 0.0, 0.0)


def test_values_beyond_all_bins_fall_into_the_outermost() -> None:
    histogram = of(np.array([1e-30, 1e30]))
    assert (histogram.counts[0], histogram.counts[-1]) == (1, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(InputError, match="not finite"):
        of(np.array([1.0, bad]))


def test_neither_the_order_nor_the_size_of_batches_matters() -> None:
    model, names = small_network(), ["active", "features"]
    pixels, bands, validity = batch(60)
    whole = observe(model, names, [(pixels, bands, validity)])
    parts = observe(model, names, [(pixels[i : i + 20], bands[:20], validity[:20]) for i in (40, 0, 20)])
    expected = run(model, 60, ("active", "features"))
    for name, values in zip(names, expected, strict=True):
        assert whole[name].counts.sum() + whole[name].zeros == values.size
        # A product may round another way in another batch, and a value on an edge fall beside it.
        assert np.abs(whole[name].counts - parts[name].counts).sum() <= 4
        assert whole[name].largest() >= np.abs(values).max() / BIN


def test_nothing_but_counts_is_kept() -> None:
    histogram = of(np.ones(10))
    size = histogram.counts.nbytes
    histogram.add(np.ones(1_000_000, np.float32))
    assert histogram.counts.nbytes == size < 30_000


def test_no_batch_is_refused() -> None:
    with pytest.raises(InputError, match="calibration set is empty"):
        observe(small_network(), ["active"], [])
