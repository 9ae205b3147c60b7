"""`swathpack refit`: received files in, the same package with tables that fit them out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swathpack.options import AsJson


def run(
    package: Annotated[str, typer.Argument(metavar="PACKAGE", help="Model package: a name or a folder.")],
    received: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files coded with it.")],
    output: Annotated[
        Path,
        typer.Option(
            "--out", "--output", "-o", metavar="FOLDER", help="Folder of the new package; new, or empty."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Make new tables (classes, thresholds, reconstruction points) from received data alone.

    Transform and embedding spaces stay, so heads still bind; the codec id changes. Old files decode with the old package.
    """
    from codec.arrays.package_folder import check_place, whole_folder
    from codec.package import load
    from codec.pipeline.refit import refit_tables, write_refitted
    from swathpack.passes import read_received
    from swathpack.streams import print_json, say

    check_place(output, again=False)
    old = load(package)
    given = read_received(received, old)
    for file in given:
        file.say_conflicts()
        if file.lacks:
            say(f"note: {file.name}: {file.lacks}; what is there is used")
    files = [file.symbols for file in given]
    fitted = refit_tables(old, files)
    with whole_folder(output, again=False) as building:
        made = write_refitted(old, fitted, files, building)
        facts = {
            "package": made.name,
            "from_codec_id": old.codec_id.hex(),
            "codec_id": made.codec_id.hex(),
            "space_ids": {name: space.hex() for name, space in made.space_ids.items()},
            "files": len(files),
            "planes": [
                {"plane": entry.name, "tiles": tiles, "cells_seen": seen, "classes_moved": moved}
                for entry, tiles, seen, moved in zip(
                    made.planes, fitted.tiles, fitted.seen, fitted.moved, strict=True
                )
            ],
            "new_tables": fitted.new_levels,
            "payload_bytes_before": round(fitted.bytes_before),
            "payload_bytes_after": round(fitted.bytes_after),
        }
    if as_json:
        print_json(facts)
        return
    change = fitted.bytes_after / fitted.bytes_before - 1 if fitted.bytes_before else 0.0
    say(
        f"{output}: package {made.name}, codec {made.codec_id.hex()} (was {old.codec_id.hex()}); "
        f"the symbols received would take {change:+.1%} bytes"
    )
