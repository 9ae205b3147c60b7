"""Options and entry of `python -m codec.evaluate rate`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the parser is made for every command: it must not load torch
    from codec.evaluate.rate.run import Setting
    from codec.evaluate.rate.targets import Evidence
    from codec.evaluate.rows import Row

ENCODER = "s2-nano"
PLOTTED = (
    "base", "base + spectral", "shipped + spectral", "per-channel prior", "uqe", "pq", "fsq", "base mean", "mean opq",
    "klt-jpeg2000-scene", "klt-jpeg2000-tile", "klt-avif-scene", "klt-avif-tile",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument(
        "--encoder",
        default=ENCODER,
        help="a package, weights, galileo_nano, module:function, … (see encoders.py)",
    )
    parser.add_argument("--suite", help="default, full, rgb or fast (default: default)")
    parser.add_argument("--fast", action="store_true", help="the same as --suite fast with two resamples")
    parser.add_argument(
        "--set", action="append", default=[], help="of the suite; again for more (default: all)"
    )
    parser.add_argument(
        "--release",
        action="store_true",
        help="the sets that are held back for releases too, as the last ones",
    )
    parser.add_argument(
        "--method", action="append", default=[], help="of the suite; again for more (default: all)"
    )
    parser.add_argument("--split", choices=("val", "test", "unseen"), default="val")
    parser.add_argument(
        "--blocked",
        type=int,
        default=0,
        help="fold lone tiles by groups instead of the split: number of folds",
    )
    parser.add_argument(
        "--all-places",
        action="store_true",
        help="score the training part of folded scenes too; only for encoders that were not trained on the collection",
    )
    parser.add_argument(
        "--regime", action="append", help="one, mixed, per-rate; again for more (default: one, mixed)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/rate"), help="scored answers; a run goes on there"
    )
    parser.add_argument(
        "--results", type=Path, help="CSV of results to write the rows to; its name is the suite"
    )
    parser.add_argument("--plots", type=Path, help="folder for the curves")
    parser.add_argument("--threads", type=int, default=2)


def run(options: argparse.Namespace) -> None:
    """Score what is not scored yet, then report."""
    import torch

    from codec.errors import InputError, PartialResult, UsageError
    from codec.evaluate.rate.report import REFERENCE, Question, error_rows
    from codec.evaluate.rate.run import Setting
    from codec.evaluate.rate.suite import chosen
    from codec.evaluate.rate.suite import run as run_suite
    from codec.evaluate.rows import as_text, save
    from codec.heads.regimes import REGIMES

    if options.threads < 1 or options.blocked < 0 or options.seed < 0:
        raise InputError(
            "--threads is at least 1, --blocked and --seed at least 0",
            found=(options.threads, options.blocked, options.seed),
        )
    torch.set_num_threads(options.threads)
    if options.fast and options.suite not in (None, "fast"):
        raise UsageError(f"--fast is a suite, and so is --suite {options.suite}", fix="give one of them")
    wanted = chosen(
        "fast" if options.fast else options.suite or "default", options.set, release=options.release
    )
    regimes = tuple(options.regime or REGIMES[:2])
    if unknown := [regime for regime in regimes if regime not in REGIMES]:
        raise InputError(f"there is no regime {unknown[0]!r}", expected=", ".join(REGIMES))
    if "one" not in regimes:
        raise InputError(
            "thresholds and agreement need the regime one", found=regimes, fix="add --regime one"
        )
    if options.method and REFERENCE not in options.method:
        raise InputError(
            f"method {REFERENCE!r} is what all are compared with", fix=f"add --method {REFERENCE}"
        )
    setting = Setting(
        options.split, options.blocked, 2 if options.fast else 5, options.seed, regimes, options.all_places
    )
    outcome = run_suite(
        wanted, options.encoder, options.data, options.out, setting,
        sets=options.set, methods=options.method,
    )  # fmt: skip
    suite = options.results.stem if options.results else "rate"
    rows = []
    for set_name, of in outcome.sets.items():
        mine = {method: s for (where, method), s in outcome.scored.items() if where == set_name}
        rows += list(scored_rows(Path(options.encoder).name, of, setting, suite))
        rows += list(error_rows(Path(options.encoder).name, of, mine, suite))
        for target in of.targets:
            question = Question(Path(options.encoder).name, of, target, mine, suite)
            print(f"reporting {question.case}", file=sys.stderr, flush=True)
            rows += list(question.rows())
            if options.plots:
                for regime in regimes:
                    question.plot(options.plots, regime, PLOTTED)
    print(as_text(row for row in rows if row.case.count("/") < 6))
    if options.results:
        save(rows, options.results.parent, ("swathpack", "numpy", "torch", "imagecodecs"), per_machine=False)
    if outcome.refused:
        raise PartialResult(
            f"{len(outcome.refused)} methods were refused and are not in the rows: {outcome.refused[0]}",
            found="; ".join(outcome.refused[1:]) or None,
            fix="mend the method; the others need not run again",
        )


def scored_rows(encoder: str, evidence: Evidence, setting: Setting, suite: str) -> Iterator[Row]:
    """How many tiles of a set, and how many places, are scored; n is how many there are."""
    import numpy as np

    from codec.evaluate.rows import Row

    groups = evidence.tiles.groups
    held = np.any([fold.held for fold in setting.folds(evidence)], axis=0)
    case = f"{encoder}/{evidence.tiles.name}"
    yield Row(suite, case, "tiles scored", float(held.sum()), unit="tiles", n=len(held))
    places = len(np.unique(groups[held]))
    yield Row(suite, case, "places scored", float(places), unit="places", n=len(np.unique(groups)))
