"""Options and entry of `python -m codec.evaluate demonstrate`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from codec.evaluate import shared_options

if TYPE_CHECKING:  # the parser is made for every command: it must not load torch
    from codec.evaluate.demonstrations.coded import Demonstration
    from codec.evaluate.rows import Row

TASKS = ("detection", "change", "multi_label", "series")
BYTES = 100.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    shared_options.add_data(parser)
    shared_options.add_encoder(parser)
    parser.add_argument("--task", action="append", help=f"{', '.join(TASKS)}; again for more (default: all)")
    parser.add_argument("--bytes", type=float, default=BYTES, help="of a coded tile, about")
    shared_options.add_results(parser)
    shared_options.add_threads(parser)


def run(options: argparse.Namespace) -> None:
    """Train and score every task's head, print the table, write the rows."""
    from codec.errors import InputError
    from codec.evaluate.demonstrations import change, detection, multi_label, series
    from codec.evaluate.demonstrations.coded import sender
    from codec.evaluate.rate.opened import opened
    from codec.evaluate.rows import save

    shared_options.use_threads(options.threads)
    tasks = dict(zip(TASKS, (detection, change, multi_label, series), strict=True))
    names = options.task or TASKS
    if unknown := [name for name in names if name not in tasks]:
        raise InputError(f"there is no demonstration {unknown[0]!r}", expected=", ".join(TASKS))
    found = opened(options.encoder, options.data)
    send = sender(found, options.data, options.bytes)
    shown = []
    for number, name in enumerate(names, start=1):
        shown.append(tasks[name].demonstrate(send, options.data))
        print(f"{number}/{len(names)} {name}", file=sys.stderr, flush=True)
    print(table(shown))
    if options.results:
        suite = options.results.stem
        save(
            rows(shown, found.name, suite),
            options.results.parent,
            ("swathpack", "torch", "numpy"),
            per_machine=False,
        )


def table(shown: Sequence[Demonstration]) -> str:
    """One line a task, under the words that nobody may leave out."""
    from codec.evaluate.demonstrations.coded import CODED, MARK
    from codec.heads.regimes import UNCOMPRESSED

    lines = [MARK, f"{'task':18}{'metric':26}{'uncompressed':>13}{'base':>8}{'B/tile':>8}  n"]
    lines += [
        f"{one.task:18}{one.metric:26}{one.values[UNCOMPRESSED]:13.3f}{one.values[CODED]:8.3f}"
        f"{one.bytes_per_tile:8.1f}  {one.n} {one.of} (training: {one.n_train})"
        for one in shown
    ]
    return "\n".join(lines)


def rows(shown: Sequence[Demonstration], encoder: str, suite: str) -> Iterator[Row]:
    """Scores and bytes; every unit carries the mark."""
    from codec.evaluate.demonstrations.coded import CODED, MARK
    from codec.evaluate.rows import Row

    for one in shown:
        case = f"{encoder}/demonstration/{one.task}"
        for name, value in one.values.items():
            yield Row(suite, f"{case}/{name}", one.metric, value, unit=f"share of {one.of} [{MARK}]", n=one.n)
        yield Row(suite, f"{case}/{CODED}", "bytes", one.bytes_per_tile, unit=f"B/tile [{MARK}]", n=one.n)
