"""What the learned parts are worth together: the refinement behind the decoder, the encoder adapted to the rate, and both.

    python -m benchmarks.learned_together prepare --data ../shared/data --encoder A.safetensors --out runs/together/base-0
    python -m benchmarks.learned_together measure --data ../shared/data --split val \\
        --base runs/together/base-0,… --adapted runs/together/adapted-0,…

`prepare` makes a package of an encoder's weights: a codec fitted as a shipped one is, and a refinement trained for it; it
resumes. `measure` takes one package a seed, the same seeds on both sides, and compares four cells: `base` (a base package,
plain), `refinement`, `adapted` and `both`. Every cell has its own heads; sets, folds and heads are those of `codec.evaluate
rate`. The score to be reached is that of the base encoder uncompressed, less a loss. A part's own share is the geometric
mean of what it saves with and without the other part: the shares of both multiply to what they save together. Rows per
seed carry an interval over places and training sets, rows of all seeds the geometric mean and Student's interval.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.rate_aware import over_seeds
from benchmarks.results import FOLDER, Row
from codec.errors import ExitCode, InputError, SwathpackError, UsageError
from codec.evaluate.rate.curve_intervals import Bootstrap, bytes_interval, point_intervals, without_bytes
from codec.evaluate.rate.embedding import shipped
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
from codec.nec.refinement.session import DECODER, refinement_of
from codec.package import Package, load

SUITE = "learned-together"
METHODS = ("shipped", "shipped mean")
CELLS = ("base", "refinement", "adapted", "both")
PAIRS = (  # a cell, and what it is held against
    ("refinement", "base"), ("adapted", "base"), ("both", "base"), ("both", "adapted"), ("both", "refinement"),
)  # fmt: skip
SHARES = {  # of what `both` saves: with and without the other part
    "refinement": (("refinement", "base"), ("both", "adapted")),
    "adapted": (("adapted", "base"), ("both", "refinement")),
}


def cell_rows(
    case: str, evidence: Evidence, target: Target, cells: Mapping[str, Scored], seed: int
) -> Iterator[Row]:
    """Scores uncompressed, bytes of every cell at each loss, ratios of the pairs and the part of each share."""
    base = cells["base"]
    view = "tokens" if target.level == "token" else "tokens mean"
    judge = Judge.of_target(evidence, target, base, view)
    how = replace(Bootstrap(), draws=DRAWS, statistic=judge.statistic("score"))
    reference = judge.uncompressed("score")
    for cell in ("base", "adapted"):
        own = Judge.of_target(evidence, target, cells[cell], view).uncompressed("score")
        (found,) = point_intervals(without_bytes(own), how)
        yield Row(
            SUITE, f"{case}/{target.name}/{cell}/seed {seed}", f"{judge.name('score')} uncompressed", found.value,
            found.low, found.high, judge.unit("score"), seeds=str(seed),
        )  # fmt: skip
    for key in base.answers:
        if key.target != target.name or key.view.endswith("max"):
            continue
        curves = {cell: judge.measured(of, key, "score") for cell, of in cells.items()}
        where = f"{case}/{target.name}/{base.method}/{key.view}/{key.regime}"
        for loss in LOSSES[target.level] if target.is_class else NUMBER_LOSS:
            label = f"bytes at −{100 * loss:g}"
            for cell, curve in curves.items():
                found_bytes = bytes_interval(curve, None, -loss, how, reference=reference)
                yield Row(
                    SUITE, f"{where}/{cell}/seed {seed}", label, found_bytes.value, found_bytes.low,
                    found_bytes.high, f"B/tile [{found_bytes.note}]", seeds=str(seed),
                )  # fmt: skip
            ratios = {}
            for cell, rival in PAIRS:
                ratio = bytes_interval(curves[cell], curves[rival], -loss, how, reference=reference)
                ratios[cell, rival] = ratio
                yield Row(
                    SUITE, f"{where}/{cell}/seed {seed}", f"times fewer {label}", ratio.value, ratio.low, ratio.high,
                    f"ratio [{ratio.note}]", rival, seeds=str(seed),
                )  # fmt: skip
            for part, pairs in SHARES.items():
                with_and_without = [ratios[pair] for pair in pairs]
                share = (with_and_without[0].value * with_and_without[1].value) ** 0.5
                end = "" if not any(r.outside for r in with_and_without) else "; an end of a curve is in it"
                yield Row(
                    SUITE, f"{where}/{part}/seed {seed}", f"times fewer {label}, its share", share,
                    unit=f"ratio [geometric mean of two orders{end}]", rival="base", seeds=str(seed),
                )  # fmt: skip


def together(rows: Sequence[Row]) -> Iterator[Row]:
    """Rows of all seeds; says so where a seed's curve ended before the score."""
    for row in over_seeds(list(rows)):
        mine = [
            r
            for r in rows
            if (r.case.rpartition("/")[0], r.metric, r.rival)
            == (row.case.rpartition("/")[0], row.metric, row.rival)
        ]
        ended = sum("not reached" in r.unit or "an end of a curve" in r.unit for r in mine)
        note = f"; {ended} of {len(mine)} at an end of a curve" if ended else ""
        seeds = ",".join(r.seeds for r in mine)
        yield replace(row, suite=SUITE, unit=row.unit.removesuffix("]") + f"{note}]", seeds=seeds)


