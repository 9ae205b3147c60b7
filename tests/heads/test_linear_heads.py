"""The solver finds the optimum, pooling is what it says, and the ONNX graph computes what numpy does."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from codec.errors import InputError
from codec.heads.graph import head_graph
from codec.heads.linear import LinearHead, choose_penalty, fit_softmax, log_loss
from codec.heads.pooling import mean_and_spread


def problem(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 4)).astype(np.float32) * [1, 10, 0.1, 3] + [5, 0, 0, -2]
    y = (x[:, 0] + 0.1 * x[:, 1] > 5).astype(np.int64) + (x[:, 3] > 0)
    return x.astype(np.float32), y


def test_the_gradient_of_the_objective_vanishes_at_the_solution() -> None:
    """Optimality of the penalised log-loss, from its textbook gradient in numpy."""
    x, y = problem()
    penalty = 0.03
    head = fit_softmax(x, y, 3, penalty=penalty)
    mean, spread = x.astype(np.float64).mean(0), x.astype(np.float64).std(0) + 1e-6
    z = (x - mean) / spread
    w = head.weight.astype(np.float64) * spread[:, None]
    logits = z @ w + (head.bias + mean @ head.weight)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    error = p - np.eye(3)[y]
    assert np.abs(z.T @ error / len(x) + penalty * w).max() < 1e-4
    assert np.abs(error.mean(0)).max() < 1e-4


def test_weights_act_like_repeated_samples() -> None:
    x, y = problem(60)
    counts = np.random.default_rng(1).integers(1, 4, 60)
    weighted = fit_softmax(x, y, 3, penalty=0.05, weight=counts.astype(np.float32))
    repeated = fit_softmax(np.repeat(x, counts, 0), np.repeat(y, counts), 3, penalty=0.05)
    np.testing.assert_allclose(weighted.logits(x), repeated.logits(x), atol=2e-3)


def test_labels_outside_the_classes_are_refused() -> None:
    x, y = problem(20)
    with pytest.raises(InputError, match="outside the classes"):
        fit_softmax(x, y + 1, 3, penalty=0.1)


def test_useless_features_get_the_larger_penalty() -> None:
    rng = np.random.default_rng(0)
    noise, y, groups = (
        rng.standard_normal((200, 30)).astype(np.float32),
        rng.integers(0, 2, 200),
        np.arange(200) // 5,
    )
    assert choose_penalty(noise, y, groups, 2, grid=(1e-3, 1.0)) == 1.0
    useful = noise.copy()
    useful[:, 0] = 4.0 * y - 2
    assert choose_penalty(useful, y, groups, 2, grid=(1e-3, 1.0)) == 1e-3


def test_log_loss_of_even_odds_is_log_two() -> None:
    assert log_loss(np.zeros((1, 2), np.float32), np.array([1])) == pytest.approx(np.log(2))
    assert np.isfinite(log_loss(np.array([[1e4, -1e4]], np.float32), np.array([1]))).all()


def test_pooling_ignores_invalid_tokens() -> None:
    tokens = np.random.default_rng(0).standard_normal((2, 2, 2, 3)).astype(np.float32)
    validity = np.array([[[True, True], [False, True]], [[False, False], [False, False]]])
    tokens[0, 1, 0] = 1e6
    pooled = mean_and_spread(tokens, validity)
    known = tokens[0][validity[0]]
    np.testing.assert_allclose(pooled[0], np.concatenate([known.mean(0), known.std(0)]), rtol=1e-5)
    assert np.all(pooled[1] == 0)


@pytest.mark.parametrize("level", ["tile", "token"])
def test_the_graph_computes_what_numpy_does(level: str) -> None:
    rng = np.random.default_rng(0)
    planes = {"tokens": rng.standard_normal((5, 4, 3, 6)), "spectral": rng.standard_normal((5, 4, 3, 2))}
    planes = {name: x.astype(np.float32) for name, x in planes.items()}
    width = 16 if level == "tile" else 8
    head = LinearHead(
        rng.standard_normal((width, 3)).astype(np.float32), rng.standard_normal(3).astype(np.float32)
    )
    model = head_graph(head, level, [("tokens", 6), ("spectral", 2)])
    assert model == head_graph(head, level, [("tokens", 6), ("spectral", 2)])
    (found,) = onnxruntime.InferenceSession(model).run(["logits"], planes)
    x = np.concatenate([planes["tokens"], planes["spectral"]], axis=-1)
    if level == "tile":
        flat = x.reshape(5, 12, 8)
        x = np.concatenate([flat.mean(1), flat.std(1)], axis=1)
    np.testing.assert_allclose(found, x @ head.weight + head.bias, atol=1e-5)


def test_a_head_of_another_width_gets_no_graph() -> None:
    head = LinearHead(np.zeros((5, 2), np.float32), np.zeros(2, np.float32))
    with pytest.raises(InputError, match="does not fit"):
        head_graph(head, "token", [("tokens", 6)])
