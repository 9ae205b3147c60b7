"""Options that several commands of this room have, and how a command ends that had to leave methods out.

No torch here before a command runs: every command's parser is made for every command.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from codec.errors import InputError, PartialResult

ENCODER = "s2-nano"


def add_data(parser: argparse.ArgumentParser) -> None:
    """`--data`, without which nothing can be measured."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")


def add_encoder(parser: argparse.ArgumentParser) -> None:
    """`--encoder`, by one of the names of `codec.evaluate.rate.encoders`."""
    parser.add_argument(
        "--encoder",
        default=ENCODER,
        help="a package, weights, galileo_nano, module:function, … (see encoders.py)",
    )


def add_out(parser: argparse.ArgumentParser, holds: str = "scored answers; a run goes on there") -> None:
    """`--out`, where a run keeps what it need not do again."""
    parser.add_argument("--out", type=Path, default=Path("runs/rate"), help=holds)


def add_results(parser: argparse.ArgumentParser) -> None:
    """`--results`, the file that rows are merged into."""
    parser.add_argument(
        "--results", type=Path, help="CSV of results to write the rows to; its name is the suite"
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """`--threads`, for `use_threads`."""
    parser.add_argument("--threads", type=int, default=2)


def use_threads(n: int) -> None:
    """Give torch this many threads. Raises InputError below 1."""
    if n < 1:
        raise InputError("--threads is at least 1", found=n)
    import torch

    torch.set_num_threads(n)


def raise_refused(refused: Sequence[str]) -> None:
    """After everything else was reported. Raises PartialResult where the audit refused methods, which says which and why."""
    if refused:
        raise PartialResult(
            f"{len(refused)} methods were refused and are not in the rows: {refused[0]}",
            found="; ".join(refused[1:]) or None,
            fix="mend the method; the others need not run again",
        )
