"""Candidates trained and scored alike: `python -m codec.evaluate.campaign --data DIR --pool DIR --runs DIR`.

Every (candidate, seed) is a training run of its own folder, resumable, scored by the selection protocol (train + val,
blocked folds; no test file is opened). Several processes may share the work: each takes runs that nobody has begun.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from codec.errors import InputError, SwathpackError
from codec.evaluate.rows import Row, load, save
from codec.pretrain.recipe import SHIPPED, Recipe, check_same, load_recipe, recipe_of_report
from codec.yaml_settings import parse

SUITE = "candidates"
ROWS, REPORT, CLAIM = f"{SUITE}.csv", "run.json", "claimed"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One recipe of the campaign."""

    name: str
    seed: int
    recipe: Recipe


def candidates(path: Path) -> list[Candidate]:
    """All runs of a campaign file, seed by seed, so that an unfinished campaign has whole seeds."""
    values, _ = parse(path.read_text(encoding="utf-8"), path)
    if set(values) != {"base", "seeds", "common", "candidates"}:
        raise InputError(
            "not a campaign", path=path, expected="base, seeds, common, candidates", found=sorted(values)
        )
    return [
        Candidate(name, seed, load_recipe(values["base"], [*values["common"], *changes, f"seed={seed}"]))
        for seed in values["seeds"]
        for name, changes in values["candidates"].items()
    ]


def claim(folder: Path) -> TextIO | None:
    """Take a run for as long as the file that is returned stays open; None where another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / CLAIM, "w")  # noqa: SIM115 — stays open while the run is ours
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, whatever ends it
    except BlockingIOError:
        file.close()
        return None
    return file


def finished(candidate: Candidate, runs: Path) -> bool:
    """Whether the run is trained and scored; InputError where its folder holds a run of another recipe.

    A recipe that changed between two calls would else mix two recipes under one name.
    """
    folder = runs / candidate.name / f"seed-{candidate.seed}"
    if not (folder / ROWS).exists():
        return False
    check_same(candidate.recipe, recipe_of_report(folder / REPORT), folder / REPORT, fix="remove this folder")
    return True


def work(found: Sequence[Candidate], pool: Path, data: Path, runs: Path) -> None:
    """Train and score whatever of `found` is open."""
    from codec.evaluate.select import select_rows
    from codec.pretrain.labels import load_pool
    from codec.pretrain.run import Run, train

    views = load_pool(pool)
    for candidate in found:
        folder = runs / candidate.name / f"seed-{candidate.seed}"
        if finished(candidate, runs) or (mine := claim(folder)) is None:
            continue
        run = Run(views, candidate.recipe)
        train(run, folder, report_every=1000)
        case = f"{candidate.name}/seed-{candidate.seed}"
        encoder = run.encoder.eval().requires_grad_(False)
        rows = select_rows(encoder, data, case, seeds=str(candidate.seed)) + cost_rows(run.report(), case)
        save(rows, folder, ("swathpack", "torch", "numpy"), per_machine=False)
        mine.close()
        print(f"campaign: {case} done", flush=True)


def cost_rows(report: dict[str, Any], case: str) -> list[Row]:
    """What the run cost."""
    seed, energy = str(report["recipe"]["seed"]), report["energy"]
    return [
        Row(SUITE, case, "samples-seen", report["samples"], unit="images", seeds=seed),
        Row(SUITE, case, "cpu-seconds", energy["cpu_s"], unit="s", seeds=seed),
    ]


def collect(found: Sequence[Candidate], runs: Path, results: Path) -> int:
    """Rows of all finished runs into the folder of results; how many runs that were."""
    done = [runs / c.name / f"seed-{c.seed}" / ROWS for c in found if finished(c, runs)]
    save([row for path in done for row in load(path)], results, per_machine=False)
    return len(done)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, score and collect; a SwathpackError becomes one line and its exit code."""
    parser = argparse.ArgumentParser(prog="python -m codec.evaluate.campaign", description=__doc__)
    parser.add_argument("--campaign", type=Path, default=SHIPPED / "candidates.yaml")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pool", type=Path, required=True, help="labelled views of the base recipe")
    parser.add_argument("--runs", type=Path, default=Path("runs/candidates"))
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--collect-only", action="store_true", help="only gather what is done")
    options = parser.parse_args(arguments)
    try:
        found = candidates(options.campaign)
        if not options.collect_only:
            import torch

            torch.set_num_threads(options.threads)
            work(found, options.pool, options.data, options.runs)
        done = collect(found, options.runs, options.results)
        print(json.dumps({"runs": len(found), "done": done, "results": str(options.results)}))
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
