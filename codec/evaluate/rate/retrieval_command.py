"""Options and entry of `python -m codec.evaluate retrieval`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

SUITE = "default"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument(
        "--encoder",
        default="s2-nano",
        help="a package, weights, galileo_nano, module:function, … (see encoders.py)",
    )
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        help="of the default suite of `rate`; again for more (default: all)",
    )
    parser.add_argument(
        "--split",
        choices=("val", "test", "unseen"),
        default="unseen",
        help="columns that are searched (default: all that no codec and no encoder saw)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/rate"), help="scored answers; a run goes on there"
    )
    parser.add_argument(
        "--results", type=Path, help="CSV of results to write the rows to; its name is the suite"
    )
    parser.add_argument("--threads", type=int, default=2)


def run(options: argparse.Namespace) -> None:
    """Score what is not scored yet, then report."""
    import torch

    from codec.errors import InputError, InternalError, PartialResult
    from codec.evaluate.rate.opened import opened
    from codec.evaluate.rate.retrieval_report import rows, table
    from codec.evaluate.rate.retrieval_run import RetrievalRun
    from codec.evaluate.rate.sets import read
    from codec.evaluate.rate.suite import chosen, entries
    from codec.evaluate.rows import save

    if options.threads < 1:
        raise InputError("--threads is at least 1", found=options.threads)
    torch.set_num_threads(options.threads)
    found = opened(options.encoder, options.data)
    suite = chosen(SUITE)
    wanted = entries(suite, found.package, options.method)
    sets = read(suite.sets, options.data, found.bands)
    retrieval = RetrievalRun(found.encoder, options.data, found.bands, sets, options.out, options.split)
    scored, refused = {}, []
    began = time.monotonic()
    for number, entry in enumerate(wanted, start=1):
        try:
            scored[entry.name] = retrieval.score(entry)
        except InternalError as error:
            refused.append(str(error))
        left = (time.monotonic() - began) / number * (len(wanted) - number)
        print(f"{number}/{len(wanted)} {entry.name}; {left:.0f} s left", file=sys.stderr, flush=True)
    name = options.results.stem if options.results else "retrieval"
    groups = retrieval.task.visits.tiles.groups
    out = list(rows(found.name, name, retrieval.reference, scored, groups))
    print(table(out))
    if options.results:
        packages = ("swathpack", "numpy", "torch", "imagecodecs")
        save(out, options.results.parent, packages, per_machine=False)
    if refused:
        raise PartialResult(
            f"{len(refused)} methods were refused and are not in the rows: {refused[0]}",
            found="; ".join(refused[1:]) or None,
            fix="mend the method; the others need not run again",
        )
