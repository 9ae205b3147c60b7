"""Options and entry of the suite: `python -m codec.evaluate neuco`, also `python -m codec.evaluate.neuco`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from codec.atomic import write_atomic
from codec.errors import InputError
from codec.evaluate import shared_options

ENCODERS = ("s2-nano", "galileo_nano", "pixel-statistics", "random-convolutions", "random-twin@s2-nano")
FAST_SPLITS, FAST_FEATURES = 8, 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The suite's options."""
    parser.add_argument(
        "--embeddings",
        type=Path,
        action="append",
        default=[],
        help=".csv or .npz of vectors, or a folder; again for more",
    )
    parser.add_argument("--labels", type=Path, help="folder of <task>__<type>.csv")
    parser.add_argument("--groups", type=Path, help="CSV of id and group: items that belong together")
    parser.add_argument(
        "--data", type=Path, help="folder of the data collection: the small set made of EuroSAT"
    )
    parser.add_argument("--encoder", action="append", help=f"with --data (default: {', '.join(ENCODERS)})")
    parser.add_argument(
        "--no-kernels", action="store_true", help="with --data: without the training-free entry"
    )
    parser.add_argument("--cache", type=Path, help="folder to keep frozen embeddings in")
    parser.add_argument(
        "--budget", type=int, action="append", help="bytes per item of the codec; again for more"
    )
    parser.add_argument("--blocked", action="store_true", help="hold out whole groups (not as published)")
    parser.add_argument("--splits", type=int, help="random splits (default 40)")
    parser.add_argument("--passes", type=int, help="through the items per epoch (default 1; 12 with --data)")
    parser.add_argument(
        "--fast", action="store_true", help="few splits and kernels, for a check that it runs"
    )
    parser.add_argument("--results", type=Path, help="CSV of results to write the rows to, as neuco.csv")
    parser.add_argument("--table", type=Path, help="Markdown file for the table")
    shared_options.add_threads(parser)


def run(options: argparse.Namespace) -> None:
    """Score, print the table, and write what was asked for."""
    from codec.evaluate.neuco import own_set
    from codec.evaluate.neuco.byte_axis import BUDGETS
    from codec.evaluate.neuco.entries import read_entries, read_groups, read_labels
    from codec.evaluate.neuco.protocol import Protocol
    from codec.evaluate.neuco.suite import SUITE, evaluate, items_of, rows, table
    from codec.evaluate.rows import save

    if (options.labels is None) == (options.data is None):
        raise InputError(
            "labels come from a folder or from the collection", fix="give either --labels or --data"
        )
    if options.labels is not None and not options.embeddings:
        raise InputError("there is nothing to score", fix="give --embeddings")
    if options.results is not None and options.results.stem != SUITE:
        raise InputError(
            "a results file is named after its suite", expected=f"{SUITE}.csv", found=options.results.name
        )
    shared_options.use_threads(options.threads)
    entries = read_entries(options.embeddings)
    groups = None
    if options.data is not None:
        tasks, groups = own_set.tasks_of(options.data)
        entries = [*_own_entries(options), *entries]
        set_name, passes = own_set.NAME, own_set.PASSES
    else:
        tasks, set_name, passes = read_labels(options.labels), options.labels.resolve().name, 1
        if options.groups is not None:
            groups = read_groups(options.groups, items_of(tasks))
    protocol = Protocol(
        splits=options.splits or (FAST_SPLITS if options.fast else Protocol().splits),
        passes=options.passes or (1 if options.fast else passes),
    )
    results = evaluate(
        entries,
        tasks,
        protocol,
        groups=groups,
        blocked=options.blocked,
        budgets=options.budget or BUDGETS,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )
    name = f"{set_name}{'-blocked' if options.blocked else ''}{'-fast' if options.fast else ''}"
    text = table(results)
    print(text, end="")
    if options.table is not None:
        write_atomic(options.table, text.encode())
    if options.results is not None:
        packages = ("swathpack", "torch", "numpy")
        save(rows(results, tasks, name, protocol), options.results.parent, packages, per_machine=False)


def _own_entries(options: argparse.Namespace) -> list:
    from codec.evaluate.neuco import own_set
    from codec.evaluate.neuco.kernels import FEATURES
    from codec.evaluate.rate.cache import PlaneCache
    from codec.evaluate.rate.encoders import open_encoder

    tiles, names = own_set.tiles_of(options.data)
    cache = None if options.cache is None else PlaneCache(options.cache)
    entries = [
        own_set.entry_of(open_encoder(name, data=options.data), tiles, names, cache)
        for name in options.encoder or ENCODERS
    ]
    if not options.no_kernels:
        features = FAST_FEATURES if options.fast else FEATURES
        entries.append(own_set.kernel_entry(tiles, names, features))
    return entries
