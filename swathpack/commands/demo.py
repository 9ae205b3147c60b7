"""`swathpack demo`: the main job on real scenes, edge to ground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swathpack.options import DEFAULT_MODEL, AsJson, Burst, Loss, Model, PayloadBytes, Seed


def run(
    out: Annotated[Path, typer.Option(help="Folder for files, pictures and the table.")] = Path("demo-out"),
    data: Annotated[
        Path,
        typer.Option(help="Where the packages with the sample scenes are installed (make demo does that)."),
    ] = Path(".demo-data"),
    scene: Annotated[
        str | None,
        typer.Option(help="Another scene: a raster, a folder, or stac:LON,LAT[,FROM/TO] from Earth Search."),
    ] = None,
    sensor: Annotated[
        str | None, typer.Option(help="Sensor of that scene, when its files do not say.")
    ] = None,
    loss: Loss = 0.1,
    burst: Burst = 3.0,
    seed: Seed = 7,
    payload: PayloadBytes = 320,
    model: Model = DEFAULT_MODEL,
    as_json: AsJson = False,
) -> None:
    """A real multi-band scene → tiles → encoder → .nec → packets → lossy link → ground → georeferenced products.

    Exit 0 whatever the link loses, even everything: loss is what is shown.
    """
    from codec.link import Channel
    from swathpack.demo.run import demo
    from swathpack.demo.transfer import LinkSettings
    from swathpack.options import judging
    from swathpack.streams import print_json, say

    with judging("--loss, --burst"):
        Channel(loss=loss, burst=burst, seed=seed)
    result = demo(
        out=out,
        data=data,
        scene=scene,
        sensor=sensor,
        link=LinkSettings(loss, burst, seed, payload),
        model=model,
        say=(lambda _: None) if as_json else say,
    )
    if as_json:
        print_json(result.as_json())
    else:
        print(result.render())
