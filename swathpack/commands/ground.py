"""`swathpack ground serve`: the ground station's decoder daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swathpack.options import Models

app = typer.Typer(
    no_args_is_help=True, help="The ground station: packets and files in, georeferenced products out."
)


@app.command()
def serve(
    station: Annotated[
        Path | None, typer.Argument(metavar="STATION", help="The station's folder; made if absent.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings, TOML.")] = None,
    port: Annotated[
        int | None, typer.Option(help="UDP port for packets; 0 takes a free one; none if not given.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    inbox: Annotated[Path | None, typer.Option(help="Folder to watch for packets and .nec files.")] = None,
    models: Models = None,
    once: Annotated[
        bool, typer.Option("--once", help="Work on what is there and stop; exit 6 when incomplete.")
    ] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the ledger anew from the spool.")] = False,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Also write embeddings as GeoTIFF.")
    ] = False,
    coder: Annotated[
        str | None, typer.Option(help="Entropy back end: core, or gpu where an NVIDIA card is.")
    ] = None,
) -> None:
    """Receive packets and files, lose nothing, publish products. Stops cleanly on SIGTERM."""
    from ground.config import load_config
    from ground.daemon import serve as serve_station

    flags = {
        "station": station,
        "port": port,
        "host": host,
        "inbox": inbox,
        "models": tuple(models) if models else None,
        "once": once or None,
        "rebuild": rebuild or None,
        "embeddings": embeddings or None,
        "coder": coder,
    }
    raise typer.Exit(int(serve_station(load_config(flags, path=config))))
