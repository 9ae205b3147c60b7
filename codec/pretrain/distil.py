"""Token-wise distillation: the student sees a jittered view with some of its bands, the teacher saw all of
it.

    loss = smooth-L1(token, target) + (1 − cosine) + 2 · smooth-L1(mean token, mean target)
         + 0.2 · smooth-L1(patch pixels predicted from the trunk)

Targets are position-corrected and channel-standardised (`labels.py`), so the student's tokens carry next to
no
position. All randomness of step s comes from (seed, s): a run that is resumed from a checkpoint gives the
same
weights as one that never stopped.
"""

from __future__ import annotations

import io
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.atomic import write_atomic
from codec.errors import InputError, InternalError
from codec.models.vit import Encoder, EncoderConfig
from codec.pretrain.jitter import drop_bands, drop_pixels, jitter
from codec.pretrain.labels import Pool

PIXEL_CELLS = 4  # the pixel term predicts 4×4 means per patch and band


@dataclass(frozen=True, slots=True)
class DistilConfig:
    """Everything a run depends on besides its pool."""

    steps: int = 3000
    batch: int = 64
    peak_rate: float = 1.2e-3
    weight_decay: float = 0.05
    warmup: int = 150
    mask_share: float = 0.3  # of the batches have a part of their tokens hidden
    masked_tokens: float = 0.4  # of the tokens in such a batch
    pooled_weight: float = 2.0
    pixel_weight: float = 0.2
    clip: float = 1.0
    seed: int = 0
    depth: int = 4
    width: int = 128
    # A run may be shortened while it runs: up to `bend_step` the schedule is that of `bend_total` steps, from there
    # the rest of the same curve is walked faster, to end at `steps`. 0: the schedule is straight.
    bend_step: int = 0
    bend_total: int = 0

    def rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine to 1 % of the peak."""
        if step < self.warmup:
            return self.peak_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        if self.bend_step:
            at_bend = (self.bend_step - self.warmup) / (self.bend_total - self.warmup)
            if step < self.bend_step:
                progress = (step - self.warmup) / (self.bend_total - self.warmup)
            else:
                progress = at_bend + (1 - at_bend) * (step - self.bend_step) / (self.steps - self.bend_step)
        return self.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


class Student(nn.Module):
    """The encoder with what only training needs: a mask token and a pixel head."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.mask_token = nn.Parameter(torch.zeros(config.width))
        self.pixel_head = nn.Linear(config.width, len(config.bands) * PIXEL_CELLS**2)

    def forward(
        self, pixels: Tensor, bands: Tensor, validity: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens (N, L, D) and pixel predictions (N, L, B·cells²); `hidden` (N, L) replaces tokens before
        the blocks.
        """
        encoder = self.encoder
        z = encoder.normalise(pixels, bands, validity)
        _, spread = encoder.patch_moments(z, validity)
        x = encoder.embed_patches(z, spread, bands)
        x = torch.where(
            hidden[:, :, None] > 0.5, self.mask_token + encoder.position_gain * encoder.position, x
        )
        features = encoder.trunk(x)
        return encoder.project(features), self.pixel_head(features)


def pixel_targets(z: Tensor, patch: int) -> Tensor:
    """Normalised pixels N×B×H×W → N×L×(B·cells²), means over patch/cells pixels."""
    n, bands, height, _ = z.shape
    side = height // patch
    cells = F.avg_pool2d(z, patch // PIXEL_CELLS).reshape(n, bands, side, PIXEL_CELLS, side, PIXEL_CELLS)
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(n, side * side, bands * PIXEL_CELLS**2)


def distillation_loss(
    tokens: Tensor,
    target: Tensor,
    predicted: Tensor,
    pixel: Tensor,
    weight: Tensor,
    pixel_weight: Tensor,
    config: DistilConfig,
) -> Tensor:
    """`weight` N×L: tokens that count; `pixel_weight` N×(B·cells²): bands that the view has."""
    total = weight.sum().clamp(min=1.0)
    smooth = (F.smooth_l1_loss(tokens, target, reduction="none").mean(-1) * weight).sum() / total
    cosine = ((1 - F.cosine_similarity(tokens, target, dim=-1)) * weight).sum() / total
    share = weight / weight.sum(1, keepdim=True).clamp(min=1.0)
    pooled = F.smooth_l1_loss((tokens * share[:, :, None]).sum(1), (target * share[:, :, None]).sum(1))
    mask = weight[:, :, None] * pixel_weight[:, None, :]
    pixels = (F.smooth_l1_loss(predicted, pixel, reduction="none") * mask).sum() / mask.sum().clamp(min=1.0)
    return smooth + cosine + config.pooled_weight * pooled + config.pixel_weight * pixels


def _parameter_groups(model: nn.Module, decay: float) -> list[dict[str, object]]:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


class Run:
    """A distillation run: model, optimiser and the step it is at; `save` and `load` make it resumable."""

    def __init__(self, pool: Pool, config: DistilConfig) -> None:
        self.pool, self.config, self.step = pool, config, 0
        torch.manual_seed(config.seed)
        self.student = Student(EncoderConfig(depth=config.depth, width=config.width))
        self.optimiser = torch.optim.AdamW(
            _parameter_groups(self.student, config.weight_decay), lr=config.peak_rate, betas=(0.9, 0.98)
        )
        self.bands = self.student.encoder.config.bands

    def advance(self) -> float:
        """One step; the loss. Stops the run when the loss is not finite."""
        config, pool, encoder = self.config, self.pool, self.student.encoder
        rng = np.random.default_rng([config.seed, self.step])
        for group in self.optimiser.param_groups:
            group["lr"] = config.rate(self.step)
        index = np.sort(rng.choice(len(pool.pixels), size=min(config.batch, len(pool.pixels)), replace=False))
        clean = torch.from_numpy(pool.pixels[index].astype(np.float32))
        has = pool.bands[index]
        shown = torch.from_numpy(drop_bands(has, self.bands, rng))
        validity = torch.from_numpy(drop_pixels(len(index), clean.shape[-1], rng))
        target = torch.from_numpy(pool.targets(index)).flatten(1, 2)
        pixels = jitter(clean, self.bands, rng)
        tokens_valid = (F.avg_pool2d(validity[:, None], encoder.config.patch) >= 0.5).float().flatten(1)
        hidden = torch.zeros_like(tokens_valid)
        if rng.random() < config.mask_share:
            hidden = torch.from_numpy((rng.random(hidden.shape) < config.masked_tokens).astype(np.float32))
        full = torch.from_numpy(has.astype(np.float32))
        with torch.no_grad():
            wanted = pixel_targets(
                encoder.normalise(clean, full, torch.ones_like(validity)), encoder.config.patch
            )
        tokens, predicted = self.student(pixels, shown, validity, hidden)
        loss = distillation_loss(
            tokens,
            target,
            predicted,
            wanted,
            tokens_valid,
            full.repeat_interleave(PIXEL_CELLS**2, dim=1),
            config,
        )
        if not torch.isfinite(loss):
            raise InternalError(f"the loss is not finite at step {self.step}", fix="lower the learning rate")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), config.clip)
        self.optimiser.step()
        self.step += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Checkpoint, whole or absent."""
        buffer = io.BytesIO()
        torch.save(
            {
                "student": self.student.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
                "config": asdict(self.config),
            },
            buffer,
        )
        write_atomic(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same configuration; another configuration is refused."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["config"] != asdict(self.config):
            raise InputError(
                "the checkpoint belongs to another configuration", path=path, fix="choose another --out"
            )
        self.student.load_state_dict(state["student"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])


def train(run: Run, out: Path, *, report_every: int = 50, save_every: int = 250) -> None:
    """Advance to the last step; prints loss, images per second and the time left."""
    checkpoint = out / "checkpoint.pt"
    out.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        run.load(checkpoint)
        print(f"distil: resumed at step {run.step}", flush=True)
    started, first, losses = time.monotonic(), run.step, []
    while run.step < run.config.steps:
        losses.append(run.advance())
        if run.step % report_every == 0 or run.step == run.config.steps:
            rate = (run.step - first) / (time.monotonic() - started)
            print(
                f"distil: step {run.step}/{run.config.steps}, loss {np.mean(losses):.4f}, "
                f"{rate * run.config.batch:.0f} images/s, {(run.config.steps - run.step) / rate:.0f} s left",
                flush=True,
            )
            losses.clear()
        if run.step % save_every == 0 or run.step == run.config.steps:
            run.save(checkpoint)
