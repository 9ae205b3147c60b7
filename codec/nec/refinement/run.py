"""Training a refinement: deterministic, resumable, one step = several groups of tiles, each of one quality.

The loss of a group is its squared error after refinement over that before, so that every rate counts alike.
All randomness of step s comes from (seed, s): a resumed run gives the weights of one that never stopped.
"""

from __future__ import annotations

import io
import json
import math
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from codec.atomic import write_atomic
from codec.errors import InputError, InternalError
from codec.nec.recipe import check_same
from codec.nec.refinement.degraded import Group, Windows
from codec.nec.refinement.network import RefinementNetwork, Statistics
from codec.nec.refinement.recipe import Recipe
from codec.pretrain.energy import Energy, Meter

CHECKPOINT, REPORT = "checkpoint.pt", "run.json"
MAX_PARAMETERS = 200_000


def rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, a cosine towards 1 % of the peak at the horizon, and at last a linear fall to 1 % of where it was."""
    warmup, horizon = recipe.warmup // recipe.batch, -(-recipe.horizon // recipe.batch)
    cooldown = min(recipe.cooldown // recipe.batch, recipe.steps)
    start = recipe.steps - cooldown
    if step < warmup:
        return recipe.peak_rate * (step + 1) / warmup
    progress = min(1.0, (min(step, start) - warmup) / max(1, horizon - warmup))
    found = recipe.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
    return found * (1 - 0.99 * max(0, step - start) / max(1, cooldown))


def ratio(network: RefinementNetwork, group: Group) -> Tensor:
    """Squared error over the valid tokens after refinement over that before, of one group."""
    inputs = [torch.from_numpy(a) for a in network_inputs(group)]
    truth, weight = torch.from_numpy(group.truth), inputs[2][..., None]
    before = ((inputs[0] - truth) ** 2 * weight).sum()
    after = ((network(*inputs) - truth) ** 2 * weight).sum()
    return after / before.clamp(min=1e-20)


def network_inputs(group: Group) -> tuple[np.ndarray, ...]:
    """The two planes, validity, steps, arrived: in the order of the network's arguments."""
    first, other = group.planes.values()
    return first, other, group.validity, group.steps, group.arrived


class Run:
    """Network, optimiser and the step it is at."""

    def __init__(self, windows: Windows, recipe: Recipe) -> None:
        self.windows, self.recipe, self.step, self.energy = windows, recipe, 0, Energy()
        self.trace: list[tuple[int, float]] = []  # step, mean ratio since the last entry
        torch.manual_seed(recipe.seed)
        self.network = RefinementNetwork(Statistics.of(windows), recipe)
        if self.network.n_parameters > MAX_PARAMETERS:
            raise InputError(
                "the refinement is too large",
                expected=f"at most {MAX_PARAMETERS} parameters",
                found=self.network.n_parameters,
                fix="lower width, hidden or condition",
            )
        matrices = [p for p in self.network.parameters() if p.ndim >= 2]
        rest = [p for p in self.network.parameters() if p.ndim < 2]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.weight_decay},
                {"params": rest, "weight_decay": 0.0},
            ],
            lr=recipe.peak_rate,
            betas=(0.9, 0.98),
        )
        self._usable = np.flatnonzero(windows.validity.any((1, 2)))

    def advance(self) -> float:
        """One step; the mean ratio of its groups. Raises InternalError where it is not finite."""
        recipe = self.recipe
        for part in self.optimiser.param_groups:
            part["lr"] = rate(recipe, self.step)
        rng = np.random.default_rng([recipe.seed, self.step])
        self.optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for _ in range(recipe.groups):
            tiles = np.sort(rng.choice(self._usable, min(recipe.group, len(self._usable)), replace=False))
            loss = ratio(self.network, self.windows.degrade(tiles, self.windows.draw(recipe, rng)))
            (loss / recipe.groups).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach()) / recipe.groups
        if not math.isfinite(total):
            raise InternalError(f"the loss is not finite at step {self.step}", fix="lower peak_rate")
        nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        self.optimiser.step()
        self.step += 1
        return total

    def save(self, path: Path) -> None:
        """Checkpoint, whole or absent."""
        buffer = io.BytesIO()
        torch.save(
            {
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
                "recipe": self.recipe.model_dump(mode="json"),
                "windows": self.windows.identity,
                "trace": self.trace,
                "energy": [
                    self.energy.wall_s,
                    self.energy.cpu_s,
                    self.energy.measured_j,
                    self.energy.source,
                ],
            },
            buffer,
        )
        write_atomic(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same recipe and the same embeddings; others are refused by InputError."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        check_same(self.recipe.model_dump(mode="json"), state["recipe"], path)
        if state["windows"] != self.windows.identity:
            raise InputError(
                "the run belongs to other embeddings or another codec",
                path=path,
                expected=self.windows.identity[:16],
                found=str(state["windows"])[:16],
                fix="choose another --out",
            )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.energy = int(state["step"]), Energy(*state["energy"])
        self.trace = [(int(s), float(v)) for s, v in state["trace"]]

    def report(self) -> dict[str, Any]:
        """What the run was: recipe, data, machine, versions, energy."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "windows": self.windows.identity,
            "package": {
                "name": self.windows.package.name,
                "codec_id": self.windows.package.codec_id.hex(),
            },
            "ladder_indices": [self.windows.indices.start, self.windows.indices.stop - 1],
            "parameters": self.network.n_parameters,
            "step": self.step,
            "samples": self.step * self.recipe.batch,
            "trace": self.trace,
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

    Prints the ratio of squared errors; writes `checkpoint.pt` every minute and `run.json` at the end.
    """
    out.mkdir(parents=True, exist_ok=True)
    if (out / CHECKPOINT).exists():
        run.load(out / CHECKPOINT)
        print(f"refinement: resumed at step {run.step}", flush=True)
    meter = Meter(run.energy)
    started = saved = time.monotonic()
    first, losses, steps = run.step, [], run.recipe.steps
    while run.step < steps and time.monotonic() - started < stop_after_s:
        losses.append(run.advance())
        if run.step % report_every == 0 or run.step == steps:
            speed = (run.step - first) / (time.monotonic() - started)
            mean = float(np.mean(losses))
            run.trace.append((run.step, round(mean, 5)))
            print(
                f"refinement: step {run.step}/{steps}, error after/before {mean:.4f}, "
                f"{(steps - run.step) / speed:.0f} s left",
                flush=True,
            )
            losses.clear()
        if time.monotonic() - saved > save_every_s:
            run.energy = meter.read()
            run.save(out / CHECKPOINT)
            saved = time.monotonic()
    run.energy = meter.read()
    run.save(out / CHECKPOINT)
    write_atomic(out / REPORT, (json.dumps(run.report(), indent=1) + "\n").encode())
    return run.step == steps
