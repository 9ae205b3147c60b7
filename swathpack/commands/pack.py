"""`swathpack pack`: an array of embeddings in, a `.nec` out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swathpack.options import AsJson, finite
from swathpack.packing import Axes, Nodata, Quantisation, Scale, TileSize, Variable


def run(
    array: Annotated[Path, typer.Argument(metavar="ARRAY", help="A .npy, a Zarr array or a GeoTIFF.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The .nec to write; - for stdout.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME|FOLDER",
            help="Package from `swathpack fit`; without one a codec is fitted to this array and travels in the file.",
        ),
    ] = None,
    bytes_per_vector: Annotated[
        float | None,
        typer.Option(
            callback=finite,
            help="Finest quality whose records take at most so many bytes per vector or token.",
        ),
    ] = None,
    total_bytes: Annotated[
        int | None,
        typer.Option("--bytes", min=1, help="Finest quality whose whole file has at most so many bytes."),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(min=0, help="Ladder index; larger is coarser. The package's default if not given."),
    ] = None,
    axes: Axes = None,
    nodata: Nodata = None,
    quantisation: Quantisation = None,
    scale: Scale = None,
    variable: Variable = None,
    tile: TileSize = None,
    record_bytes: Annotated[
        int,
        typer.Option(
            min=64, max=61440, help="Size that records approach: 61440 for an archive, 960 for a link."
        ),
    ] = 61440,
    as_json: AsJson = False,
) -> None:
    """Code an array of embeddings: floats to a budget of bytes, integers without loss."""
    from codec.arrays.pack import NO_PLACE, pack
    from codec.errors import UsageError
    from codec.package import load
    from swathpack.packing import open_input, tile_size
    from swathpack.streams import check_output, print_json, say, write_output

    check_output(output, array, as_json=as_json)
    if sum(given is not None for given in (bytes_per_vector, total_bytes, quality)) > 1:
        raise UsageError(
            "--bytes-per-vector, --bytes and --quality exclude each other", fix="give one of them"
        )
    size = tile_size(tile)
    package = None if model is None else load(model)
    given = open_input(array, axes=axes, nodata=nodata, scale=scale, variable=variable)
    data = pack(
        given.array, package, bytes_per_vector=bytes_per_vector, total_bytes=total_bytes, ladder_index=quality,
        nodata=given.nodata, scale=given.scale, target_bytes=record_bytes, axes=given.axes, quantisation=quantisation,
        tile=size, georeference=given.georeference or NO_PLACE, source_name=array.name[:100],
    )  # fmt: skip
    write_output(output, data)
    raw = given.array.dtype.itemsize
    for side in given.array.shape:
        raw *= int(side)
    raw += 0 if given.scale is None else given.scale.nbytes
    if as_json:
        print_json({"array_bytes": raw, "nec_bytes": len(data), "shape": [int(s) for s in given.array.shape],
                    "dtype": str(given.array.dtype), "self_contained": package is None})  # fmt: skip
    else:
        say(f"{output}: {len(data)} bytes, {raw / len(data):.2f} times smaller than the array")
