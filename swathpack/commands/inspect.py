"""`swathpack inspect`: what a `.nec` says of itself, without a model package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from codec.errors import UsageError
from swathpack.options import AsJson, Models, NecInput

if TYPE_CHECKING:
    from codec.bitstream.reader import NecFile


def run(
    file: NecInput,
    as_json: AsJson = False,
    bytes_table: Annotated[bool, typer.Option("--bytes", help="Show where every byte goes.")] = False,
    bits: Annotated[
        str | None,
        typer.Option(
            "--bits",
            metavar="MAP",
            help="Also write payload bytes per tile as a map, .tif or .png; needs the model package.",
        ),
    ] = None,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="A band for every layer of every plane in the map (.tif).")
    ] = False,
    models: Models = None,
) -> None:
    """Show header, planes, records and state of a file. Needs no model package, but for --bits."""
    from codec.bitstream.reader import read_bytes
    from swathpack.inspect_report import account, describe, render_account, render_description
    from swathpack.streams import print_json, read_input

    if per_layer and (bits is None or not bits.lower().endswith((".tif", ".tiff"))):
        raise UsageError("--per-layer adds bands to a map that is a .tif", fix="give --bits MAP.tif")
    nec = read_bytes(read_input(file), path=file)
    if bits is not None:
        _write_map(nec, file, bits, per_layer, models)
    if as_json:
        document = describe(nec)
        if bytes_table:
            document["bytes"] = account(nec)
        print_json(document)
        return
    print(render_description(nec, file))
    if bytes_table:
        print()
        print(render_account(nec))


def _write_map(nec: NecFile, name: str, output: str, per_layer: bool, models: Models) -> None:
    from codec.pipeline.nec_scene import package_for
    from swathpack.bits_map import render
    from swathpack.map_forms import form_of
    from swathpack.streams import check_output, say, write_output

    form = form_of(output)
    check_output(output, name)
    write_output(output, render(nec, package_for(nec, models), form, per_layer=per_layer))
    say(f"{output}: payload bytes of {nec.header.grid.n_tiles} tiles, estimated by the cost tables")
