"""Attention pooling as the neural-embedding-compression paper's classifier has it: one latent query, then a linear map.

    tokens N×L×C ─standardise─▶ k, v ─one query a head, softmax over the valid tokens─▶ N×W ─proj─▶ + MLP(norm) ─linear─▶ N×K

The paper (arXiv 2403.17886) takes timm's latent attention pool with one latent; this is that computation written out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.errors import InputError
from codec.heads.descent import Schedule, decayed, descend, held_out_loss, masked_cross_entropy
from codec.heads.training_set import TrainingSet, require_apart
from codec.heads.validity import filled
from codec.types import BoolArray, FloatArray

_BATCH = 256
_HIDDEN = -1e9  # score of an invalid token


class AttentionPool(nn.Module):
    """Tokens N×L×C and validity N×L in {0, 1} to logits N×K. `width` is a multiple of `heads`."""

    mean: Tensor  # C
    scale: Tensor  # C

    def __init__(self, channels: int, n_classes: int, *, width: int = 128, heads: int = 8) -> None:
        super().__init__()
        if width % heads:
            raise InputError("the width is a multiple of the heads", found=(width, heads))
        self.heads = heads
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.latent = nn.Parameter(torch.randn(1, width) * width**-0.5)
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(channels, width)
        self.v = nn.Linear(channels, width)
        self.proj = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.linear = nn.Linear(width, n_classes)

    def forward(self, tokens: Tensor, valid: Tensor) -> Tensor:
        x = (tokens - self.mean) * self.scale
        count, length, width = x.shape[0], x.shape[1], self.latent.shape[1]
        part = width // self.heads
        q = self.q(self.latent).reshape(self.heads, part) * part**-0.5  # heads×W/heads
        k = self.k(x).reshape(count, length, self.heads, part)
        v = self.v(x).reshape(count, length, self.heads, part)
        scores = (k * q).sum(-1).masked_fill(valid[:, :, None] < 0.5, _HIDDEN)  # N×L×heads
        pooled = (torch.softmax(scores, dim=1)[..., None] * v).sum(1).reshape(count, width)
        y = self.proj(pooled)
        y = y + self.fc2(F.gelu(self.fc1(self.norm(y))))
        return self.linear(y)


@dataclass(frozen=True, slots=True)
class AttentionHead:
    """Tokens N×h×w×C, validity N×h×w (None: all valid) to logits N×K."""

    module: AttentionPool

    def logits(self, x: FloatArray, validity: BoolArray | None = None) -> FloatArray:
        tokens, valid = _tensors(x, validity)
        with torch.inference_mode():
            parts = [
                self.module(tokens[i : i + _BATCH], valid[i : i + _BATCH])
                for i in range(0, len(tokens), _BATCH)
            ]
        return np.asarray(torch.cat(parts).numpy(), np.float32)

    def predict(self, x: FloatArray, validity: BoolArray | None = None) -> npt.NDArray[np.int64]:
        return np.asarray(self.logits(x, validity).argmax(-1), np.int64)


def fit_attention(
    train: TrainingSet,
    validation: TrainingSet | None,
    n_classes: int,
    *,
    schedule: Schedule | None = None,
    width: int = 128,
    heads: int = 8,
    seed: int = 0,
) -> AttentionHead:
    """Fit on grids n×h×w×C with one class each; kept is the point of the least weighted log-loss on `validation`.

    Raises InputError as `fit_probe`. Leaves torch's generator as it was.
    """
    if train.x.ndim != 4 or train.y.ndim != 1:
        raise InputError(
            "attention pools token grids with one class each", found=(train.x.shape, train.y.shape)
        )
    train.require_classes(n_classes)
    if validation is not None:
        require_apart(train, validation)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = AttentionPool(train.x.shape[-1], n_classes, width=width, heads=heads)
    mean, spread = token_moments(train)
    module.mean.copy_(torch.from_numpy(mean))
    module.scale.copy_(torch.from_numpy(1 / spread))
    x, valid = _tensors(train.x, train.validity)
    y, weight = torch.from_numpy(train.y), torch.from_numpy(train.weight.astype(np.float32))

    def loss(index: Tensor) -> Tensor:
        lost, of = masked_cross_entropy(module(x[index], valid[index]), y[index], weight[index])
        return lost / of

    descend(
        module,
        decayed(module.named_parameters()),
        loss,
        len(train),
        None if validation is None else held_out_loss(AttentionHead(module).logits, validation),
        schedule or Schedule(),
        seed=seed,
    )
    return AttentionHead(module.eval().requires_grad_(False))


def token_moments(samples: TrainingSet) -> tuple[FloatArray, FloatArray]:
    """Weighted mean and spread of each channel over the valid tokens of grids n×h×w×C, float32."""
    x = samples.x.reshape(len(samples), -1, samples.x.shape[-1]).astype(np.float64)
    share = np.repeat(samples.weight[:, None], x.shape[1], axis=1)
    if samples.validity is not None:
        valid = samples.validity.reshape(len(samples), -1)
        x, share = np.where(valid[..., None], x, 0), share * valid
    share = share / share.sum()
    mean = np.einsum("nl,nlc->c", share, x)
    spread = np.sqrt(np.einsum("nl,nlc->c", share, (x - mean) ** 2)) + 1e-6
    return mean.astype(np.float32), spread.astype(np.float32)


def _tensors(x: FloatArray, validity: BoolArray | None) -> tuple[Tensor, Tensor]:
    tokens = filled(x, validity).reshape(len(x), -1, x.shape[-1])
    valid = np.ones(tokens.shape[:2], np.float32) if validity is None else validity.reshape(len(x), -1)
    return torch.from_numpy(np.ascontiguousarray(tokens)), torch.from_numpy(valid.astype(np.float32))
