"""`swathpack verify`: is this file whole, sound and decodable here?"""

from __future__ import annotations

import typer

from swathpack.options import AsJson, Models, NecInput


def run(file: NecInput, models: Models = None, as_json: AsJson = False) -> None:
    """Check every checksum, the seal, and, with the model package, every symbol.

    Exit 0 sound and complete, 4 damaged, 5 package unknown (checksums are checked all the same), 6 cut, unsealed or
    incomplete.
    """
    from swathpack.streams import print_json, read_input
    from swathpack.verification import verify

    result = verify(read_input(file), path=file, packages=models)
    if as_json:
        print_json(result.as_json())
    else:
        print(result.one_line(file))
    raise typer.Exit(result.exit_code)
