"""What an encoder adapted to the rate is worth: bytes at equal utility against the one it began as, and against a control.

    python -m benchmarks.rate_aware --data ../shared/data --arm start=A.safetensors,B.safetensors \\
        --arm control=… --arm rate-aware=… --split val

One file a seed, the same seeds in every arm. Every encoder gets its own codec, fitted as the harness fits `base`, and own
heads; sets, folds and heads are those of `codec.evaluate rate`. The score that must be reached is that of the first arm's
encoder uncompressed, less a loss, so that a better or worse encoder shows as fewer or more bytes. Rows per seed carry an
interval over places and training sets; rows of all seeds the geometric mean and Student's interval over the seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import t

from benchmarks.results import FOLDER, Row
from codec.errors import SwathpackError, UsageError
from codec.evaluate.rate.curve_intervals import Bootstrap, bytes_interval, point_intervals, without_bytes
from codec.evaluate.rate.embedding import base
from codec.evaluate.rate.encoders import open_encoder
from codec.evaluate.rate.opened import opened
from codec.evaluate.rate.report import DRAWS, LOSSES, NUMBER_LOSS
from codec.evaluate.rate.run import Entry, Run, Setting
from codec.evaluate.rate.sets import MULTISPECTRAL, read
from codec.evaluate.rate.store import Scored
from codec.evaluate.rate.suite import BOTH
from codec.evaluate.rate.targets import Evidence, Target
from codec.evaluate.rate.utility import Judge
from codec.evaluate.rows import as_text, save

SUITE = "rate-aware"
ENTRIES = (Entry(base.BASE), Entry(base.BASE_MEAN), Entry(base.BASE, BOTH))


def ratio_rows(
    case: str, evidence: Evidence, target: Target, scored: Mapping[str, Scored], seed: int
) -> Iterator[Row]:
    """Scores uncompressed, bytes at each loss, and how many times fewer they are than the first arm's, for every head."""
    first, *others = scored
    view = "tokens" if target.level == "token" else "tokens mean"
    judge = Judge.of_target(evidence, target, scored[first], view)
    how = replace(Bootstrap(), draws=DRAWS, statistic=judge.statistic("score"))
    reference = judge.uncompressed("score")
    for arm, of in scored.items():
        own = Judge.of_target(evidence, target, of, view).uncompressed("score")
        (found,) = point_intervals(without_bytes(own), how)
        yield Row(
            SUITE, f"{case}/{target.name}/{arm}/seed {seed}", f"{judge.name('score')} uncompressed", found.value, found.low,
            found.high, judge.unit("score"), seeds=str(seed),
        )  # fmt: skip
    for key in scored[first].answers:
        if key.target != target.name or key.view.endswith("max"):
            continue
        curves = {arm: judge.measured(of, key, "score") for arm, of in scored.items()}
        for loss in LOSSES[target.level] if target.is_class else NUMBER_LOSS:
            label = f"bytes at −{100 * loss:g}"
            where = f"{case}/{target.name}/{scored[first].method}/{key.view}/{key.regime}"
            for arm, curve in curves.items():
                found = bytes_interval(curve, None, -loss, how, reference=reference)
                yield Row(
                    SUITE, f"{where}/{arm}/seed {seed}", label, found.value, found.low, found.high,
                    f"B/tile [{found.note}]", seeds=str(seed),
                )  # fmt: skip
            for arm in others:
                found = bytes_interval(curves[arm], curves[first], -loss, how, reference=reference)
                yield Row(
                    SUITE, f"{where}/{arm}/seed {seed}", f"times fewer {label}", found.value, found.low, found.high,
                    f"ratio [{found.note}]", first, seeds=str(seed),
                )  # fmt: skip


def over_seeds(rows: list[Row]) -> Iterator[Row]:
    """Geometric means of the ratios of all seeds, with Student's interval over them."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if row.metric.startswith("times fewer") and np.isfinite(row.value) and row.value > 0:
            found.setdefault((row.case.rpartition("/")[0], row.metric, row.rival), []).append(
                float(np.log(row.value))
            )
    for (case, metric, rival), logs in found.items():
        n, mean = len(logs), float(np.mean(logs))
        half = float(t.ppf(0.975, n - 1) * np.std(logs, ddof=1) / n**0.5) if n > 1 else float("nan")
        low, high = (None, None) if n < 2 else (float(np.exp(mean - half)), float(np.exp(mean + half)))
        yield Row(
            SUITE, f"{case}/all seeds", metric, float(np.exp(mean)), low, high,
            "ratio [geometric mean, 95% over encoders]", rival, n=n,
        )  # fmt: skip


def measured(options: argparse.Namespace, arms: Mapping[str, list[Path]]) -> Iterator[list[Row]]:
    """Rows of one set and method after another, all seeds."""
    setting = Setting(options.split)
    bands = opened(options.package, options.data).bands
    sets = read(MULTISPECTRAL, options.data, bands)
    first = next(iter(arms))
    for name in options.set or MULTISPECTRAL:
        for entry in ENTRIES:
            if options.method and entry.name not in options.method:
                continue
            rows: list[Row] = []
            for seed in range(len(arms[first])):
                scored = {}
                for arm, paths in arms.items():
                    out = options.out / f"{options.split}-{arm}-{seed}"
                    run = Run(open_encoder(str(paths[seed])), sets, out, setting)
                    scored[arm] = run.score(name, entry)
                for target in sets[name].targets:
                    case = f"{options.package}/{options.split}/{name}"
                    rows += ratio_rows(case, sets[name], target, scored, seed)
            yield [*rows, *over_seeds(rows)]


def _arms(texts: list[str]) -> dict[str, list[Path]]:
    arms = {}
    for text in texts:
        name, _, paths = text.partition("=")
        if not (name and paths):
            raise UsageError(f"--arm {text}: give NAME=FILE,FILE,…")
        arms[name] = [Path(path) for path in paths.split(",")]
    if len({len(paths) for paths in arms.values()}) != 1 or len(arms) < 2:
        raise UsageError(
            "give two arms or more, with as many files each", found={k: len(v) for k, v in arms.items()}
        )
    return arms


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write benchmarks/results/rate-aware.csv."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rate_aware", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument(
        "--arm",
        action="append",
        required=True,
        metavar="NAME=FILE,…",
        help="encoder.safetensors of every seed; again",
    )
    parser.add_argument(
        "--package", default="s2-nano", help="the package whose bands are read, for the rows' names"
    )
    parser.add_argument("--split", choices=("val", "test", "unseen"), default="val")
    parser.add_argument("--set", action="append", choices=MULTISPECTRAL, help="again for more (default: all)")
    parser.add_argument("--method", action="append", choices=[entry.name for entry in ENTRIES])
    parser.add_argument("--out", type=Path, default=Path("runs/rate-aware/rate"), help="answers and planes")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the results")
    options = parser.parse_args(arguments)
    try:
        for rows in measured(options, _arms(options.arm)):
            print(as_text(rows), flush=True)
            save(rows, options.results, ("swathpack", "numpy", "torch"), per_machine=False)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
