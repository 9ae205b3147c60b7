"""Training one point of the recipe: deterministic, resumable, on one process or several.

All randomness of step s comes from (seed, s): a run that is resumed gives the same weights as one that never stopped. A
checkpoint of another recipe, other data or other starting weights is refused.
"""

from __future__ import annotations

import io
import json
import math
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codec.atomic import write_atomic
from codec.errors import BackendUnavailable, InputError, InternalError
from codec.nec.curves import Curves
from codec.nec.patches import choose_visible
from codec.nec.processes import Processes
from codec.nec.published import Nec2024, terms
from codec.nec.recipe import Recipe, check_same
from codec.nec.samples import Samples
from codec.nec.start import cosine
from codec.pretrain.energy import Energy, Meter

CHECKPOINT, REPORT = "checkpoint.pt", "run.json"
COLUMNS = ("loss", "distortion", "bits_per_element", "rate")
_FORMAT = "swathpack-nec-2024-1"


class Run:
    """Model, optimisers and the step they are at."""

    def __init__(
        self, recipe: Recipe, model: Nec2024, samples: Samples, start: str, processes: Processes | None = None
    ) -> None:
        """`start`: digest of the starting weights that `model` holds."""
        if recipe.device == "cuda" and not torch.cuda.is_available():
            raise BackendUnavailable("no CUDA device is here", fix="--set device=cpu")
        if recipe.precision == "fp16" and recipe.device != "cuda":
            raise InputError("fp16 is for CUDA alone", fix="--set precision=fp32 or bf16")
        self.recipe, self.model, self.samples, self.step = recipe, model, samples, 0
        self.processes = processes or Processes(recipe.device)
        self.energy = Energy()
        self.begun: dict[str, Any] = {
            "recipe": recipe.model_dump(mode="json"),
            "data": samples.identity,
            "start": start,
        }
        schedule = recipe.schedule
        model.to(recipe.device).train_set(recipe.trainable)
        density = model.bottleneck.density()
        learned = {name: p for name, p in model.autoencoder.named_parameters() if p.requires_grad}
        last = tuple(
            f"encoder.{prefix}" for prefix in model.autoencoder.of.last() if prefix.endswith("norm.")
        )
        norm = [p for name, p in learned.items() if name.startswith(last)]
        rest = [p for name, p in learned.items() if not name.startswith(last)]
        # Loss scaling of the published half-precision runs; it does nothing elsewhere.
        self.scaler = torch.amp.GradScaler(recipe.device, enabled=recipe.precision == "fp16")
        self.optimiser = torch.optim.AdamW(
            [
                {"params": rest, "lr": schedule.peak_rate, "peak": schedule.peak_rate},
                {"params": density, "lr": schedule.density_rate, "peak": schedule.density_rate},
                {"params": norm, "lr": schedule.norm_rate, "peak": schedule.norm_rate},
            ],
            betas=(0.9, 0.95),
            weight_decay=schedule.weight_decay,
        )
        quantiles = [model.bottleneck.quantiles]
        self.quantile_optimiser = torch.optim.Adam(quantiles, lr=schedule.density_rate)
        self.trained = [*rest, *density, *norm]

    def is_unmasked(self, step: int) -> bool:
        """Whether the rate of this step is of all tokens."""
        left = self.recipe.switches.finish_unmasked * self.recipe.schedule.steps
        return step >= self.recipe.schedule.steps - left

    def advance(self) -> dict[str, float]:
        """One step; its loss and terms. Stops the run when something is not finite."""
        recipe, schedule = self.recipe, self.recipe.schedule
        for group in self.optimiser.param_groups:
            group["lr"] = cosine(group["peak"], self.step, schedule.steps)
        for group in self.quantile_optimiser.param_groups:
            group["lr"] = cosine(schedule.density_rate, self.step, schedule.steps)
        tiles, generator = self.samples.batch(recipe.seed, self.step, schedule.batch, self.processes.rank)
        keep = choose_visible(len(tiles), self.model.autoencoder.n_patches, schedule.mask, generator)
        device = torch.device(recipe.device)
        tiles, keep = tiles.to(device), keep.to(device)
        # The bottleneck's noise comes from torch's own generator.
        torch.manual_seed(int(torch.randint(1 << 62, (1,), generator=generator)))
        found = terms(self.model, tiles, keep, recipe, unmasked=self.is_unmasked(self.step))
        names = ("loss", "distortion", "bits_per_element")
        values = (float(x.detach()) for x in (found.loss, found.distortion, found.bits))
        told = dict(zip(names, values, strict=True))
        if not all(map(math.isfinite, told.values())):
            raise InternalError(
                f"the loss is not finite at step {self.step}",
                found=told,
                fix="lower schedule.peak_rate; the last checkpoint is whole",
            )
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(found.loss).backward()  # type: ignore[no-untyped-call]
        self.processes.average(self.trained)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.quantile_optimiser.zero_grad(set_to_none=True)
        self.model.bottleneck.quantile_loss().backward()  # type: ignore[no-untyped-call]
        self.quantile_optimiser.step()
        self.step += 1
        return {**told, "rate": self.optimiser.param_groups[0]["lr"]}

    def save(self, path: Path) -> None:
        """Checkpoint, whole or absent."""
        energy = self.energy
        state = {
            "format": _FORMAT,
            "begun": self.begun,
            "step": self.step,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "quantile optimiser": self.quantile_optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "energy": [energy.wall_s, energy.cpu_s, energy.measured_j, energy.source],
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomic(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same recipe, data and start."""
        state = read_checkpoint(path)
        begun = state["begun"]
        check_same(self.begun["recipe"], begun["recipe"], path)
        check_same({**self.begun, "recipe": None}, {**begun, "recipe": None}, path)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.quantile_optimiser.load_state_dict(state["quantile optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.energy = int(state["step"]), Energy(*state["energy"])

    def report(self) -> dict[str, Any]:
        """What the run was: recipe, machine, versions, energy."""
        return {
            **self.begun,
            "step": self.step,
            "trained": {"share": self.model.share(), "names": self.model.trained()},
            "device": "cpu" if self.recipe.device == "cpu" else torch.cuda.get_device_name(),
            "threads": torch.get_num_threads(),
            "processes": self.processes.count,
            "versions": {
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            "energy": self.energy.report(),
        }


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state of a run. Raises InputError for anything else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["format"] != _FORMAT:
            raise ValueError("another format")
    except FileNotFoundError:
        raise InputError("there is no checkpoint", path=path, fix="train first") from None
    except Exception as error:
        raise InputError(f"not a checkpoint of this room ({type(error).__name__})", path=path) from error
    return dict(state)


def train(
    run: Run,
    out: Path,
    *,
    stop_after_s: float = math.inf,
    report_every: int = 100,
    save_every_s: float = 60.0,
    tell: Callable[[str], None] = print,
) -> bool:
    """Advance to the last step, or until `stop_after_s` seconds have passed; True when the run is complete.

    Writes `checkpoint.pt` every minute, curves as CSV and for TensorBoard, and `run.json` at the end.
    """
    first_process, steps = run.processes.is_first, run.recipe.schedule.steps
    out.mkdir(parents=True, exist_ok=True)
    if (out / CHECKPOINT).exists():
        run.load(out / CHECKPOINT)
        tell(f"train: resumed at step {run.step}")
    curves = Curves(out, COLUMNS, run.step) if first_process else None
    meter = Meter(run.energy, gpu=0 if run.recipe.device == "cuda" else None)
    started = saved = time.monotonic()
    first, told = run.step, []

    def keep() -> None:
        run.energy = meter.read()
        if first_process:
            run.save(out / CHECKPOINT)

    while run.step < steps and not run.processes.agree(time.monotonic() - started >= stop_after_s):
        told.append(run.advance())
        if run.step % report_every == 0 or run.step == steps:
            means = {name: float(np.mean([one[name] for one in told])) for name in COLUMNS}
            told.clear()
            speed = (run.step - first) / (time.monotonic() - started)
            if curves is not None:
                curves.add(run.step, means)
                tell(
                    f"train: {run.recipe.name} seed {run.recipe.seed}, step {run.step}/{steps}, D "
                    f"{means['distortion']:.4f}, {means['bits_per_element']:.4f} bit per element, "
                    f"{(steps - run.step) / speed:.0f} s left"
                )
        if time.monotonic() - saved > save_every_s:
            keep()
            saved = time.monotonic()
    keep()
    if first_process:
        write_atomic(out / REPORT, (json.dumps(run.report(), indent=1) + "\n").encode())
    run.processes.wait()
    return run.step == steps
