"""`swathpack decode`: a `.nec` in, arrays out."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from swathpack.options import Models, NecInput


def run(
    file: NecInput,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help=".npz: all planes, validity, layers, georeference · .tif: one plane as a GeoTIFF · .csv: one pooled row "
            "per tile.",
        ),
    ],
    plane: Annotated[str, typer.Option(help="The plane for .tif and .csv.")] = "tokens",
    models: Models = None,
) -> None:
    """Decode embeddings. Exit 6 when something of the file is missing; the output then says where."""
    from codec.errors import PartialResult
    from codec.pipeline import open_bytes
    from swathpack.decoded import render
    from swathpack.streams import read_input, write_output

    scene = open_bytes(read_input(file), path=file, packages=models)
    write_output(output, render(scene, output, plane))
    report = scene.report
    print(report.one_line(), file=sys.stderr)
    if not report.complete:
        raise PartialResult(f"something is missing: {report.what_is_missing()}", path=file)
