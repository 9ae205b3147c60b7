"""Options and entry of `python -m codec.evaluate rate`."""

from __future__ import annotations

import argparse
import os
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from codec.evaluate import shared_options

if TYPE_CHECKING:  # the parser is made for every command: it must not load torch
    from codec.evaluate.rate.own_folder import OwnFolder

_OF_YOURS = ("bands", "sensor", "scaling", "nodata", "classes", "splits")
_OF_COLLECTION = ("set", "release", "blocked", "all_places")
PLOTTED = (
    "base", "base + spectral", "base mean", "per-channel prior", "uqe", "opq",
    "klt-jpeg2000-scene", "klt-jpeg2000-tile", "klt-avif-scene", "klt-avif-tile",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of the data collection, or one of yours: pictures by class, or rasters with masks",
    )
    own = parser.add_argument_group("what the files of a folder of yours do not say")
    own.add_argument("--bands", help="names of the files' bands in their order, red,green,nir; - skips one")
    own.add_argument("--sensor", help="whose band names and scalings are meant")
    own.add_argument(
        "--scaling", help="a scaling of that sensor, or scale,offset: reflectance = scale·number + offset"
    )
    own.add_argument("--nodata", type=float, help="number of pixels that were not measured")
    own.add_argument(
        "--classes", help="of masks: names in the order of their numbers, or 0=-,1=dry,2=water; - is no class"
    )
    own.add_argument(
        "--splits", type=Path, help="table of splits, as a run without it writes one under --out"
    )
    shared_options.add_encoder(parser)
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
    shared_options.add_out(parser)
    shared_options.add_results(parser)
    parser.add_argument(
        "--curves",
        choices=("none", "plotted", "all"),
        default="plotted",
        help="methods with a row for every setting, beside what is said of a whole curve; all: a hundred thousand rows",
    )
    parser.add_argument("--plots", type=Path, help="folder for the curves")
    parser.add_argument(
        "--processes",
        type=int,
        default=min(4, os.cpu_count() or 1),
        help="that score side by side, some 1.5 GB each (default: processors, at most 4)",
    )


def run(options: argparse.Namespace) -> None:
    """Score what is not scored yet, then report."""
    from codec.errors import InputError, UsageError
    from codec.evaluate.rate.opened import label_of
    from codec.evaluate.rate.plots import check_drawable
    from codec.evaluate.rate.report import REFERENCE
    from codec.evaluate.rate.run import Setting
    from codec.evaluate.rate.scope import Scope
    from codec.evaluate.rate.suite import chosen
    from codec.evaluate.rate.suite_run import Report, prepared
    from codec.evaluate.rate.suite_run import run as run_suite
    from codec.evaluate.rows import as_text, save
    from codec.heads.regimes import REGIMES

    if options.processes < 1 or options.blocked < 0 or options.seed < 0:
        raise InputError(
            "--processes is at least 1, --blocked and --seed at least 0",
            found=(options.processes, options.blocked, options.seed),
        )
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
    if options.plots:
        check_drawable()
    setting = Setting(
        options.split, options.blocked, 2 if options.fast else 5, options.seed, regimes, options.all_places
    )
    prepare = partial(
        prepared, wanted, options.encoder, options.data, options.out, setting,
        tuple(options.set), tuple(options.method), _own(options),
    )  # fmt: skip
    suite = options.results.stem if options.results else "rate"
    curves = {"none": (), "plotted": PLOTTED, "all": None}[options.curves]
    encoder = label_of(options.encoder)
    outcome = run_suite(prepare, Report(suite, encoder, curves, options.plots, PLOTTED), options.processes)
    rows = outcome.rows
    print(as_text(row for row in rows if row.case.count("/") < 6))
    if options.results:
        partial_run = bool(options.set or options.method)
        save(
            rows, options.results.parent, ("swathpack", "numpy", "torch", "imagecodecs"), per_machine=False,
            instead_of=() if partial_run else Scope.of_suite(wanted, suite, encoder, outcome.sets, regimes),
        )  # fmt: skip
    shared_options.raise_refused(outcome.refused)


def _own(options: argparse.Namespace) -> OwnFolder | None:
    """The folder of a user, None of the collection. Raises UsageError for options of the other one."""
    from codec.data.picture_files import PictureRule
    from codec.errors import InputError, UsageError
    from codec.evaluate.rate.own_folder import OwnFolder, is_collection

    collection = is_collection(options.data)
    strange = [name for name in _OF_YOURS if getattr(options, name) is not None]
    if not collection:
        strange = [name for name in _OF_COLLECTION if getattr(options, name)]
    if strange:
        raise UsageError(
            f"--{strange[0].replace('_', '-')} is for {'folders of your own' if collection else 'the data collection'}",
            fix=f"leave it out, or give another --data than {options.data}",
        )
    if collection:
        return None
    scaling: str | tuple[float, float] | None = options.scaling
    if options.scaling and "," in options.scaling:
        try:
            scale, offset = (float(part) for part in options.scaling.split(","))
        except ValueError as error:
            raise InputError(
                "--scaling is a name or two numbers", found=options.scaling, fix="as --scaling 1e-4,0"
            ) from error
        if not (isfinite(scale) and isfinite(offset) and scale > 0):
            raise InputError("a scale is above 0, and both numbers are finite", found=options.scaling)
        scaling = scale, offset
    bands = tuple(part.strip() for part in options.bands.split(",")) if options.bands else None
    classes = tuple(part.strip() for part in options.classes.split(",")) if options.classes else ()
    rule = PictureRule(bands, options.sensor, scaling, options.nodata)
    return OwnFolder(options.data, rule, classes, options.splits)
