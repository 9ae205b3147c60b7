"""Fine-tuning the encoder together with its head: what it would be worth, if the spacecraft had been told the task.

Layer-wise learning rates (Clark et al. 2020; Bao et al. 2022, as masked autoencoders are fine-tuned): layer i of 0 … D
learns at rate · decay^(D − i). Layer 0 is the stem, 1 … depth the blocks, D = depth + 1 the last norm, the projection and
the head. A fine-tuned encoder makes a new embedding space: no codec and no other head fits it. It is an upper bound for
uncompressed pixels, and a rival for pixels decoded on the ground (`codec.heads.regimes` takes pixels as features).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from codec.errors import InputError, InternalError
from codec.heads.attention import AttentionPool
from codec.heads.dense import DenseMap
from codec.heads.descent import Schedule, descend, held_out_loss, masked_cross_entropy
from codec.heads.training_set import TrainingSet, require_apart
from codec.models.vit import Encoder
from codec.types import BoolArray, FloatArray

_BATCH = 64
FINE = Schedule(steps=300, batch=32, rate=5e-4)


class TunedNetwork(nn.Module):
    """Pixels N×B×T×T, bands N×B and validity N×T×T, both in {0, 1}, to logits: N×K, or N×H×W×K of a dense head."""

    def __init__(self, encoder: Encoder, head: AttentionPool | DenseMap) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, pixels: Tensor, bands: Tensor, validity: Tensor) -> Tensor:
        tokens = self.encoder(pixels, bands, validity)["tokens"]  # N×h×w×D
        patch = self.encoder.config.patch
        valid = (nn.functional.avg_pool2d(validity[:, None], patch)[:, 0] >= 0.5).to(tokens.dtype)  # N×h×w
        if isinstance(self.head, AttentionPool):
            return self.head(tokens.flatten(1, 2), valid.flatten(1))
        keep = valid[..., None]
        mean = (tokens * keep).sum((1, 2), keepdim=True) / keep.sum((1, 2), keepdim=True).clamp(min=1.0)
        return self.head(tokens * keep + mean * (1 - keep))


@dataclass(frozen=True, slots=True)
class PixelHead:
    """A fine-tuned network as a head on pixels."""

    network: TunedNetwork

    def logits(self, pixels: FloatArray, present: BoolArray, validity: BoolArray | None = None) -> FloatArray:
        """Of N×B×T×T reflectance, N×B bands present, N×T×T valid pixels (None: all)."""
        tensors = _tensors(pixels, present, validity)
        with torch.inference_mode():
            parts = [
                self.network(*(tensor[i : i + _BATCH] for tensor in tensors))
                for i in range(0, len(pixels), _BATCH)
            ]
        return np.asarray(torch.cat(parts).numpy(), np.float32)


def layer_of(name: str, depth: int) -> int:
    """Layer 0 … depth + 1 of a parameter of `TunedNetwork`, by its name."""
    if not name.startswith("encoder."):
        return depth + 1
    part = name.split(".")[1]
    if part == "blocks":
        return int(name.split(".")[2]) + 1
    return depth + 1 if part in ("norm", "project") else 0


def layer_rates(network: TunedNetwork, rate: float, decay: float) -> list[dict[str, Any]]:
    """AdamW's groups of what may learn: `lr` rate · decay^(D − layer); vectors and gains are not decayed in weight."""
    depth = len(network.encoder.blocks)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        layer, flat = layer_of(name, depth), parameter.ndim < 2 or name.endswith("latent")
        group = groups.setdefault(
            (layer, flat), {"params": [], "lr": rate * decay ** (depth + 1 - layer), "layer": layer}
        )
        group["params"].append(parameter)
        if flat:
            group["weight_decay"] = 0.0
    return [groups[key] for key in sorted(groups)]


def freeze(modules: Iterable[nn.Module]) -> tuple[nn.Module, ...]:
    """Takes modules out of training: no gradients, evaluation mode (running statistics and dropout stand still)."""
    held = tuple(modules)
    for module in held:
        module.eval().requires_grad_(False)
    return held


def assert_frozen(modules: Sequence[nn.Module]) -> None:
    """Raises InternalError where a frozen module, or a part of one, would train or is in training mode."""
    for module in modules:
        if any(part.training for part in module.modules()) or any(
            p.requires_grad for p in module.parameters()
        ):
            raise InternalError(f"a frozen {type(module).__name__} is in training mode")


