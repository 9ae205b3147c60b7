"""`swathpack decode`: a `.nec` in, arrays out."""

from __future__ import annotations

from dataclasses import replace
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
            "per tile · -: .npz on stdout.",
        ),
    ],
    plane: Annotated[str, typer.Option(help="The plane for .tif and .csv.")] = "tokens",
    refine: Annotated[
        bool,
        typer.Option(
            "--refine", help="Guess what quantisation took by the package's decoder.onnx; the output says so."
        ),
    ] = False,
    models: Models = None,
) -> None:
    """Decode embeddings. Exit 6 when something of the file is missing; the output then says where."""
    from codec.errors import PartialResult
    from codec.nec.refinement.opened import open_refined
    from codec.pipeline import open_nec
    from swathpack.decoded import form_of, render
    from swathpack.streams import check_output, say, write_output

    form = form_of(output)
    check_output(output, file)
    scene = (open_refined if refine else open_nec)(file, packages=models)
    if not scene.validity.any():  # nothing was refined, whatever would have been done to it
        scene = replace(scene, decoded=replace(scene.decoded, refinement=""))
    write_output(output, render(scene, form, plane))
    decoded = scene.decoded
    state = f"{decoded.intact} records used, {len(decoded.damaged) + len(scene.file.refused)} refused"
    how = f", {decoded.refinement}" if decoded.refinement else ""
    say(f"{output}: {scene.grid.n_tiles} tiles, planes {' '.join(scene.planes)}, {state}{how}")
    if not scene.is_complete:
        missing = sum(r.count for r in decoded.missing if r.layer == 0)
        what = (
            f"{missing} tiles of a plane have no layer 0, {len(decoded.missing)} ranges of layers are missing"
        )
        raise PartialResult(what if decoded.missing else "the file is damaged or not sealed", path=file)
