"""Planted regressions: each is refused before anything is scored."""

from __future__ import annotations

import numpy as np
import pytest

from codec.errors import InternalError
from codec.evaluate.rate.audit import (
    check_coded,
    check_pixels,
    check_planes,
    check_received,
    systematic_errors,
)
from codec.evaluate.rate.types import Coded, Planes, TileSet
from codec.transform.fit import fit_planes
from codec.transform.maps import quant_maps


def correlated(n: int, channels: int, seed: int) -> np.ndarray:
    """Smooth token grids with channels of different spread: N×8×8×C."""
    rng = np.random.default_rng(seed)
    base = np.repeat(np.repeat(rng.standard_normal((n, 4, 4, channels)), 2, 1), 2, 2)
    mixed = base @ rng.standard_normal((channels, channels)) * np.linspace(3, 0.3, channels)
    return mixed.astype(np.float32)


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training tokens, test tokens, and the test tokens decoded at the finest index by their own codec."""
    both = correlated(300, 12, 1)
    train, test = both[:240], both[240:]
    return train, test, decoded_by(train, test)


def decoded_by(train: np.ndarray, test: np.ndarray, *, coded_by: np.ndarray | None = None) -> np.ndarray:
    """Coded with the codec of `coded_by` (default: the same), decoded with that of `train`."""
    own = fit_planes({"tokens": train})
    other = own if coded_by is None else fit_planes({"tokens": coded_by})
    index = min(own.tables.usable_indices())
    symbols = quant_maps(other.tables, 0, index).quantise(other.transforms["tokens"].analyse(test))
    return own.transforms["tokens"].synthesise(quant_maps(own.tables, 0, index).reconstruct(symbols))


def planes(values: np.ndarray) -> Planes:
    return Planes({"tokens": values}, np.ones(values.shape[:3], bool))


def coded(values: np.ndarray, total: float = 1000.0) -> list[Coded]:
    n = len(values)
    return [Coded("finest", np.full(n, total / n), {"tokens": values})]


def test_an_honest_answer_passes(world) -> None:
    _, test, found = world
    check_planes("ours", coded(found), planes(test))
    check_coded("ours", coded(found), len(test))


def test_a_method_that_drops_a_channel_is_allowed(world) -> None:
    _, test, found = world
    less = found.copy()
    less[..., 3] = test[..., 3].mean()
    check_planes("pca", coded(less), planes(test))


def test_tables_of_another_model_are_caught(world) -> None:
    train, test, _ = world
    foreign = decoded_by(train, test, coded_by=correlated(240, 12, 2))
    with pytest.raises(InternalError, match="of this model"):
        check_planes("ours", coded(foreign), planes(test))


def test_a_shuffled_channel_is_caught(world) -> None:
    _, test, found = world
    swapped = found.copy()
    swapped[..., [4, 7]] = found[..., [7, 4]]
    with pytest.raises(InternalError, match=r"channel (4|7)"):
        check_planes("ours", coded(swapped), planes(test))


def test_tokens_of_another_normalisation_are_caught(world) -> None:
    _, test, found = world
    with pytest.raises(InternalError, match="more than of sending nothing"):
        check_planes("ours", coded(found * 3 + 1), planes(test))


@pytest.mark.parametrize(("gain", "offset"), [(1.2, 0.0), (0.8, 0.0), (1.0, 0.2)])
def test_a_mild_gain_or_offset_after_decoding_is_caught(gain: float, offset: float, world) -> None:
    _, test, found = world
    spread = test.std((0, 1, 2))
    with pytest.raises(InternalError, match="a factor and an offset"):
        check_planes("ours", coded(found * np.float32(gain) + np.float32(offset) * spread), planes(test))


def test_the_systematic_part_of_an_error_is_what_a_regression_takes_away() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((500, 3))
    y = 0.7 * x + 0.3 * rng.standard_normal((500, 3)) + np.array([0, 0.5, -1])
    for channel, found in enumerate(systematic_errors(x, y)):
        slope, offset = np.polyfit(y[:, channel], x[:, channel], 1)
        left = np.mean((x[:, channel] - slope * y[:, channel] - offset) ** 2)
        taken = np.mean((x[:, channel] - y[:, channel]) ** 2) - left
        assert found == pytest.approx(taken / x[:, channel].var(), rel=1e-6)


def test_components_of_other_tiles_may_err_by_more_than_a_channel_varies_but_not_by_more_than_nothing() -> (
    None
):
    # One component (0.8, 0.6) of the training tiles; of these the second channel hardly varies: 0.23 of error on 0.01.
    rng = np.random.default_rng(4)
    axis = np.array([0.8, 0.6])
    train = (rng.standard_normal((40, 8, 8, 1)) * axis).astype(np.float32)
    other = (rng.standard_normal((40, 8, 8, 2)) * [1.0, 0.1]).astype(np.float32)
    projected = ((other @ axis)[..., None] * axis).astype(np.float32)
    check_received("pca", coded(projected), planes(other), planes(train))
    with pytest.raises(InternalError, match="of sending nothing"):
        check_received("pca", coded(projected[::-1].copy() * 2), planes(other), planes(train))


def test_likelihood_bytes_in_place_of_real_ones_are_caught(world) -> None:
    _, _, found = world
    ideal = [
        Coded("finest", np.full(len(found), 12.3456), {"tokens": found})
    ]  # Σ −log2 p / 8 is no whole number
    with pytest.raises(InternalError, match="likelihoods are not sizes"):
        check_coded("ours", ideal, len(found))


def test_pixels_in_digital_numbers_are_caught() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.random((5, 2, 16, 16)).astype(np.float32)
    tiles = TileSet(
        "made", ("red", "nir"), pixels, np.ones((5, 2), bool), np.ones((5, 16, 16), bool),
        np.arange(5), np.zeros((5, 2), int), np.arange(5),
    )  # fmt: skip
    check_pixels("jpeg2000", [Coded("finest", np.ones(5), pixels=pixels + 0.01)], tiles)
    with pytest.raises(InternalError, match="a factor and an offset"):
        check_pixels("jpeg2000", [Coded("finest", np.ones(5), pixels=pixels * np.float32(1.2))], tiles)
    for wrong in (pixels * 10_000, pixels[:, ::-1]):
        with pytest.raises(InternalError, match="of the variance"):
            check_pixels("jpeg2000", [Coded("finest", np.ones(5), pixels=np.ascontiguousarray(wrong))], tiles)
