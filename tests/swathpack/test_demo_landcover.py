"""The demo's linear heads, splits and scores, against hand calculation and plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from codec.errors import InputError
from swathpack.demo import landcover
from swathpack.demo.landcover import (
    at_pixels,
    at_points,
    fit_discriminant,
    fit_ridge,
    macro_f1,
    pixel_features,
    smallest_difference,
    west_and_east,
)


@pytest.fixture
def clouds() -> tuple[np.ndarray, np.ndarray]:
    """Three Gaussian clouds of unequal size in four dimensions; labels 1, 2, 3."""
    rng = np.random.default_rng(6)
    sizes, centres = (600, 250, 50), np.array([[0, 0, 0, 0], [3, 0, 1, 0], [0, 4, 0, 1]], float)
    labels = np.repeat(np.arange(1, 4), sizes).astype(np.uint8)
    scales = np.array([1.0, 1.0, 100.0, 0.01])  # units must not matter
    return (centres[labels - 1] + rng.standard_normal((900, 4))) * scales, labels


def test_the_discriminant_is_bayes_rule_of_its_gaussians(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    """Log density of each class with the pooled covariance, plus log prior: computed from the definition."""
    x, labels = clouds
    head = fit_discriminant(x, labels, 3, 0.0)
    means = [x[labels == k].mean(0) for k in (1, 2, 3)]
    pooled = sum(
        (x[labels == k] - means[k - 1]).T @ (x[labels == k] - means[k - 1]) for k in (1, 2, 3)
    ) / len(x)
    inverse = np.linalg.inv(pooled)
    density = np.stack(
        [
            -0.5 * np.einsum("ni,ij,nj->n", x - means[k], inverse, x - means[k])
            + np.log((labels == k + 1).mean())
            for k in range(3)
        ],
        axis=1,
    )
    np.testing.assert_array_equal(head.logits(x).argmax(1), density.argmax(1))
    found, expected = head.logits(x), density
    # Logits of one sample may differ by a constant: only differences between classes mean something.
    np.testing.assert_allclose(found - found[:, :1], expected - expected[:, :1], rtol=1e-6, atol=1e-6)


def test_ridge_solves_its_normal_equations(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    x, labels = clouds
    head = fit_ridge(x, labels, 3, 7.0)
    z = (x - head.mean) / head.spread
    targets = np.eye(3)[labels - 1]
    gradient = z.T @ (z @ head.weights - (targets - targets.mean(0))) + 7.0 * head.weights
    np.testing.assert_allclose(gradient, 0, atol=1e-8)


def test_the_head_that_does_best_on_the_other_block_is_chosen(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    """Unequal clouds: one-hot regression forgets the small one, the discriminant does not."""
    x, labels = clouds
    fit, choose = np.arange(900) % 2 == 0, np.arange(900) % 2 == 1
    chosen = landcover.choose_and_fit((x[fit], labels[fit]), (x[choose], labels[choose]), 3)
    assert chosen.kind.startswith("discriminant")
    assert macro_f1(chosen.logits(x).argmax(1) + 1, labels, 3) > 0.9


def test_a_class_without_a_sample_is_never_chosen(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    x, labels = clouds
    for fit in (fit_ridge, fit_discriminant):
        assert set(fit(x, labels, 5, 1e-2).logits(x).argmax(1) + 1) <= {1, 2, 3}


def test_macro_f1_by_hand() -> None:
    truth = np.array([1, 1, 1, 1, 2, 2], np.uint8)
    guess = np.array([1, 1, 1, 2, 2, 3], np.uint8)
    # Class 1: 3 right of 4 actual and 3 claimed: 6/7. Class 2: 1 right of 2 and 2: 2/4. Class 3 is not among the labels.
    assert macro_f1(guess, truth, 3) == pytest.approx((6 / 7 + 0.5) / 2)


def test_west_and_east_are_a_gap_apart() -> None:
    labels = np.ones((20, 400), np.uint8)
    usable = np.zeros((20, 400), bool)
    usable[:, 50:350] = True
    blocks = west_and_east(labels, usable, gap=32)
    columns = [np.flatnonzero(part.any(axis=0)) for part in (blocks.fit, blocks.choose, blocks.test)]
    assert (columns[0][0], columns[2][-1]) == (50, 349)
    assert columns[1][0] - columns[0][-1] > 32
    assert columns[2][0] - columns[1][-1] > 32
    assert abs(len(columns[2]) / 300 - 0.35) < 0.05


def test_labels_of_too_small_a_part_are_refused() -> None:
    with pytest.raises(InputError, match="too narrow"):
        west_and_east(np.ones((9, 40), np.uint8), np.ones((9, 40), bool), gap=32)


def test_interpolation_of_a_plane_is_the_plane() -> None:
    rows, cols = np.mgrid[:6, :9]
    tokens = np.stack([2.0 * rows + 3.0 * cols, 5.0 - rows], axis=-1).astype(np.float32)
    found = at_pixels(tokens, 24, 36, 4.0)
    r, c = (np.arange(24) + 0.5) / 4 - 0.5, (np.arange(36) + 0.5) / 4 - 0.5
    inside = np.s_[2:-2, 2:-2]  # beyond the centres of the outer tokens the map goes on as it ends
    expected = 2.0 * r[:, None] + 3.0 * c[None, :]
    np.testing.assert_allclose(found[..., 0][inside], expected[inside], atol=1e-5)
    assert found[0, 0, 0] == tokens[0, 0, 0]
    assert found[-1, -1, 0] == tokens[-1, -1, 0]


def test_points_are_pixels_of_the_map() -> None:
    tokens = np.random.default_rng(0).random((7, 5, 3)).astype(np.float32)
    whole = at_pixels(tokens, 30, 21, 4.0)
    rows, cols = np.array([0, 29, 13, 7]), np.array([0, 20, 1, 19])
    np.testing.assert_allclose(at_points(tokens, rows, cols, 4.0), whole[rows, cols], atol=1e-6)


def test_context_is_mean_and_spread_of_the_valid_pixels_around() -> None:
    rng = np.random.default_rng(3)
    pixels = rng.uniform(0.01, 0.6, (2, 12, 15)).astype(np.float32)
    validity = rng.random((12, 15)) < 0.8
    found = pixel_features(pixels, validity, 5)
    assert found.shape == (12, 15, 6)
    log = np.log(pixels.astype(np.float64))
    for row, col in ((0, 0), (5, 7), (11, 14), (3, 14)):
        window = np.s_[max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3]
        inside = validity[window]
        for band in range(2):
            values = log[band][window][inside]
            assert found[row, col, 2 + band] == pytest.approx(values.mean())
            assert found[row, col, 4 + band] == pytest.approx(values.std(), abs=1e-7)


def test_the_smallest_difference_shrinks_with_the_number_of_blocks() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.random((2, 256, 256)) < 0.8
    whole = np.ones((256, 256), bool)
    quarter = whole.copy()
    quarter[128:] = quarter[:, 128:] = False
    wide, narrow = (smallest_difference(a, b, where, block=32) for where in (quarter, whole))
    assert 1.4 < wide / narrow < 3.0  # 16 blocks against 64: twice, within the noise of so few
    # Independent pixels: 1.96 · √(2 · 0.8 · 0.2 / n).
    assert narrow == pytest.approx(1.96 * np.sqrt(2 * 0.8 * 0.2 / 256**2), rel=0.35)
    assert smallest_difference(a, a, whole, block=32) == 0.0
