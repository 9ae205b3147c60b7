"""Options and entry of `python -m codec.evaluate retrieval`."""

from __future__ import annotations

import argparse
import sys
import time

from codec.evaluate import shared_options

SUITE = "default"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    shared_options.add_data(parser)
    shared_options.add_encoder(parser)
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
    shared_options.add_out(parser)
    shared_options.add_results(parser)
    shared_options.add_threads(parser)


def run(options: argparse.Namespace) -> None:
    """Score what is not scored yet, then report."""
    from codec.errors import InternalError
    from codec.evaluate.rate.opened import opened
    from codec.evaluate.rate.retrieval_report import rows, table
    from codec.evaluate.rate.retrieval_run import RetrievalRun
    from codec.evaluate.rate.sets import read
    from codec.evaluate.rate.suite import chosen, entries
    from codec.evaluate.rows import save

    shared_options.use_threads(options.threads)
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
    shared_options.raise_refused(refused)
