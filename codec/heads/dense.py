"""Dense heads: classes on a grid finer than the tokens, by pixel shuffle.

    tokens h×w×C ─standardise─▶ linear [+ 3×3 convolution, GELU, linear] ─▶ h×w×(K·s²) ─pixel shuffle─▶ (h·s)×(w·s)×K

`linear` leaves the bracket out: with s = 1 it is the linear token head, with s = 2 an 8-pixel patch gives 4-pixel labels,
with s = the patch every pixel has its own. The convolution sees the neighbours; beyond the tile and in invalid tokens it
sees the nearest token of the tile and the tile's mean, so that neither border nor mask is drawn into it. It corrects the
linear map, and best starts from the one that `codec.heads.dense_linear` solved: on its own it learns the training tiles by
heart before it has found that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.errors import InputError
from codec.heads.attention import token_moments
from codec.heads.descent import Schedule, decayed, descend, held_out_loss, masked_cross_entropy
from codec.heads.training_set import UNLABELLED, TrainingSet, require_apart
from codec.heads.validity import filled
from codec.types import BoolArray, FloatArray

DenseKind = Literal["linear", "conv"]
_BATCH = 128


class DenseMap(nn.Module):
    """Tokens N×h×w×C to logits N×(h·s)×(w·s)×K, s = `factor`."""

    mean: Tensor  # C
    scale: Tensor  # C

    def __init__(
        self, channels: int, n_classes: int, factor: int, kind: DenseKind, *, hidden: int = 64
    ) -> None:
        super().__init__()
        self.factor = factor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.out = nn.Conv2d(channels, n_classes * factor**2, 1)
        self.near = nn.Conv2d(channels, hidden, 3) if kind == "conv" else None
        self.more = nn.Conv2d(hidden, n_classes * factor**2, 1, bias=False) if kind == "conv" else None
        if self.more is not None:
            nn.init.zeros_(self.more.weight)  # a correction starts as none

    def forward(self, tokens: Tensor) -> Tensor:
        x = ((tokens - self.mean) * self.scale).permute(0, 3, 1, 2)  # N×C×h×w
        y = self.out(x)
        if self.near is not None and self.more is not None:
            y = y + self.more(F.gelu(self.near(F.pad(x, (1, 1, 1, 1), mode="replicate"))))
        return F.pixel_shuffle(y, self.factor).permute(0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class DenseHead:
    """Tokens N×h×w×C, validity N×h×w (None: all valid) to logits N×(h·s)×(w·s)×K."""

    module: DenseMap

    def logits(self, x: FloatArray, validity: BoolArray | None = None) -> FloatArray:
        tokens = torch.from_numpy(np.ascontiguousarray(filled(x, validity)))
        with torch.inference_mode():
            parts = [self.module(tokens[i : i + _BATCH]) for i in range(0, len(tokens), _BATCH)]
        return np.asarray(torch.cat(parts).numpy(), np.float32)

    def predict(self, x: FloatArray, validity: BoolArray | None = None) -> npt.NDArray[np.int64]:
        return np.asarray(self.logits(x, validity).argmax(-1), np.int64)


def measured_only(samples: TrainingSet) -> TrainingSet:
    """Labels of invalid tokens become −1: nothing is learnt or judged where nothing was measured.

    Raises InputError where the labels are no whole multiple of the token grid.
    """
    x, y = samples.x, samples.y
    if (
        x.ndim != 4
        or y.ndim != 3
        or y.shape[1] % x.shape[1]
        or y.shape[2] * x.shape[1] != y.shape[1] * x.shape[2]
    ):
        raise InputError(
            "labels of a dense head are a whole multiple of its tokens", expected=x.shape, found=y.shape
        )
    if samples.validity is None:
        return samples
    factor = y.shape[1] // x.shape[1]
    shown = samples.validity.repeat(factor, 1).repeat(factor, 2)
    masked = np.where(shown, y, UNLABELLED).astype(np.int64)
    return TrainingSet(x, masked, samples.groups, samples.tile, samples.weight, samples.validity)


def checked(
    train: TrainingSet, validation: TrainingSet | None, n_classes: int
) -> tuple[TrainingSet, TrainingSet | None, int]:
    """Both sets with the labels of invalid tokens taken out, and the factor. Raises InputError as `fit_conv_dense`."""
    train = measured_only(train)
    train.require_classes(n_classes)
    if validation is not None:
        require_apart(train, validation)
        validation = measured_only(validation)
        if not (validation.y != UNLABELLED).any():
            raise InputError("no valid token of the validation set has a label", fix="take another split")
    return train, validation, train.y.shape[1] // train.x.shape[1]


def started(train: TrainingSet, n_classes: int, factor: int, kind: DenseKind, seed: int) -> DenseMap:
    """A head before training, with the standardisation of its training set; torch's generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = DenseMap(train.x.shape[-1], n_classes, factor, kind)
    mean, spread = token_moments(train)
    module.mean.copy_(torch.from_numpy(mean))
    module.scale.copy_(torch.from_numpy(1 / spread))
    return module


def fit_conv_dense(
    train: TrainingSet,
    validation: TrainingSet | None,
    n_classes: int,
    *,
    start: DenseHead | None = None,
    schedule: Schedule | None = None,
    seed: int = 0,
) -> DenseHead:
    """The convolutional head on grids n×h×w×C and maps n×H×W; H/h gives the factor.

    `start`: the linear head that it corrects; None: zeros. Kept is the point of the least weighted log-loss on
    `validation`, the start included. Raises InputError as `fit_probe`, and for a start of another shape.
    """
    train, validation, factor = checked(train, validation, n_classes)
    module = started(train, n_classes, factor, "conv", seed)
    if start is None:
        nn.init.zeros_(module.out.weight)
    elif start.module.out.weight.shape != module.out.weight.shape or start.module.factor != factor:
        raise InputError(
            "the linear head to start from has another shape",
            expected=tuple(module.out.weight.shape),
            found=tuple(start.module.out.weight.shape),
        )
    else:
        module.load_state_dict(start.module.state_dict(), strict=False)
    x = torch.from_numpy(filled(train.x, train.validity))
    y, weight = torch.from_numpy(train.y), torch.from_numpy(train.weight.astype(np.float32))

    def loss(index: Tensor) -> Tensor:
        lost, of = masked_cross_entropy(module(x[index]), y[index], weight[index])
        return lost / of

    descend(
        module,
        decayed(module.named_parameters()),
        loss,
        len(train),
        None if validation is None else held_out_loss(DenseHead(module).logits, validation),
        schedule or Schedule(batch=32),
        seed=seed,
    )
    return DenseHead(module.eval().requires_grad_(False))
