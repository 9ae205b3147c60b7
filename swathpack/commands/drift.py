"""`swathpack drift`: do these files cost what their tables promised?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swathpack.options import AsJson, Models

if TYPE_CHECKING:
    from codec.pipeline.drift import PassDrift
    from swathpack.passes import OneFile


def run(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files of one pass; - is one.")],
    models: Models = None,
    all_rows: Annotated[
        bool,
        typer.Option(
            "--all", help="Show every layer, band and channel, not only layers and what is flagged."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the bits of received symbols with what the tables expect, by layer, band and channel.

    Flagged is what lies beyond 5 % with its whole 95 % interval, and beyond what the rounding of classes explains. Flags
    are a finding, no failure: exit 0. Exit 6 when something of a file is missing; what is there was judged.
    """
    from codec.errors import PartialResult
    from swathpack.passes import drifts
    from swathpack.streams import print_json

    passes = list(drifts(files, models))
    received = [file for _, own in passes for file in own]
    for file in received:
        file.say_conflicts()
    if as_json:
        print_json([_as_json(found, own, all_rows) for found, own in passes])
    else:
        for found, _ in passes:
            print(_render(found, all_rows))
    lacking = [file for file in received if file.lacks]
    if lacking:
        raise PartialResult(
            f"{lacking[0].name}: {lacking[0].lacks}; {len(lacking)} of {len(received)} files were judged by what is there",
            path=lacking[0].path,
            fix="add what else was received of it",
        )


def _as_json(found: PassDrift, files: Sequence[OneFile], all_rows: bool) -> dict[str, Any]:
    return {
        **found.as_json(all_rows=all_rows),
        "incomplete": [file.symbols.header.file_id.hex() for file in files if file.lacks],
        "conflicts": [file.symbols.header.file_id.hex() for file in files if file.symbols.conflicts],
    }


def _render(found: PassDrift, all_rows: bool) -> str:
    from codec.pipeline.drift import row_name

    lines = [
        f"package {found.package}, codec {found.codec_id.hex()}: {len(found.files)} files, "
        f"{len(found.flagged)} rows flagged"
        + (
            ""
            if found.is_judged
            else "; too few whole tiles to judge anything"
            if found.planes
            else "; integers have no scale that could drift"
        )
    ]
    lines.append(
        f"  {'plane':<12}{'what':<13}{'tiles':>7}{'measured':>12}{'expected':>12}{'drift':>9}  95 % interval"
    )
    for name, rows in found.planes.items():
        for entry in rows:
            if not (all_rows or entry.flag or (entry.row.band is None and entry.row.channel is None)):
                continue
            interval = (
                "not judged"
                if entry.low is None or entry.high is None
                else f"{entry.low:+.1%} to {entry.high:+.1%}"
            )
            lines.append(
                f"  {name:<12}{row_name(entry.row):<13}{entry.tiles:>7}{entry.measured_bits / 8:>10.0f} B"
                f"{entry.expected_bits / 8:>10.0f} B{entry.drift:>+9.1%}  {interval}"
                + (f"  {entry.flag} than promised" if entry.flag else "")
            )
    return "\n".join(lines)
