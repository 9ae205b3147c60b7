"""Methods with encoders of their own beside those of a suite: `python -m codec.evaluate.rate.adapted`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from codec.errors import SwathpackError, UsageError
from codec.evaluate import shared_options

# What the recipe is compared with where nothing else is asked for.
BESIDE = ("base", "base mean", "per-channel prior", "uqe", "klt-jpeg2000-tile")


@dataclass(frozen=True)
class Given:
    """What the points of all methods need to be opened; picklable."""

    methods: tuple[tuple[str, tuple[Path, ...]], ...]
    models: Path
    data: Path
    start: Path
    layout: str | None = None  # of the data; None: the collection


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m codec.evaluate.rate.adapted", description=__doc__)
    shared_options.add_data(parser)
    shared_options.add_encoder(parser)
    parser.set_defaults(encoder=None)  # the points say it
    parser.add_argument(
        "--points", action="append", required=True, metavar="NAME=RUN,RUN,…",
        help="a method's name and the folders of its points; again for more methods",
    )  # fmt: skip
    parser.add_argument(
        "--start-weights", dest="start", type=Path, required=True, help="the start that the points come from"
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of model packages")
    parser.add_argument(
        "--layout", choices=("ucmerced", "potsdam"),
        help="the data are this published set as its authors lay it out, and the encoder is that of the start",
    )  # fmt: skip
    parser.add_argument(
        "--fast", action="store_true", help="a check that it runs: two resamples, two methods"
    )
    parser.add_argument("--suite", default="default")
    parser.add_argument("--set", action="append", default=[], help="of the suite; again for more")
    parser.add_argument("--method", action="append", default=[], help=f"beside; default: {', '.join(BESIDE)}")
    parser.add_argument("--split", choices=("val", "test", "unseen"), default="val")
    parser.add_argument("--regime", action="append", help="one, mixed, per-rate; default: all three")
    parser.add_argument("--resamples", type=int, default=5)
    parser.add_argument("--all-places", action="store_true", help="for encoders trained elsewhere")
    parser.add_argument("--processes", type=int, default=1)
    report = parser.add_mutually_exclusive_group()
    report.add_argument("--curves", choices=("none", "all"), default="all")
    report.add_argument(
        "--brief", action="store_true",
        help="only the points, and how they stand beside ours at shares of the uncompressed score; one process",
    )  # fmt: skip
    shared_options.add_out(parser)
    shared_options.add_results(parser)
    return parser


def _given(options: argparse.Namespace) -> Given:
    methods = []
    for text in options.points:
        name, equals, runs = text.partition("=")
        if not (name and equals and runs):
            raise UsageError(f"--points {text}: give NAME=RUN,RUN,…")
        methods.append((name, tuple(Path(run) for run in runs.split(","))))
    return Given(tuple(methods), options.models, options.data, options.start, options.layout)


def _label(options: argparse.Namespace, given: Given) -> str:
    """What rows call the encoder, and the harness opens: the one that the points began as.

    Others' embeddings beside theirs would be compared with scores that they never had.
    """
    from codec.nec.coding import recipe_of

    began = recipe_of(given.methods[0][1][0] / "point.pt").start.encoder
    if options.layout is not None and (options.set or options.encoder):
        raise UsageError(
            "--set and --encoder are for the collection", fix=f"leave them out with --layout {options.layout}"
        )
    if options.encoder and began not in (options.encoder, Path(options.encoder).name):
        raise UsageError(
            f"the points began as {began}", found=options.encoder, fix=f"leave out --encoder, or give {began}"
        )
    return str(options.encoder or began) if options.layout is None else began.replace("/", "_")


def _run(options: argparse.Namespace) -> None:
    from codec.evaluate.rate.adapted.brief import brief_rows
    from codec.evaluate.rate.adapted.point_rows import point_rows
    from codec.evaluate.rate.adapted.work import prepared
    from codec.evaluate.rate.run import Setting
    from codec.evaluate.rate.suite import chosen
    from codec.evaluate.rate.suite_run import Report
    from codec.evaluate.rate.suite_run import run as run_suite
    from codec.evaluate.rows import as_text, save
    from codec.heads.regimes import REGIMES

    given = _given(options)
    encoder = _label(options, given)
    setting = Setting(
        options.split, 0, 2 if options.fast else options.resamples, 0, tuple(options.regime or REGIMES),
        options.all_places,
    )  # fmt: skip
    wanted = chosen(options.suite, options.set)
    methods = tuple(options.method or (BESIDE[:2] if options.fast else BESIDE))
    prepare = partial(prepared, given, wanted, encoder, options.out, setting, tuple(options.set), methods)
    suite = options.results.stem if options.results else "nec-2024"
    curves = None if options.curves == "all" else ()
    rows = [row for name, runs in given.methods for row in point_rows(suite, encoder, name, runs)]
    refused: tuple[str, ...] = ()
    if options.brief:
        rows += brief_rows(prepare(), suite, encoder, [name for name, _ in given.methods])
    else:
        outcome = run_suite(prepare, Report(suite, encoder, curves), options.processes)
        rows += outcome.rows
        refused = outcome.refused
    print(as_text(rows))
    if options.results:
        save(
            rows,
            options.results.parent,
            ("swathpack", "numpy", "torch", "compressai"),
            per_machine=False,
        )
    shared_options.raise_refused(refused)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; a SwathpackError becomes one line and its exit code."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
