"""What a decoder-side refinement is worth: the same bytes with and without it, on places that no training saw.

    python -m benchmarks.refinement --data ../shared/data --graph decoder.onnx --split val

Sets, folds, heads and intervals are those of `codec.evaluate rate`; the refinement is not part of the package yet, its
graph is given by name. Every pair shares its records byte for byte: `shipped` decodes them as the format says, `shipped +
refinement` runs the graph behind. Written: squared error of the tokens after over that before, at every setting; for every
target and head the bytes at a loss, how many times fewer they are with it, and the difference of scores at equal bytes.
Heads `one` were fitted on uncompressed embeddings and stay as they are; `mixed` ones on uncompressed and decoded ones of
all settings, refined for the refined method.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.results import FOLDER, Row
from codec.errors import InputError, SwathpackError
from codec.evaluate.intervals import bootstrap, mean_of
from codec.evaluate.rate.curve_intervals import Bootstrap, bytes_interval, utility_intervals
from codec.evaluate.rate.embedding import mean_spectral, shipped
from codec.evaluate.rate.embedding.refined import SUFFIX, refined_methods
from codec.evaluate.rate.opened import opened
from codec.evaluate.rate.report import DRAWS, LOSSES, NUMBER_LOSS
from codec.evaluate.rate.run import Entry, Run, Setting
from codec.evaluate.rate.sets import MULTISPECTRAL, read
from codec.evaluate.rate.store import Scored
from codec.evaluate.rate.suite import BOTH
from codec.evaluate.rate.targets import Evidence, Target
from codec.evaluate.rate.utility import Judge
from codec.evaluate.rows import as_text, save
from codec.nec.refinement.session import OnnxRefinement
from codec.types import BoolArray

SUITE = "refinement"
EQUAL_BYTES = (64, 256)  # a tile


def error_rows(
    case: str, evidence: Evidence, held: BoolArray, plain: Scored, refined: Scored
) -> Iterator[Row]:
    """Squared error of the tokens after over before at every setting, drawn over places."""
    groups = np.unique(evidence.tiles.groups[held], return_inverse=True)[1]
    for s, setting in enumerate(plain.settings):
        pair = [
            np.bincount(groups, scored.errors["tokens"][s][held].astype(np.float64))
            for scored in (refined, plain)
        ]
        found = bootstrap(np.stack(pair, axis=-1)[None], statistic=mean_of, draws=DRAWS)
        yield Row(
            SUITE, f"{case}/{setting}", "error after/before", found.value, found.low, found.high,
            "ratio [95% bootstrap over places]", plain.method, n=int(held.sum()),
        )  # fmt: skip
        sent = float(plain.sizes[s][held].mean())
        yield Row(SUITE, f"{case}/{setting}", "bytes", sent, unit="B/tile")


def utility_rows(
    case: str, evidence: Evidence, target: Target, plain: Scored, refined: Scored
) -> Iterator[Row]:
    """Bytes at a loss with and without, their ratio, and the score at equal bytes."""
    view = "tokens" if target.level == "token" else "tokens mean"
    judge = Judge.of_target(evidence, target, plain, view)
    how = replace(Bootstrap(), draws=DRAWS, statistic=judge.statistic("score"))
    reference = judge.uncompressed("score")
    losses = LOSSES[target.level] if target.is_class else NUMBER_LOSS
    for key in plain.answers:
        if key.target != target.name:
            continue
        where = f"{case}/{target.name}/{key.view}/{key.regime}"
        before, after = (judge.measured(scored, key, "score") for scored in (plain, refined))
        for loss in losses:
            label = f"bytes at −{100 * loss:g}"
            for name, measured in ((plain.method, before), (refined.method, after)):
                found = bytes_interval(measured, None, -loss, how, reference=reference)
                yield Row(
                    SUITE, f"{where}/{name}", label, found.value, found.low, found.high, f"B/tile [{found.note}]"
                )  # fmt: skip
            found = bytes_interval(after, before, -loss, how, reference=reference)
            yield Row(
                SUITE, where, f"times fewer {label}", found.value, found.low, found.high,
                f"ratio [{found.note}]", plain.method,
            )  # fmt: skip
        for size, gain in zip(EQUAL_BYTES, utility_intervals(after, before, EQUAL_BYTES, how), strict=True):
            if np.isfinite((gain.value, gain.low, gain.high)).all():
                yield Row(
                    SUITE, where, f"{judge.name('score')}-difference at {size} B", gain.value, gain.low, gain.high,
                    f"{judge.unit('score')} [95% interval]", plain.method,
                )  # fmt: skip


def pairs(package_name: str, data: Path, graph: Path) -> Mapping[str, tuple[Entry, Entry]]:
    """Methods without and with the refinement."""
    package = opened(package_name, data).package
    if package is None:
        raise InputError("a refinement belongs to a package", found=package_name)
    digest = hashlib.sha256(graph.read_bytes()).hexdigest()
    refinement = OnnxRefinement(package, graph)
    refinement.check()
    plain = (
        shipped.shipped(package),
        shipped.shipped_prefixes(package),
        shipped.shipped_mean(package),
        mean_spectral.shipped_mean_spectral(package),
    )
    behind = refined_methods(package, refinement, digest)
    return {
        one.about.name: (Entry(one, BOTH), Entry(two, BOTH)) for one, two in zip(plain, behind, strict=True)
    }


def measured(
    options: argparse.Namespace, names: tuple[str, ...], methods: tuple[str, ...]
) -> Iterator[list[Row]]:
    """Rows of one set and method after another."""
    of = opened(options.package, options.data)
    setting = Setting(options.split)
    run = Run(of.encoder, read(MULTISPECTRAL, options.data, of.bands), options.out, setting)
    known = pairs(options.package, options.data, options.graph)
    for name in names:
        evidence = run.sets[name]
        held = np.asarray(np.any([fold.held for fold in setting.folds(evidence)], axis=0), np.bool_)
        for method in methods:
            plain, refined = (run.score(name, entry) for entry in known[method])
            case = f"{of.name}/{name}/{options.split}/{method}{SUFFIX}"
            rows = list(error_rows(case, evidence, held, plain, refined))
            for target in evidence.targets:
                if target.level == "tile" and not target.is_class:
                    continue  # one number a tile is read off the mean, which is the same with and without
                rows += utility_rows(case, evidence, target, plain, refined)
            yield rows


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write benchmarks/results/refinement.csv."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.refinement", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument("--graph", type=Path, required=True, help="the refinement, decoder.onnx")
    parser.add_argument("--package", default="s2-nano", help="name or folder of the package")
    parser.add_argument("--split", choices=("val", "test", "unseen"), default="val")
    parser.add_argument("--set", action="append", choices=MULTISPECTRAL, help="again for more (default: all)")
    parser.add_argument(
        "--method", action="append", choices=("shipped", "shipped prefixes", "shipped mean", "shipped L0+S")
    )
    parser.add_argument("--out", type=Path, default=Path("runs/refinement/rate"), help="answers and planes")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the results")
    options = parser.parse_args(arguments)
    try:
        names = tuple(options.set or MULTISPECTRAL)
        methods = tuple(options.method or ("shipped", "shipped prefixes"))
        for rows in measured(options, names, methods):
            print(as_text(rows), flush=True)
            save(rows, options.results, ("swathpack", "numpy", "torch", "onnxruntime"), per_machine=False)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
