"""`swathpack unpack`: a `.nec` that `pack` wrote in, the array out."""

from __future__ import annotations

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
            help=".npy: the array · .npz: values, validity, scale, georeference · .tif: a raster · -: .npy on stdout.",
        ),
    ],
    dequantised: Annotated[
        bool,
        typer.Option(
            "--dequantised", help="The float32 numbers that int8 products mean, NaN where not valid."
        ),
    ] = False,
    models: Models = None,
) -> None:
    """Decode an array. Exit 6 when tiles are missing; their tokens then hold the nodata value."""
    from codec.arrays.pack import unpack
    from codec.bitstream.reader import read_bytes
    from codec.errors import PartialResult
    from codec.pipeline.nec_scene import package_for
    from swathpack.packing import form_of, render
    from swathpack.streams import check_output, naming, read_input, say, write_output

    form = form_of(output)
    check_output(output, file)
    data = read_input(file)
    with naming(file):
        nec = read_bytes(data, file)
        package = package_for(nec, models) if nec.header.array is not None else None
        unpacked = unpack(data, package)
        values = unpacked.dequantised() if dequantised else unpacked.values
        write_output(output, render(unpacked, values, nec.header.georeference, form))
    shape = "×".join(map(str, values.shape))
    say(
        f"{output}: {values.dtype} {shape}, {int(unpacked.validity.sum())} of {unpacked.validity.size} tokens valid"
    )
    if unpacked.missing_tiles or not nec.is_whole:
        what = f"{unpacked.missing_tiles} of {nec.header.n_tiles} tiles are missing"
        raise PartialResult(
            what if unpacked.missing_tiles else "the file is damaged or not sealed", path=file
        )
