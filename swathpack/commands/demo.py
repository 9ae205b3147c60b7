"""`swathpack demo`: the main job on real scenes, edge to ground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swathpack.options import DEFAULT_MODEL, AsJson, Model


def run(
    out: Annotated[Path, typer.Option(help="Folder for files, pictures and the table.")] = Path("demo-out"),
    data: Annotated[
        Path,
        typer.Option(help="Where the packages with the sample scenes are installed (make demo does that)."),
    ] = Path(".demo-data"),
    scene: Annotated[
        str | None,
        typer.Option(help="Another scene: a raster, a folder, or stac:LON,LAT[,DATE] from Earth Search."),
    ] = None,
    loss: Annotated[float, typer.Option(help="Share of packets lost on the link.")] = 0.1,
    burst: Annotated[float, typer.Option(help="Mean number of packets lost in a row.")] = 3.0,
    seed: Annotated[int, typer.Option(help="Seed of the channel.")] = 7,
    payload: Annotated[
        int, typer.Option(help="Packet payload; small, so that dozens of packets travel.")
    ] = 320,
    model: Model = DEFAULT_MODEL,
    as_json: AsJson = False,
) -> None:
    """A real multi-band scene → tiles → encoder → .nec → packets → lossy link → ground → georeferenced products."""
    from swathpack.demo.run import demo
    from swathpack.streams import print_json

    result = demo(
        out=out,
        data=data,
        scene=scene,
        loss=loss,
        burst=burst,
        seed=seed,
        payload=payload,
        model=model,
        quiet=as_json,
    )
    if as_json:
        print_json(result.as_json())
    else:
        print(result.render())
