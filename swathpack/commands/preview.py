"""`swathpack preview`: a picture painted from the embedding, marked as what it is."""

from __future__ import annotations

from pathlib import Path
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
            help=".tif: reflectance × 10000, every band that the scene had · .png: red, green, blue.",
        ),
    ],
    decoder: Annotated[
        Path | None,
        typer.Option("--decoder", metavar="FILE", help="A preview.npz, when the package has none."),
    ] = None,
    models: Models = None,
) -> None:
    """Paint pixels from the embedding. Synthetic: for finding one's way, not for measuring; the file says so.

    Exit 6 when something of the file is missing; those pixels are not painted.
    """
    from codec.errors import IdentityError, PartialResult
    from codec.pipeline import open_nec
    from codec.pipeline import preview as painting
    from swathpack.map_forms import form_of
    from swathpack.painted import render
    from swathpack.streams import check_output, read_input, say, write_output

    form = form_of(output)
    check_output(output, file, *([decoder] if decoder else []))
    scene = open_nec(file, packages=models)
    if decoder is not None:
        preview = painting.decode(read_input(str(decoder), max_bytes=painting.MAX_BYTES), decoder)
        preview.check(scene.package)
    else:
        found = painting.preview_of(scene.package)
        if found is None:
            raise IdentityError(
                f"package {scene.package.name!r} has no {painting.NAME}",
                path=file,
                fix="fit one (python -m codec.pretrain.preview fit) and give --decoder, or use a package that has it",
            )
        preview = found
    write_output(output, render(scene, preview, form))
    say(f"{output}: {painting.SYNTHETIC}")
    for line in painting.score_lines(preview):
        say(line)
    if not scene.is_complete:
        raise PartialResult(
            "the file is damaged, incomplete or not sealed; what is there was painted", path=file
        )
