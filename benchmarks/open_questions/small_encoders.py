"""Encoders that differ in size alone: width and depth over more than 16 times the parameters; same views, as many samples.

Every run is one of `codec.pretrain train` with the shipped recipe but for what stands here, and resumes as it does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.open_questions.evidence import SUITE, Bench
from codec.evaluate.rows import Row
from codec.models.vit import Encoder
from codec.models.weights import save_encoder
from codec.pretrain.labels import load_pool
from codec.pretrain.recipe import Recipe, load_recipe
from codec.pretrain.run import REPORT, Run, train


@dataclass(frozen=True)
class Sizes:
    """What is trained."""

    widths_depths: tuple[tuple[int, int], ...] = ((48, 2), (128, 4), (192, 4))
    seeds: tuple[int, ...] = (0, 1, 2)
    samples: int = 12_000
    recipe: str = "s2-nano"
    # Prefixes of the token would be other shares of each width.
    overrides: tuple[str, ...] = ("objective.nested=[]", "schedule.warmup=1500")

    def recipe_of(self, width: int, depth: int, seed: int) -> Recipe:
        """The whole recipe of one encoder."""
        own = (
            f"model.width={width}",
            f"model.depth={depth}",
            f"schedule.samples={self.samples}",
            f"seed={seed}",
        )
        return load_recipe(self.recipe, (*self.overrides, *own))


SIZES = Sizes()


def label(width: int, depth: int) -> str:
    """How rows call a size."""
    return f"width-{width}-depth-{depth}"


def name_of(width: int, depth: int, seed: int) -> str:
    """How folders call an encoder."""
    return f"{label(width, depth)}-seed-{seed}"


def weights(folder: Path, width: int, depth: int, seed: int) -> Path:
    """Where an encoder lies once it is trained."""
    return folder / name_of(width, depth, seed) / "encoder.safetensors"


def parameters(config: Sizes, width: int, depth: int) -> int:
    """Numbers that are learnt."""
    encoder = Encoder(config.recipe_of(width, depth, 0).model.config())
    return sum(p.numel() for p in encoder.parameters())


def train_all(config: Sizes, pool: Path, folder: Path) -> Iterator[Path]:
    """Train what is not there yet, all sizes of one seed before the next; yields each encoder."""
    views = None
    for seed in config.seeds:
        for width, depth in config.widths_depths:
            path = weights(folder, width, depth, seed)
            if not path.exists():
                views = views or load_pool(pool)
                torch.manual_seed(seed)
                run = Run(views, config.recipe_of(width, depth, seed))
                train(run, path.parent)
                save_encoder(run.encoder.cpu(), path, half=True)
            yield path


def rows(bench: Bench, config: Sizes = SIZES) -> Iterator[Row]:
    """Trains what is not there; parameters, and CPU-seconds of every run."""
    folder = bench.runs / "questions" / "encoders"
    for path in train_all(config, bench.runs / "pool-s2-nano", folder):
        took = json.loads((path.parent / REPORT).read_text())["energy"]["cpu_s"]
        yield Row(
            SUITE,
            f"sizes/{path.parent.name}",
            "cpu-seconds of training",
            float(took),
            unit="s",
            n=config.samples,
        )
    for width, depth in config.widths_depths:
        count = parameters(config, width, depth)
        yield Row(
            SUITE,
            f"sizes/{label(width, depth)}",
            "parameters",
            float(count),
            unit="numbers",
            n=config.samples,
        )
