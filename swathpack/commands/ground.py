"""`swathpack ground serve`: the ground station's decoder daemon."""

from __future__ import annotations

import typer

app = typer.Typer(
    no_args_is_help=True, help="The ground station: packets and files in, georeferenced products out."
)
