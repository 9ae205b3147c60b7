"""`swathpack fit`: somebody's embeddings in, a package without an encoder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swathpack.options import AsJson, finite
from swathpack.packing import Axes, Nodata, Quantisation, Scale, TileSize, Variable


def run(
    embeddings: Annotated[
        Path,
        typer.Argument(
            metavar="EMBEDDINGS", help="A .npy, a Zarr array or a GeoTIFF of vectors or token grids."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the package; new, or empty.")
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Name of the package and of its embedding space; the folder's if not given."),
    ] = None,
    axes: Axes = None,
    nodata: Nodata = None,
    quantisation: Quantisation = None,
    scale: Scale = None,
    variable: Variable = None,
    tile: TileSize = None,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Integers of a known quantisation as the floats that they mean.")
    ] = False,
    bits: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=32.0,
            callback=finite,
            help="Bits per number at the default quality of a lossy package.",
        ),
    ] = 2.0,
    licence: Annotated[
        str, typer.Option(help="Licence of what was learnt, kept in the manifest.")
    ] = "not stated",
    seed: Annotated[int, typer.Option(min=0, help="Draws the training tiles of large arrays.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the fitted package that is in the folder.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn a codec (means, KLT, DCT, classes, tables) from an array of embeddings; floats lossy, integers exact."""
    from codec.arrays.pack import fit
    from codec.arrays.package_folder import check_place
    from swathpack.packing import open_input, tile_size
    from swathpack.streams import print_json, say

    check_place(output, again=force)
    size = tile_size(tile)
    given = open_input(embeddings, axes=axes, nodata=nodata, scale=scale, variable=variable)
    package = fit(
        given.array, name=name or output.absolute().name.lower(), folder=output, nodata=given.nodata, seed=seed,
        axes=given.axes, lossless=False if lossy else None, quantisation=quantisation, scale=given.scale,
        tile=size, bits=bits, licence=licence, again=force,
    )  # fmt: skip
    plane = package.planes[0]
    facts = {
        "package": package.name, "codec_id": package.codec_id.hex(), "space_id": plane.spec.space_id.hex(),
        "channels": plane.spec.channels, "tile": [plane.spec.rows, plane.spec.cols], "layers": plane.spec.n_layers,
        "lossless": plane.spec.kind.name == "INTEGER",
        "ladder": [package.ladder_indices[0], package.ladder_indices[-1]],
        "default_ladder_index": package.default_ladder_index,
        "bytes": sum(entry.size for entry in package.manifest.files.values()),
    }  # fmt: skip
    if as_json:
        print_json(facts)
    else:
        kind = (
            "without loss"
            if facts["lossless"]
            else f"lossy, qualities {package.ladder_indices[0]} to {package.ladder_indices[-1]}"
        )
        say(
            f"{output}: package {package.name}, {plane.spec.channels} channels, "
            f"tiles of {plane.spec.rows}×{plane.spec.cols} tokens, {kind}; {facts['bytes']} bytes, codec {facts['codec_id']}"
        )