def entries(package: Package) -> dict[str, tuple[Entry, Entry]]:
    """By method: plain and refined. Layer 0 is sent alone; all layers with the spectral plane, which the refinement reads.

    Raises InputError for a package without refinement.
    """
    refinement = refinement_of(package)
    if refinement is None:
        raise InputError(
            f"package {package.name!r} has no {DECODER}", path=package.folder, fix="`prepare` trains one"
        )
    digest = hashlib.sha256(package.path(DECODER).read_bytes()).hexdigest()
    behind = {method.about.name: method for method in refined_methods(package, refinement, digest)}
    plain = {"shipped": shipped.shipped(package), "shipped mean": shipped.shipped_mean(package)}
    planes = {"shipped": BOTH, "shipped mean": ("tokens",)}
    return {
        name: (Entry(plain[name], planes[name]), Entry(behind[name + SUFFIX], planes[name]))
        for name in METHODS
    }


def measured(options: argparse.Namespace) -> Iterator[list[Row]]:
    """Rows of one set and method after another, all seeds."""
    sides = [options.base.split(","), options.adapted.split(",")]
    if len(sides[0]) != len(sides[1]):
        raise UsageError("give as many adapted packages as base ones", found=tuple(map(len, sides)))
    setting = Setting(options.split)
    packages = [[opened(name, options.data) for name in side] for side in sides]
    for one in (one for side in packages for one in side):
        if one.package is None:
            raise InputError("a cell is a model package", found=one.given, fix="`prepare` makes one")
    sets = read(MULTISPECTRAL, options.data, packages[0][0].bands)
    runs = [
        [Run(one.encoder, sets, options.out / f"{options.split}-{cell}-{seed}", setting) for seed, one in enumerate(side)]
        for cell, side in zip(("base", "adapted"), packages, strict=True)
    ]  # fmt: skip
    known = [[entries(one.package) for one in side if one.package] for side in packages]
    for name in options.set or MULTISPECTRAL:
        for method in options.method or METHODS:
            rows: list[Row] = []
            for seed in range(len(sides[0])):
                pairs = [
                    [run[seed].score(name, entry) for entry in of[seed][method]]
                    for run, of in zip(runs, known, strict=True)
                ]
                cells = dict(zip(CELLS, [*pairs[0], *pairs[1]], strict=True))
                for target in sets[name].targets:
                    case = f"{options.name}/{options.split}/{name}"
                    rows += cell_rows(case, sets[name], target, cells, seed)
            yield [*rows, *together(rows)]


def prepared(
    encoder: Path, out: Path, data: Path, overrides: Sequence[str], minutes: float, threads: int
) -> bool:
    """The package of an encoder with codec and refinement in the folder `out`; False where time ran out first.

    Beside the folder lie the embeddings that it was fitted on and the refinement's run. Raises InputError where `out` was
    made of another encoder, and what fitting and training raise.
    """
    import torch

    from codec.atomic import write_atomic
    from codec.nec.refinement.degraded import Windows, read_embeddings
    from codec.nec.refinement.export import exported
    from codec.nec.refinement.install import install
    from codec.nec.refinement.recipe import load_recipe
    from codec.nec.refinement.run import Run as Training
    from codec.nec.refinement.run import train
    from codec.package.manifest import ENCODER
    from codec.pretrain.fit import fit_package

    torch.set_num_threads(threads)
    windows, training = out.with_name(f"{out.name}-windows.npz"), out.with_name(f"{out.name}-refinement")
    out.mkdir(parents=True, exist_ok=True)
    weights = out / ENCODER
    if weights.exists() and weights.read_bytes() != encoder.read_bytes():
        raise InputError("the package is of another encoder", path=out, fix="choose another --out")
    if not (windows.exists() and (out / "manifest.json").exists()):
        shutil.copyfile(encoder, weights)
        fit_package(out, data, keep=windows)
    package = load(out)
    planes, validity = read_embeddings(windows)
    recipe = load_recipe(None, overrides)
    run = Training(Windows.of(package, planes, validity, recipe), recipe)
    if not train(run, training, stop_after_s=60 * minutes):
        return False
    if DECODER not in package.manifest.files:
        graph = training / DECODER
        write_atomic(graph, exported(package, windows, training).graph)
        install(out, graph)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learned_together", description=__doc__.splitlines()[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="a package of an encoder: codec and refinement; resumes")
    prepare.add_argument("--encoder", type=Path, required=True, help="weights, .safetensors")
    prepare.add_argument("--out", type=Path, required=True, help="folder of the package")
    prepare.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one value of the recipe"
    )
    prepare.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after so long; exit code 75"
    )
    prepare.add_argument("--threads", type=int, default=1)
    measure = commands.add_parser("measure", help="the four cells")
    for side in ("base", "adapted"):
        measure.add_argument(f"--{side}", required=True, metavar="FOLDER,FOLDER,…", help="a package a seed")
    measure.add_argument("--split", choices=("val", "test", "unseen"), default="val")
    measure.add_argument(
        "--set", action="append", choices=MULTISPECTRAL, help="again for more (default: all)"
    )
    measure.add_argument("--method", action="append", choices=METHODS)
    measure.add_argument("--name", default="s2-nano", help="what rows call the encoder")
    measure.add_argument("--out", type=Path, default=Path("runs/together/rate"), help="answers and planes")
    measure.add_argument("--results", type=Path, default=FOLDER, help="folder of the results")
    for command in (prepare, measure):
        command.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Prepare a package; or measure, print, and write benchmarks/results/learned-together.csv."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "prepare":
            done = prepared(
                options.encoder, options.out, options.data, options.set, options.minutes, options.threads
            )
            print(f"prepare: {options.out} {'is done' if done else 'goes on with the same command'}")
            return int(ExitCode.OK if done else ExitCode.TRY_AGAIN)
        for rows in measured(options):
            print(as_text(rows), flush=True)
            save(rows, options.results, ("swathpack", "numpy", "torch", "onnxruntime"), per_machine=False)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
