"""The linear dense head, solved to the end: s² softmax regressions of a token, one for each place inside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.errors import InputError, LimitExceeded
from codec.heads.dense import DenseHead, DenseMap, checked, started
from codec.heads.descent import held_out_loss
from codec.heads.softmax_path import grouped_folds
from codec.heads.training_set import UNLABELLED, TrainingSet

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
_MOST_LOGITS = (
    150_000_000  # of one pass over the training set: 600 MB of float32, and as much for the gradient
)
_STEPS = 80  # of L-BFGS per penalty, from the last one's answer


class _Path:
    """The heads of one training set, from strong penalties to weak ones.

    Minimises the weighted mean log-loss over labelled places + penalty/(2 s²) · |W|², bias free: where all places are
    labelled, the same as s² regressions with this penalty.
    """

    def __init__(self, train: TrainingSet, n_classes: int, factor: int) -> None:
        self.module: DenseMap = started(train, n_classes, factor, "linear", 0)
        n, rows, cols, channels = train.x.shape
        cells = train.y.reshape(n, rows, factor, cols, factor).swapaxes(2, 3).reshape(-1, factor**2)
        use = np.flatnonzero((cells != UNLABELLED).any(1))  # tokens with a label; invalid ones have none
        if len(use) * factor**2 * n_classes > _MOST_LOGITS:
            raise LimitExceeded(
                "too many labelled places for a linear head solved at once",
                expected=f"at most {_MOST_LOGITS} logits",
                found=len(use) * factor**2 * n_classes,
                fix="take fewer tiles or rates, coarser labels, or the convolutional head",
            )
        x = torch.from_numpy(train.x.reshape(-1, channels)[use].astype(np.float32))
        self._x = (x - self.module.mean) * self.module.scale
        self._y = torch.from_numpy(cells[use])
        weight = np.repeat(train.weight, rows * cols)[use]
        share = np.where(cells[use] != UNLABELLED, weight[:, None], 0)
        self._share = torch.from_numpy((share / share.sum()).astype(np.float32))
        self._classes, self._places = n_classes, factor**2
        self._w = self.module.out.weight
        self._b = torch.nn.Parameter(torch.zeros(len(self._w)))
        self.module.out.bias = self._b
        torch.nn.init.zeros_(self._w)

    def fit(self, penalty: float) -> DenseMap:
        """The module for this penalty; the same object at every call."""
        w, b = self._w, self._b
        solver = torch.optim.LBFGS(
            [w, b],
            max_iter=_STEPS,
            tolerance_grad=1e-6,
            tolerance_change=1e-9,
            history_size=20,
            line_search_fn="strong_wolfe",
        )

        def objective() -> Tensor:
            solver.zero_grad()
            # Pixel shuffle reads channel c·s² + place: K×s² in this order.
            logits = F.linear(self._x, w.flatten(1), b).reshape(-1, self._classes, self._places)
            each = F.cross_entropy(logits, self._y, reduction="none", ignore_index=UNLABELLED)
            value = (each * self._share).sum() + 0.5 * penalty / self._places * (w * w).sum()
            value.backward()
            return value

        solver.step(objective)
        return self.module


def fit_linear_dense(
    train: TrainingSet,
    validation: TrainingSet | None,
    n_classes: int,
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 3,
    seed: int = 0,
) -> DenseHead:
    """The linear head on grids n×h×w×C and maps n×H×W, with the penalty of the smallest log-loss on `validation`.

    H/h gives the factor. Without a validation set, folds of `train` that hold out whole groups choose. Raises InputError
    as `fit_probe`, LimitExceeded where one pass over the training set would need more than about a gigabyte.
    """
    train, validation, factor = checked(train, validation, n_classes)
    parts = []
    if validation is not None:
        parts = [(train, validation)]
    else:
        fold = grouped_folds(train.groups, folds, seed)
        if len(np.unique(fold)) < 2:
            raise InputError(
                "all samples are of one group: there is nothing to choose the penalty on",
                fix="give a validation set",
            )
        parts = [(train.only(fold != k), train.only(fold == k)) for k in np.unique(fold)]
        parts = [pair for pair in parts if all((side.y != UNLABELLED).any() for side in pair)]
    loss = np.zeros(len(penalties))
    strongest_first = np.argsort(-np.asarray(penalties))
    for fit, held in parts:
        path = _Path(fit, n_classes, factor)
        judge = held_out_loss(DenseHead(path.module).logits, held)
        for i in strongest_first:
            path.fit(penalties[i])
            loss[i] += judge() * float(held.weight.sum())
    best = penalties[int(loss.argmin())]
    path = _Path(train, n_classes, factor)
    for penalty in sorted((p for p in penalties if p >= best), reverse=True):
        path.fit(penalty)
    return DenseHead(path.module.eval().requires_grad_(False))
