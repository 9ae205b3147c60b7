"""`swathpack inspect`: what a `.nec` says of itself, without a model package."""

from __future__ import annotations

from typing import Annotated

import typer

from swathpack.options import AsJson, NecInput


def run(
    file: NecInput,
    as_json: AsJson = False,
    bytes_table: Annotated[bool, typer.Option("--bytes", help="Show where every byte goes.")] = False,
) -> None:
    """Show header, planes, records and state of a file. Needs no model package."""
    from codec.bitstream.reader import read_bytes
    from swathpack.inspect_report import account, describe, render_account, render_description
    from swathpack.streams import print_json, read_input

    nec = read_bytes(read_input(file), path=file)
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
