"""The linear probe: all splits and all tasks of the same items at once.

AdamW works on each weight alone, so the probes of 40 splits and T tasks are one weight array S×D×T with one optimiser,
and each batch of vectors is gathered once for all tasks. Padded columns hold one constant and therefore have equal
gradients; one weight stands for their mean (its gradient is P times that of each, which Adam's step does not see).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.errors import InputError
from codec.evaluate.neuco.protocol import Protocol, Splits, Standardised, Task, scaled
from codec.evaluate.rate.types import FloatVector

_GATHERED = 1 << 24  # numbers of held-out vectors at a time


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one task: R² or F1 of every split after every epoch."""

    task: str
    per_epoch: FloatVector  # S×E; NaN where R² has no meaning
    defined: FloatVector  # S, 1 where the held-out part has what the score needs (a positive; two values), else NaN

    @property
    def published(self) -> FloatVector:
        """Of each split the best epoch on its held-out part."""
        return np.asarray(self.per_epoch.max(axis=1), np.float64)

    @property
    def plain(self) -> FloatVector:
        """Of each split the last epoch; NaN where the held-out part says nothing."""
        return np.asarray(self.per_epoch[:, -1] * self.defined, np.float64)


def r_squared(truth: FloatVector, found: FloatVector) -> FloatVector:
    """1 − residual / total sum of squares over the second last axis, S×m×T → S×T; NaN where the truth is constant."""
    total = ((truth - truth.mean(-2, keepdims=True)) ** 2).sum(-2)
    residual = ((truth - found) ** 2).sum(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 0, 1 - residual / total, np.nan), np.float64)


def f1(truth: FloatVector, logits: FloatVector) -> FloatVector:
    """2·hits / (positives + found) over the second last axis, S×m×T → S×T; 0 where there are neither."""
    yes, said = truth > 0.5, logits > 0
    denominator = yes.sum(-2) + said.sum(-2)
    return np.asarray(2 * (yes & said).sum(-2) / np.maximum(denominator, 1), np.float64)


def probe(x: Standardised, tasks: Sequence[Task], splits: Splits, protocol: Protocol) -> list[Scores]:
    """Scores of tasks that label the same items, which are the rows of `x`, in their order."""
    n = len(x.values)
    if any(len(task.ids) != n or task.ids != tasks[0].ids for task in tasks):
        raise InputError("the tasks of one probe label the same items in the same order", expected=n)
    labels = np.stack([scaled(task.labels) for task in tasks], axis=1)  # n×T
    classes = torch.tensor([task.kind == "classification" for task in tasks])
    features = torch.from_numpy(_with_padding(x))
    y = torch.from_numpy(labels.astype(np.float32))
    generator = torch.Generator().manual_seed(protocol.seed)
    weight, bias = _initial(x, len(splits.train), len(tasks), generator)
    optimiser = torch.optim.AdamW([weight, bias], lr=protocol.learning_rate)
    train, held_out = torch.from_numpy(splits.train), torch.from_numpy(splits.held_out)
    truth = labels[splits.held_out]  # S×m×T
    per_epoch = []
    for _ in range(protocol.epochs):
        for _ in range(protocol.passes):
            order = torch.stack([torch.randperm(train.shape[1], generator=generator) for _ in train])
            shuffled = torch.gather(train, 1, order)
            for start in range(0, train.shape[1], protocol.batch):
                rows = shuffled[:, start : start + protocol.batch]
                loss = _loss(features[rows] @ weight + bias, y[rows], classes)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        found = _predicted(features, held_out, weight, bias)
        per_epoch.append(np.where(classes.numpy(), f1(truth, found), r_squared(truth, found)))
    scores = np.stack(per_epoch, axis=-1)  # S×T×E
    spread = np.ptp(truth, axis=1) > 0
    positives = (truth > 0.5).any(axis=1)
    defined = np.where(np.where(classes.numpy(), positives, spread), 1.0, np.nan)
    return [Scores(task.name, scores[:, t], defined[:, t]) for t, task in enumerate(tasks)]


def _with_padding(x: Standardised) -> np.ndarray:
    if not x.padding:
        return x.values
    column = np.full((len(x.values), 1), x.padding * x.constant, np.float32)
    return np.concatenate([x.values, column], axis=1)


def _initial(
    x: Standardised, n_splits: int, n_tasks: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Uniform within ±1/√(all columns), as torch's linear layer begins; the padded columns' weights as their mean."""
    columns = x.values.shape[1] + x.padding
    bound = columns**-0.5
    drawn = (2 * torch.rand(n_splits, columns, n_tasks, generator=generator) - 1) * bound
    bias = (2 * torch.rand(n_splits, 1, n_tasks, generator=generator) - 1) * bound
    if x.padding:
        own = drawn[:, : x.values.shape[1]]
        drawn = torch.cat([own, drawn[:, x.values.shape[1] :].mean(1, keepdim=True)], dim=1)
    return drawn.contiguous().requires_grad_(), bias.requires_grad_()


def _loss(logits: Tensor, y: Tensor, classes: Tensor) -> Tensor:
    """Mean over the batch of each split and task, summed: every probe has its own gradient. S×B×T."""
    cross = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    return torch.where(classes, cross, (logits - y) ** 2).mean(1).sum()


@torch.no_grad()
def _predicted(features: Tensor, held_out: Tensor, weight: Tensor, bias: Tensor) -> FloatVector:
    step = max(1, _GATHERED // (held_out.shape[1] * features.shape[1]))
    parts = [
        features[held_out[s : s + step]] @ weight[s : s + step] + bias[s : s + step]
        for s in range(0, len(held_out), step)
    ]
    return torch.cat(parts).double().numpy()