def fit_finetuned(
    encoder: Encoder,
    head: AttentionPool | DenseMap,
    train: TrainingSet,
    present: BoolArray,
    validation: TrainingSet,
    validation_present: BoolArray,
    n_classes: int,
    *,
    decay: float = 0.75,
    frozen_blocks: int | None = None,
    schedule: Schedule = FINE,
    seed: int = 0,
) -> PixelHead:
    """A copy of `encoder`, trained with a copy of `head` on pixels n×B×T×T; `present` n×B names each sample's bands.

    `frozen_blocks`: the stem and so many blocks stay as they are; None: all of the encoder learns. Kept is the point of the
    least log-loss on `validation`. Raises InputError as `fit_probe`, for a decay outside (0, 1] and for sets that are not
    pixels of the encoder's bands and tile.
    """
    config = encoder.config
    for samples, shown in ((train, present), (validation, validation_present)):
        expected = (len(samples), len(config.bands), config.tile, config.tile)
        if samples.x.shape != expected or shown.shape != expected[:2]:
            raise InputError(
                "fine-tuning takes pixels of the encoder's bands and tile",
                expected=expected,
                found=samples.x.shape,
            )
    if not 0 < decay <= 1 or not 0 <= (frozen_blocks or 0) <= config.depth:
        raise InputError(
            "decay lies above 0 and up to 1; no more blocks are frozen than there are",
            found=(decay, frozen_blocks),
        )
    places = (len(train), *_map_shape(head, encoder))
    if train.y.shape != places or _n_outputs(head) != n_classes:
        raise InputError(
            "the head gives other outputs than the labels ask for",
            expected=(places, _n_outputs(head)),
            found=(train.y.shape, n_classes),
        )
    train.require_classes(n_classes)
    require_apart(train, validation)
    network = TunedNetwork(copy.deepcopy(encoder), copy.deepcopy(head)).requires_grad_(True).train()
    held: tuple[nn.Module, ...] = ()
    if frozen_blocks is not None:
        stem = [
            m for name, m in network.encoder.named_children() if name not in ("blocks", "norm", "project")
        ]
        held = freeze([*stem, *list(network.encoder.blocks)[:frozen_blocks]])
        for parameter in network.encoder.parameters(recurse=False):  # gain of positions, registers: layer 0
            parameter.requires_grad_(False)
    pixels, bands, valid = _tensors(train.x, present, train.validity)
    y, weight = torch.from_numpy(train.y), torch.from_numpy(train.weight.astype(np.float32))

    def loss(index: Tensor) -> Tensor:
        found = network(pixels[index], bands[index], valid[index])
        lost, of = masked_cross_entropy(found, y[index], weight[index])
        return lost / of

    def judged(x: FloatArray, valid: BoolArray | None) -> FloatArray:
        return PixelHead(network).logits(x, validation_present, valid)

    descend(
        network,
        layer_rates(network, schedule.rate, decay),
        loss,
        len(train),
        held_out_loss(judged, validation),
        schedule,
        seed=seed,
        each_step=lambda: assert_frozen(held),
    )
    return PixelHead(network.eval().requires_grad_(False))


def _map_shape(head: AttentionPool | DenseMap, encoder: Encoder) -> tuple[int, ...]:
    """Of a tile's logits, classes left out."""
    if isinstance(head, AttentionPool):
        return ()
    return (encoder.config.side * head.factor,) * 2


def _n_outputs(head: AttentionPool | DenseMap) -> int:
    if isinstance(head, AttentionPool):
        return head.linear.out_features
    return head.out.out_channels // head.factor**2


def _tensors(
    pixels: FloatArray, present: BoolArray, validity: BoolArray | None
) -> tuple[Tensor, Tensor, Tensor]:
    valid = np.ones((len(pixels), *pixels.shape[2:]), np.bool_) if validity is None else validity
    # The encoder drops a NaN in an invalid pixel or an absent band, but its gradient would still be NaN.
    usable = valid[:, None] & present[:, :, None, None]
    clean = np.where(usable, pixels, 0).astype(np.float32)
    return (
        torch.from_numpy(clean),
        torch.from_numpy(present.astype(np.float32)),
        torch.from_numpy(valid.astype(np.float32)),
    )
