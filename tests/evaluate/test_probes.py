"""The fast probe solves the plain problem, and chooses its penalty without the place it is judged on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from codec.errors import InputError
from codec.evaluate import probes
from codec.evaluate.probes import fit_path, fit_probe, principal_axes
from codec.heads.linear import fit_softmax

GRID = (1e-3, 1e-2, 1e-1, 1.0)


def labelled(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features of very different spreads, as those of an encoder are."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 4
    mix = rng.standard_normal((width, width)) * np.geomspace(10, 0.01, width)
    x = (rng.standard_normal((n, width)) + 0.8 * rng.standard_normal((4, width))[y]) @ mix + 3.0
    return x.astype(np.float32), y


def probabilities(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize(("n", "width"), [(60, 12), (60, 90)], ids=["more samples", "more features"])
def test_probabilities_equal_the_plain_solver_s_within_a_hundredth(n: int, width: int) -> None:
    x, y = labelled(n, width)
    held, _ = labelled(40, width, 1)
    for penalty, head in zip(GRID, fit_path(x, y, 4, GRID), strict=True):
        plain = fit_softmax(x, y, 4, penalty=penalty, steps=4000)
        found, expected = probabilities(head.logits(held)), probabilities(plain.logits(held))
        assert np.abs(found - expected).max() < 0.01


@pytest.mark.parametrize(("n", "width"), [(60, 12), (60, 90)], ids=["more samples", "more features"])
def test_probabilities_are_those_of_the_optimum_to_a_thousandth(n: int, width: int) -> None:
    """The optimum by scipy's L-BFGS-B in float64, down to a gradient of 1e-9."""
    x, y = labelled(n, width)
    held, _ = labelled(40, width, 1)
    mean, spread, truth = x.mean(0, np.float64), x.std(0, dtype=np.float64) + 1e-6, np.eye(4)[y]
    z, size = (x - mean) / spread, width * 4

    def loss(v: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        w = v[:size].reshape(width, 4)
        p = probabilities(z @ w + v[size:])
        rest = (p - truth) / n
        value = -np.log(p[truth > 0]).mean() + penalty / 2 * (w**2).sum()
        return float(value), np.r_[(z.T @ rest + penalty * w).ravel(), rest.sum(0)]

    for penalty, head in zip(GRID, fit_path(x, y, 4, GRID), strict=True):
        limits = {"maxiter": 50_000, "maxfun": 100_000, "ftol": 0, "gtol": 1e-9, "maxcor": 50}
        at = minimize(loss, np.zeros(size + 4), (penalty,), "L-BFGS-B", jac=True, options=limits)
        assert np.abs(at.jac).max() < 1e-7
        expected = probabilities((held - mean) / spread @ at.x[:size].reshape(width, 4) + at.x[size:])
        assert np.abs(probabilities(head.logits(held)) - expected).max() < 1e-3


def test_the_gradient_vanishes_at_the_answer() -> None:
    """Xᵀ(P − Y)/n + penalty·W = 0 in standardised features, and the mean residual is 0 (free bias)."""
    x, y = labelled(80, 10)
    head = fit_path(x, y, 4, [0.03])[0]
    z, spread = (x - x.mean(0)) / x.std(0), x.std(0)
    rest = probabilities(x.astype(np.float64) @ head.weight + head.bias) - np.eye(4)[y]
    assert np.abs(rest.mean(0)).max() < 1e-4
    assert np.abs(z.T @ rest / 80 + 0.03 * head.weight * spread[:, None]).max() < 1e-4


def test_the_order_of_penalties_does_not_matter() -> None:
    x, y = labelled(60, 12)
    for a, b in zip(fit_path(x, y, 4, GRID), fit_path(x, y, 4, GRID[::-1])[::-1], strict=True):
        assert np.array_equal(a.weight, b.weight)


def test_principal_axes_are_orthonormal_and_keep_the_samples() -> None:
    z = np.random.default_rng(0).standard_normal((20, 50))
    axes = principal_axes(z)
    assert np.allclose(axes.T @ axes, np.eye(20), atol=1e-8)
    assert np.allclose(z @ axes @ axes.T, z, atol=1e-8)


def test_the_penalty_that_carries_over_to_other_places_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that name the place are of no use elsewhere: folds by place must take the strongest penalty."""
    groups = np.repeat(np.arange(12), 10)
    rng = np.random.default_rng(1)
    y = np.where(rng.random(120) < 0.9, (groups * 7) % 3, rng.integers(0, 3, 120))
    x = np.eye(12, dtype=np.float32)[groups] + 0.05 * rng.standard_normal((120, 12)).astype(np.float32)
    asked: list[float] = []
    plain = probes.fit_path
    monkeypatch.setattr(probes, "fit_path", lambda a, b, k, grid: asked.extend(grid) or plain(a, b, k, grid))
    fit_probe(x, y, groups, 3)
    assert asked == [max(probes.PENALTIES)]
    asked.clear()
    fit_probe(x, y, np.arange(120), 3)  # folds that share the places are fooled
    assert asked[0] < max(probes.PENALTIES)


@pytest.mark.parametrize("labels", [[0, 1, 4], [0, -1, 1], [0, 1]])
def test_labels_outside_the_classes_are_refused(labels: list[int]) -> None:
    with pytest.raises(InputError, match="one label of the classes"):
        fit_path(np.zeros((3, 2), np.float32), np.array(labels), 4, [0.1])
