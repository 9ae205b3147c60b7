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
from codec.pretrain.fit import open_encoder
from codec.pretrain.labels import load_pool
from codec.pretrain.recipe import Recipe, load_recipe
from codec.pretrain.run import CHECKPOINT, REPORT, Run, train


@dataclass(frozen=True)
class Sizes:
    """What is trained, as the campaign of `codec/pretrain/recipes/candidates.yaml` was."""

    widths_depths: tuple[tuple[int, int], ...] = ((32, 2), (128, 4), (128, 6))
    seeds: tuple[int, ...] = (0, 1, 2)
    samples: int = 24_000
    recipe: str = "s2-nano"
    overrides: tuple[str, ...] = (
        "objective.pixel=0.2",
        "objective.pixels_from=trunk",
        "objective.nested=[]",
        "objective.hidden_batches=0.3",
        "schedule.warmup=3000",
        "schedule.peak_rate=0.0015",
    )
    # Runs of that campaign, which are taken where they are there and have the very recipe.
    known: tuple[tuple[tuple[int, int], str], ...] = (
        ((128, 4), "candidates/base"),
        ((128, 6), "candidates/depth-6"),
    )

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
FOLDER = "questions/encoders"  # below the runs


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


def known_encoder(
    config: Sizes, runs: Path, width: int, depth: int, seed: int
) -> tuple[Encoder, float] | None:
    """An encoder of the campaign with the CPU-seconds of its training; None where it is not there, was not trained to its
    end, or has another recipe.
    """
    for size, folder in config.known:
        path = runs / folder / f"seed-{seed}" / CHECKPOINT
        if size != (width, depth) or not path.is_file():
            continue
        state = torch.load(path, map_location="cpu", weights_only=True)
        recipe = config.recipe_of(width, depth, seed)
        if Recipe.model_validate(state["recipe"]) == recipe and state["step"] == recipe.schedule.steps:
            return open_encoder(path), float(state["energy"][1])
    return None


def train_all(config: Sizes, runs: Path) -> Iterator[tuple[Path, float]]:
    """Train what is not there yet, the smallest first; yields each encoder and what its training took in CPU-seconds."""
    views = None
    for width, depth in config.widths_depths:
        for seed in config.seeds:
            path = weights(runs / FOLDER, width, depth, seed)
            known = known_encoder(config, runs, width, depth, seed)
            if not path.exists() and known is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                save_encoder(known[0], path, half=True)
            elif not path.exists():
                views = views or load_pool(runs / "pool-s2-nano")
                run = Run(views, config.recipe_of(width, depth, seed))
                train(run, path.parent)
                save_encoder(run.encoder.cpu(), path, half=True)
            took = known[1] if known else json.loads((path.parent / REPORT).read_text())["energy"]["cpu_s"]
            yield path, float(took)


def rows(bench: Bench, config: Sizes = SIZES) -> Iterator[Row]:
    """Trains what is not there; parameters, and CPU-seconds of every run."""
    for path, took in train_all(config, bench.runs):
        case = f"sizes/{path.parent.name}"
        yield Row(SUITE, case, "cpu-seconds of training", took, unit="s", n=config.samples)
    for width, depth in config.widths_depths:
        count = float(parameters(config, width, depth))
        yield Row(
            SUITE, f"sizes/{label(width, depth)}", "parameters", count, unit="numbers", n=config.samples
        )
