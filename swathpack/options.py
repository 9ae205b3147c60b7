"""Options that several commands share, defined once, and how values are refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from codec.errors import InputError, UsageError

DEFAULT_MODEL = "s2-nano"


def finite(value: float | None) -> float | None:
    """Callback of float options: ranges alone let NaN through."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number.")
    return value


@contextmanager
def judging(options: str) -> Iterator[None]:
    """What a room refuses about the values of these options is a usage error that names them."""
    try:
        yield
    except InputError as error:
        raise UsageError(
            f"{options}: {error.what}", expected=error.expected, found=error.found, fix=error.fix
        ) from error


NecInput = Annotated[str, typer.Argument(metavar="FILE", help="A .nec file; - reads standard input.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Model = Annotated[
    str, typer.Option("--model", metavar="NAME|FOLDER", help="Model package: a shipped name or a folder.")
]
Models = Annotated[
    list[Path] | None,
    typer.Option(
        "--models",
        metavar="FOLDER",
        help="Where to look for model packages, before SWATHPACK_MODELS and the shipped ones; may repeat.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same channel.")]
Loss = Annotated[
    float,
    typer.Option(
        min=0.0, max=1.0, callback=finite, help="Share of packets lost, 0 to 1; the same for every packet."
    ),
]
Burst = Annotated[float, typer.Option(min=1.0, callback=finite, help="Mean number of packets lost in a row.")]
PayloadBytes = Annotated[
    int, typer.Option("--payload", min=64, max=65000, help="Bytes of records a packet carries.")
]
