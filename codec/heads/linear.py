"""Softmax regression: standardised features, L2 penalty, solved to convergence by L-BFGS in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.types import FloatArray

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LinearHead:
    """logits = x @ weight + bias, in the units of the features as they come (standardisation is folded
    in).
    """

    weight: FloatArray  # F×K
    bias: FloatArray  # K

    def logits(self, x: FloatArray) -> FloatArray:
        return np.asarray(x @ self.weight + self.bias, np.float32)

    def predict(self, x: FloatArray) -> IntArray:
        return np.asarray(self.logits(x).argmax(-1), np.int64)


def fit_softmax(
    x: FloatArray,
    y: IntArray,
    n_classes: int,
    *,
    penalty: float,
    weight: FloatArray | None = None,
    steps: int = 200,
) -> LinearHead:
    """Minimise the weighted mean log-loss + penalty/2 · |W|² over standardised features; the bias is not
    penalised.

    `weight` (n,) need not sum to anything. Deterministic. Raises InputError for labels outside 0 …
    n_classes−1.
    """
    import torch  # only fitting needs it; the head itself is used where torch is not installed

    if len(x) == 0 or len(x) != len(y):
        raise InputError(
            "as many labels as samples are needed, and at least one", expected=len(x), found=len(y)
        )
    if y.min() < 0 or y.max() >= n_classes:
        raise InputError(
            "a label lies outside the classes",
            expected=f"0 … {n_classes - 1}",
            found=(int(y.min()), int(y.max())),
        )
    share = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
    share = share / share.sum()
    mean = share @ x.astype(np.float64)
    spread = np.sqrt(share @ (x - mean) ** 2) + 1e-6
    features = torch.from_numpy((x - mean) / spread)
    labels, shares = torch.from_numpy(y), torch.from_numpy(share)
    w = torch.zeros((x.shape[1], n_classes), dtype=torch.float64, requires_grad=True)
    b = torch.zeros(n_classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [w, b],
        max_iter=steps,
        tolerance_grad=1e-6,
        tolerance_change=1e-10,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def objective() -> torch.Tensor:
        solver.zero_grad()
        losses = torch.nn.functional.cross_entropy(features @ w + b, labels, reduction="none")
        value = (losses * shares).sum() + 0.5 * penalty * (w * w).sum()
        value.backward()
        return value

    solver.step(objective)
    plain = w.detach().numpy() / spread[:, None]
    return LinearHead(plain.astype(np.float32), (b.detach().numpy() - mean @ plain).astype(np.float32))


def choose_penalty(
    x: FloatArray,
    y: IntArray,
    groups: IntArray,
    n_classes: int,
    *,
    grid: Sequence[float] = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    folds: int = 5,
    seed: int = 0,
) -> float:
    """The penalty of the smallest held-out log-loss; samples of one group (a place) stay in one fold."""
    names = np.unique(groups)
    fold_of = dict(
        zip(names.tolist(), np.random.default_rng(seed).permutation(len(names)) % folds, strict=True)
    )
    fold = np.array([fold_of[g] for g in groups.tolist()])
    losses = []
    for penalty in grid:
        total = 0.0
        for k in range(folds):
            if not (fold == k).any() or (fold == k).all():
                continue
            head = fit_softmax(x[fold != k], y[fold != k], n_classes, penalty=penalty, steps=60)
            total += float(log_loss(head.logits(x[fold == k]), y[fold == k]).sum())
        losses.append(total)
    return float(grid[int(np.argmin(losses))])


def log_loss(logits: FloatArray, y: IntArray) -> FloatArray:
    """Negative log-likelihood of each sample, in nats."""
    shifted = logits - logits.max(-1, keepdims=True)
    chosen = np.take_along_axis(shifted, y[:, None], axis=-1)[:, 0]
    return np.asarray(np.log(np.exp(shifted).sum(-1)) - chosen, np.float32)
