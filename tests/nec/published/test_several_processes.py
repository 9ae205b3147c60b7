"""Two processes under torchrun train one model: the step is that of the mean of their gradients."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from small_nec import needs_compressai, views, written

from codec.nec.__main__ import main
from codec.nec.point import Place
from codec.nec.processes import Processes
from codec.nec.published import Nec2024
from codec.nec.recipe import Recipe, load_recipe
from codec.nec.samples import Samples
from codec.nec.start import autoencoder_of, load_start
from codec.nec.train import CHECKPOINT, REPORT, Run, read_checkpoint

pytestmark = [needs_compressai, pytest.mark.long]  # two processes that import torch: a minute
SET = ["--fast", "--set", "start.encoder=vit-nano/8@s2"]


class OneOfTwo(Processes):
    """A process of two, here: keeps its own gradients, or takes the mean of its own and another's."""

    def __init__(self, rank: int, other: OneOfTwo | None = None) -> None:
        super().__init__("cpu")
        self.rank, self.other = rank, other
        self.own: list[torch.Tensor | None] = []

    def average(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        for index, parameter in enumerate(parameters):
            gradient = parameter.grad
            self.own.append(None if gradient is None else gradient.clone())
            if self.other is not None and gradient is not None:
                their = self.other.own[index]
                assert their is not None
                gradient.add_(their).div_(2)


def run_of(recipe: Recipe, start: Path, processes: Processes) -> Run:
    place = Place(Path("models"), None, start)
    autoencoder = autoencoder_of(recipe, place.root, place.data)
    samples = Samples.of(views(), autoencoder.of)
    digest = load_start(recipe, samples, autoencoder, start)
    return Run(recipe, Nec2024(autoencoder), samples, digest, processes)


def test_two_processes_take_the_step_of_their_mean_gradient(tmp_path: Path) -> None:
    pool, start, out = written(tmp_path / "pool", views()), tmp_path / "start.pt", tmp_path / "run"
    common = [
        "nec-2024",
        *SET,
        "--set",
        "schedule.steps=1",
        "--pool",
        str(pool),
        "--start-weights",
        str(start),
    ]
    assert main(["start", *common]) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*torchrun, "-m", "codec.nec", "train", *common, "--out", str(out)], check=True, timeout=600
    )
    report = json.loads((out / REPORT).read_text())
    assert (report["processes"], report["step"]) == (2, 1)
    found = read_checkpoint(out / CHECKPOINT)["model"]

    recipe = load_recipe("nec-2024", [*SET[2::2], "schedule.steps=1"], fast=True)
    second = OneOfTwo(1)
    run_of(recipe, start, second).advance()
    first = run_of(recipe, start, OneOfTwo(0, second))
    before = {name: p.detach().clone() for name, p in first.model.named_parameters()}
    first.advance()
    moved = 0
    for name, parameter in first.model.named_parameters():
        # The order in which float32 sums are taken: Adam's first step divides it by the gradient itself.
        torch.testing.assert_close(found[name], parameter.detach(), atol=2e-5, rtol=1e-5)
        moved += not torch.allclose(before[name], parameter.detach(), atol=2e-5)
    assert moved > 10
    alone = run_of(recipe, start, OneOfTwo(0))
    alone.advance()
    name = "autoencoder.encoder.norm.weight"
    assert not torch.allclose(dict(alone.model.named_parameters())[name], found[name], atol=2e-5)


def test_a_run_of_two_processes_goes_on_where_it_stopped(tmp_path: Path) -> None:
    pool, out = written(tmp_path / "pool", views()), tmp_path / "run"
    common = ["nec-2024-repaired", *SET, "--set", "schedule.steps=4", "--pool", str(pool)]
    common += ["--start-weights", str(tmp_path / "start.pt")]
    assert main(["start", *common]) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    train = [*torchrun, "-m", "codec.nec", "train", *common, "--out", str(out)]
    stopped = subprocess.run([*train, "--minutes", "0"], timeout=600, capture_output=True, text=True)
    assert stopped.returncode != 0
    assert "stopped in time" in stopped.stderr
    assert read_checkpoint(out / CHECKPOINT)["step"] == 0
    subprocess.run(train, check=True, timeout=600)
    assert read_checkpoint(out / CHECKPOINT)["step"] == 4
