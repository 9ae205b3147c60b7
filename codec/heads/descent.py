"""The training loop of heads that need torch: AdamW, cosine, a fixed number of steps, the best point on validation.

Steps, not epochs: a mixed set holds each tile several times, and must not be trained longer for it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.errors import InputError
from codec.heads.training_set import UNLABELLED, TrainingSet
from codec.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast. `checks`: how often the validation loss is looked at."""

    steps: int = 400
    batch: int = 64
    rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: float = 0.1  # share of the steps
    checks: int = 20

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.checks) < 1 or not (self.rate > 0 and self.weight_decay >= 0):
            raise InputError(
                "a schedule has at least one step, batch and check, and a rate above 0", found=self
            )

    def factor(self, step: int) -> float:
        """Share of the rate at a step: linear up, half a cosine down to 0."""
        rising = max(round(self.warm_up * self.steps), 1)
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(self.steps - rising, 1)))


def masked_cross_entropy(logits: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the weighted log-losses of labelled places, and the sum of their weights.

    logits n×K or n×H×W×K, y n or n×H×W (−1 left out), weight n.
    """
    known = y != UNLABELLED
    each = F.cross_entropy(logits[known], y[known], reduction="none")
    share = weight.reshape(-1, *([1] * (y.ndim - 1))).expand(y.shape)[known]
    return (each * share).sum(), share.sum().clamp(min=1e-12)


def held_out_loss(
    logits: Callable[[FloatArray, BoolArray | None], FloatArray], validation: TrainingSet
) -> Callable[[], float]:
    """The weighted mean log-loss of a head on a validation set, as `descend` asks for it."""
    y = torch.from_numpy(validation.y)
    weight = torch.from_numpy(validation.weight.astype(np.float32))

    def loss() -> float:
        found = torch.from_numpy(logits(validation.x, validation.validity))
        lost, of = masked_cross_entropy(found, y, weight)
        return float(lost / of)

    return loss


def descend(
    module: nn.Module,
    parameters: Iterable[dict[str, Any]],
    loss: Callable[[Tensor], Tensor],
    n: int,
    validation: Callable[[], float] | None,
    schedule: Schedule,
    *,
    seed: int,
    each_step: Callable[[], None] | None = None,
) -> None:
    """Train in place. `loss` takes sample indices; `validation` gives a loss: the module ends where that was least.

    `parameters` are AdamW's groups; a group's own `lr` is scaled along the schedule. `each_step` runs before each step.
    Without validation the module ends at the last step. Raises InputError when the loss is no longer finite.
    """
    groups = [{"lr": schedule.rate, **group} for group in parameters]
    optimiser = torch.optim.AdamW(groups, lr=schedule.rate, weight_decay=schedule.weight_decay)
    tops = [float(group["lr"]) for group in optimiser.param_groups]
    draw = np.random.default_rng([seed, 0xD35C])
    order = np.zeros(0, np.int64)
    best, least = None, math.inf
    if validation is not None:  # a start that nothing improves on is kept
        with torch.inference_mode():
            best, least = copy.deepcopy(module.state_dict()), validation()
    every = max(schedule.steps // schedule.checks, 1)
    for step in range(schedule.steps):
        if len(order) < schedule.batch:
            order = np.concatenate([order, draw.permutation(n)])
        batch, order = order[: schedule.batch], order[schedule.batch :]
        for group, top in zip(optimiser.param_groups, tops, strict=True):
            group["lr"] = top * schedule.factor(step)
        if each_step is not None:
            each_step()
        optimiser.zero_grad(set_to_none=True)
        value = loss(torch.from_numpy(batch))
        if not torch.isfinite(value):
            raise InputError(f"the loss is not finite at step {step}", fix="take a smaller rate")
        value.backward()
        nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], 1.0)
        optimiser.step()
        if validation is not None and ((step + 1) % every == 0 or step + 1 == schedule.steps):
            with torch.inference_mode():
                found = validation()
            if found < least:
                best, least = copy.deepcopy(module.state_dict()), found
    if best is not None:
        module.load_state_dict(best)


def decayed(named: Iterable[tuple[str, nn.Parameter]]) -> list[dict[str, Any]]:
    """AdamW's groups: matrices are decayed; norms, biases, gains and the latent query are not."""
    pairs = [(name, p) for name, p in named if p.requires_grad]
    flat = [p for name, p in pairs if p.ndim < 2 or name.endswith("latent")]
    full = [p for name, p in pairs if p.ndim >= 2 and not name.endswith("latent")]
    return [g for g in ({"params": full}, {"params": flat, "weight_decay": 0.0}) if g["params"]]
