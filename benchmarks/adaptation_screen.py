"""How much of an encoder should be adapted to the rate, and for how long: `python -m benchmarks.adaptation_screen`.

    python -m benchmarks.adaptation_screen --data ../shared/data --pool runs/pool-s2-nano --start-weights START.pt

First a screening at one λ and one seed: five sets of trained layers, each with all before it, times five lengths. Then
the finalists, three λ and three seeds: the two of the lowest Lagrangian, and the published set at the published length.
Every run is kept, a run that stopped goes on, and what is finished is not run again: the same command goes on after
anything. Rows are written after each run, the shortest runs first.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.command import finished
from benchmarks.results import FOLDER, Row, load
from codec.errors import TryAgain
from codec.evaluate.rows import as_text, save

RECIPE = "nec-2024-repaired"
SETS = ("entropy", "patch-embedding", "last-block", "first-decoder-block", "all")
LENGTHS = (30, 100, 300, 1000, 3000)
WEIGHT = 1114.0  # the λ at which the recipe lands on 0.09 bit per element (points.json of its search)
WEIGHTS = (91.5, WEIGHT, 3006.0)  # 0.02, 0.09 and 0.30
SEEDS = (0, 1, 2)
PUBLISHED = ("first-decoder-block", 1000)
FINALISTS = 2  # beside the published one
_SUITE = "adaptation"

_say = partial(print, flush=True)


@dataclass(frozen=True, slots=True)
class Trial:
    """One run."""

    trainable: str
    steps: int
    weight: float
    seed: int

    @property
    def case(self) -> str:
        return f"s2-nano/{self.trainable}/{self.steps} steps/λ {self.weight:g}/seed {self.seed}"

    @property
    def folder(self) -> str:
        return f"{self.trainable}-{self.steps}-{self.weight:g}-{self.seed}"

    @property
    def overrides(self) -> list[str]:
        named = {"trainable": self.trainable, "schedule.steps": self.steps, "rate.weight": self.weight}
        return [f"{name}={value}" for name, value in {**named, "seed": self.seed}.items()]


def screening() -> list[Trial]:
    """Every set and length at one λ and seed, the shortest first."""
    return [Trial(name, steps, WEIGHT, 0) for steps in LENGTHS for name in SETS]


def finalists(lagrangian: dict[tuple[str, int], float]) -> list[tuple[str, int]]:
    """Set and length of those that go on, of a whole screening; the published one always does."""
    best = sorted((one for one in lagrangian if one != PUBLISHED), key=lambda one: lagrangian[one])
    return [*best[:FINALISTS], PUBLISHED]


def screened(rows: Sequence[Row]) -> dict[tuple[str, int], float]:
    """The Lagrangians of the screening that are among the rows."""
    wanted = {trial.case: (trial.trainable, trial.steps) for trial in screening()}
    return {wanted[r.case]: r.value for r in rows if r.metric == "Lagrangian" and r.case in wanted}


def over_seeds(rows: Sequence[Row]) -> Iterator[Row]:
    """Mean over the seeds of what every seed has, from the smallest to the largest."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        case, _, seed = row.case.rpartition("/")
        if seed.startswith("seed "):
            groups.setdefault((case, row.metric), []).append(row)
    for (case, metric), of in groups.items():
        if len(of) == len(SEEDS):
            values, unit = [row.value for row in of], of[0].unit.partition(" [")[0]
            seeds = ",".join(sorted(row.seeds for row in of))
            yield Row(
                _SUITE, f"{case}/all seeds", metric, float(np.mean(values)), min(values), max(values),
                f"{unit} [smallest and largest of {len(of)} seeds]", n=len(of), seeds=seeds,
            )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.adaptation_screen", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument("--pool", type=Path, required=True, help="views of `python -m codec.pretrain label`")
    parser.add_argument("--start-weights", dest="start", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of model packages")
    parser.add_argument("--out", type=Path, default=Path("runs/adaptation"), help="a folder for each run")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the results")
    parser.add_argument("--screening-only", action="store_true", help="without the finalists")
    parser.add_argument(
        "--minutes", type=float, default=math.inf,
        help="stop after so long with exit code 75; the same command goes on",
    )  # fmt: skip
    return parser


def _run(options: argparse.Namespace) -> None:
    from benchmarks.adaptation_screen_point import Measure
    from codec.nec.point import Place, make_point
    from codec.nec.recipe import Trainable, load_recipe
    from codec.pretrain.labels import load_pool
    from codec.pretrain.processor import keep_memory

    assert get_args(Trainable) == SETS
    keep_memory()
    pool, place = load_pool(options.pool), Place(options.models, options.data, options.start)
    measure, until = Measure(place), time.monotonic() + 60 * options.minutes
    path = options.results / f"{_SUITE}.csv"

    def through(trials: Sequence[Trial]) -> None:
        done = {row.case for row in load(path)} if path.exists() else set()
        for trial in trials:
            if trial.case in done:
                continue
            left = until - time.monotonic()
            if left <= 0:
                raise TryAgain("stopped in time", path=options.out, fix="the same command goes on")
            recipe = load_recipe(RECIPE, trial.overrides)
            make_point(
                recipe, pool, place, options.out / trial.folder, stop_after_s=left, tell=lambda text: None
            )
            rows = list(measure.rows(options.out / trial.folder, trial.case, str(trial.seed)))
            _say(as_text(rows))
            save(rows, options.results, ("swathpack", "numpy", "torch", "compressai"), per_machine=False)

    through(screening())
    if options.screening_only:
        return
    chosen = finalists(screened(load(path)))
    trials = [Trial(*one, weight, seed) for seed in SEEDS for weight in WEIGHTS for one in chosen]
    through(sorted(trials, key=lambda trial: trial.steps))
    cases = {trial.case for trial in trials}
    found = list(over_seeds([row for row in load(path) if row.case in cases]))
    save(found, options.results, ("swathpack", "numpy", "torch", "compressai"), per_machine=False)
    _say(as_text(found))


def main(arguments: list[str] | None = None) -> int:
    """Run what is left; a SwathpackError becomes one line and its exit code."""
    options = _parser().parse_args(arguments)
    return finished(partial(_run, options))


if __name__ == "__main__":
    sys.exit(main())
