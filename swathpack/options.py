"""Options that several commands share, defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NecInput = Annotated[str, typer.Argument(metavar="FILE", help="A .nec file; - reads standard input.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Model = Annotated[
    str, typer.Option("--model", metavar="NAME|FOLDER", help="Model package: a shipped name or a folder.")
]
Models = Annotated[
    list[Path] | None,
    typer.Option("--models", metavar="FOLDER", help="Where to look for model packages; may repeat."),
]
DEFAULT_MODEL = "s2-nano"
