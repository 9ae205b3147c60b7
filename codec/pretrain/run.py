"""A training run: deterministic, resumable, on a processor or a GPU.

All randomness of step s comes from (seed, s): a run that is resumed from a checkpoint gives the same weights as one that
never stopped. On a GPU the whole pool lies in its memory, arithmetic is bf16 and the student is compiled.
"""

from __future__ import annotations

import io
import json
import math
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from codec.atomic import write_atomic
from codec.errors import BackendUnavailable, InputError, InternalError
from codec.pretrain.energy import Energy, Meter
from codec.pretrain.jitter import drop_bands, drop_pixels, jitter
from codec.pretrain.labels import Pool
from codec.pretrain.objectives import Targets, loss, pixel_targets
from codec.pretrain.processor import keep_memory, native_bf16
from codec.pretrain.recipe import Recipe, check_same
from codec.pretrain.student import PIXEL_CELLS, Student

CHECKPOINT, REPORT = "checkpoint.pt", "run.json"


def resolve_device(recipe: Recipe) -> torch.device:
    """`auto` is a GPU where there is one; a GPU that is asked for and absent is BackendUnavailable."""
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise BackendUnavailable("no CUDA device is here", fix="--set device=cpu")
    return torch.device("cuda" if recipe.device != "cpu" and torch.cuda.is_available() else "cpu")


def resolve_precision(recipe: Recipe, device: torch.device) -> torch.dtype:
    """bf16 where it is native; elsewhere it would be ten times slower than float32."""
    wanted = recipe.precision
    if wanted == "auto":
        wanted = "bf16" if device.type == "cuda" or native_bf16() else "fp32"
    return torch.bfloat16 if wanted == "bf16" else torch.float32


def rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then half a cosine to 1 % of the peak."""
    schedule = recipe.schedule
    warmup = schedule.warmup // schedule.batch
    if step < warmup:
        return schedule.peak_rate * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, schedule.steps - warmup))
    return schedule.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def _parameter_groups(model: nn.Module, decay: float) -> list[dict[str, object]]:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


class Run:
    """Model, optimiser and the step it is at; `save` and `load` make it resumable."""

    def __init__(self, pool: Pool, recipe: Recipe) -> None:
        self.recipe, self.pool, self.step, self.energy = recipe, pool, 0, Energy()
        self.device = resolve_device(recipe)
        self.compute = resolve_precision(recipe, self.device)
        config = recipe.model.config()
        if pool.bands_of != config.bands:
            raise InputError(
                "the pool has other bands than the model", expected=config.bands, found=pool.bands_of
            )
        torch.manual_seed(recipe.seed)
        self.student = Student(recipe, pool.tokens.shape[-1]).to(self.device)
        self.encoder = self.student.encoder
        self.forward: Any = torch.compile(self.student) if self.device.type == "cuda" else self.student
        self.optimiser = torch.optim.AdamW(
            _parameter_groups(self.student, recipe.schedule.weight_decay),
            lr=recipe.schedule.peak_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.pixels = torch.from_numpy(pool.pixels)
        self.tokens = torch.from_numpy(pool.tokens)
        if self.device.type == "cuda":
            self.pixels, self.tokens = self.pixels.to(self.device), self.tokens.to(self.device)

    def _choose(self, rng: np.random.Generator) -> np.ndarray:
        """Indices of the batch; pairs of views of one image where the recipe contrasts them."""
        n, batch = len(self.pool.pixels), self.recipe.schedule.batch
        if not self.recipe.objective.contrast:
            return np.sort(rng.choice(n, size=min(batch, n), replace=False))
        first = rng.choice(n, size=min(batch // 2, n), replace=False)
        members = self.pool.members
        second = [rng.choice(members[int(self.pool.image[i])]) for i in first]
        return np.concatenate([first, np.array(second)])

    def batch(self) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Targets]:
        """What the student is given at this step (pixels, bands, validity, hidden), and what it must give."""
        recipe, encoder, device = self.recipe, self.encoder, self.device
        rng = np.random.default_rng([recipe.seed, self.step])
        index = self._choose(rng)
        where = torch.from_numpy(index).to(device)
        clean = self.pixels[where].float()
        has = np.asarray(self.pool.bands[index])
        shown = torch.from_numpy(drop_bands(has, encoder.config.bands, rng)).to(device)
        validity = torch.from_numpy(drop_pixels(len(index), clean.shape[-1], rng)).to(device)
        pixels = jitter(clean, encoder.config.bands, rng)
        valid = encoder.cut(validity[:, None])
        counts = (valid.mean(-1)[:, :, 0] >= 0.5).float()
        hidden = torch.zeros_like(counts)
        if rng.random() < recipe.objective.hidden_batches:
            drawn = rng.random(hidden.shape) < recipe.objective.hidden_tokens
            hidden = torch.from_numpy(drawn.astype(np.float32)).to(device)
        full = torch.from_numpy(has.astype(np.float32)).to(device)
        with torch.no_grad():
            z = encoder.normalise(encoder.cut(clean), full, torch.ones_like(valid), finite=True)
            wanted = pixel_targets(z, encoder.config.patch)
        corrected = self.pool.correct(self.tokens[where].float(), index, recipe.objective.corrected)
        targets = Targets(
            corrected.flatten(1, 2),
            wanted,
            counts,
            hidden,
            full.repeat_interleave(PIXEL_CELLS**2, dim=1),
            torch.from_numpy(self.pool.image[index].astype(np.int64)).to(device),
        )
        return (pixels, shown, validity, hidden), targets

    def terms(self) -> dict[str, Tensor]:
        """The weighted terms of this step's loss."""
        inputs, targets = self.batch()
        return loss(self.forward(*inputs, self.compute), targets, self.recipe.objective)

    def advance(self) -> float:
        """One step; the loss. Stops the run when the loss is not finite."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate(self.recipe, self.step)
        terms = self.terms()
        if not terms:
            raise InputError("the recipe has no objective", fix="give a term of the objective a weight")
        total = torch.stack(list(terms.values())).sum()
        value = float(total.detach())
        if not math.isfinite(value):
            raise InternalError(f"the loss is not finite at step {self.step}", fix="lower schedule.peak_rate")
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.student.parameters(), self.recipe.schedule.clip)
        self.optimiser.step()
        self.step += 1
        return value

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "student": self.student.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "recipe": self.recipe.model_dump(mode="json"),
            "teacher_width": int(self.pool.tokens.shape[-1]),
            "energy": [self.energy.wall_s, self.energy.cpu_s, self.energy.measured_j, self.energy.source],
        }

    def save(self, path: Path) -> None:
        """Checkpoint, whole or absent."""
        buffer = io.BytesIO()
        torch.save(self.state(), buffer)
        write_atomic(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same recipe; another recipe is refused."""
        self.restore(torch.load(path, map_location=self.device, weights_only=True), path)

    def restore(self, state: Mapping[str, Any], path: Path) -> None:
        """Continue from what `path` holds."""
        check_same(self.recipe, state["recipe"], path)
        self.student.load_state_dict(state["student"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])
        self.energy = Energy(*state["energy"])

    def report(self) -> dict[str, Any]:
        """What the run was: recipe, machine, versions, energy."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "step": self.step,
            "samples": self.step * self.recipe.schedule.batch,
            "device": self.device.type if self.device.type == "cpu" else torch.cuda.get_device_name(),
            "arithmetic": str(self.compute).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "versions": {
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            "energy": self.energy.report(),
        }


def train(
    run: Run,
    out: Path,
    *,
    stop_after_s: float = math.inf,
    report_every: int = 100,
    save_every_s: float = 60.0,
) -> bool:
    """Advance to the last step, or until `stop_after_s` seconds have passed; True when the run is complete.

    Prints loss, images per second and the time left; writes `checkpoint.pt` every minute and `run.json` at the end.
    """
    keep_memory()
    checkpoint = out / CHECKPOINT
    out.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        run.load(checkpoint)
        print(f"train: resumed at step {run.step}", flush=True)
    meter = Meter(run.energy, gpu=run.device.index or 0 if run.device.type == "cuda" else None)
    started = saved = time.monotonic()
    first, losses, steps = run.step, [], run.recipe.schedule.steps
    while run.step < steps and time.monotonic() - started < stop_after_s:
        losses.append(run.advance())
        if run.step % report_every == 0 or run.step == steps:
            speed = (run.step - first) / (time.monotonic() - started)
            print(
                f"train: {run.recipe.name} seed {run.recipe.seed}, step {run.step}/{steps}, loss {np.mean(losses):.4f}, "
                f"{speed * run.recipe.schedule.batch:.0f} images/s, {(steps - run.step) / speed:.0f} s left",
                flush=True,
            )
            losses.clear()
        if time.monotonic() - saved > save_every_s:
            run.energy = meter.read()
            run.save(checkpoint)
            saved = time.monotonic()
    run.energy = meter.read()
    run.save(checkpoint)
    write_atomic(out / REPORT, (json.dumps(run.report(), indent=1) + "\n").encode())
    return run.step == steps
