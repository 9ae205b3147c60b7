"""`swathpack uplink pack`, `apply` and `inspect`: what changes a package that flies, in as few bytes as there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swathpack.options import AsJson

if TYPE_CHECKING:
    from codec.adapt.uplink_pieces import Found

app = typer.Typer(no_args_is_help=True, help="Change a model package that flies: adapter, transform, tables.")

Base = Annotated[str, typer.Argument(metavar="BASE", help="Package that flies: a name or a folder.")]
Pieces = Annotated[
    list[str],
    typer.Argument(
        metavar="PACK...", help="Files with pieces of one pack, in any order; - reads standard input."
    ),
]


@app.command()
def pack(
    base: Base,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Package that it shall become.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The pack; - for stdout.")],
    send: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="FILE|FOLDER",
            help="Send this of the new package too, if it changed: heads, card.md, …; may repeat.",
        ),
    ] = None,
    round_transform: Annotated[
        bool,
        typer.Option(
            "--round-transform",
            help="Halve the transform's bytes: its numbers become multiples of 2^-15. The package that comes out has a "
            "codec id of its own; apply the pack on the ground, too, to have it there.",
        ),
    ] = False,
    piece: Annotated[
        int, typer.Option(min=64, max=65000, help="Bytes of a piece, its header included.")
    ] = 960,
    as_json: AsJson = False,
) -> None:
    """Write what turns BASE into NEW: what changed of adapter, transform, tables and encoder, bound to BASE by hash.

    Files that the new package changed and that are not sent are left out of the result, and named.
    """
    import tempfile

    from codec.adapt import uplink, uplink_pieces, uplink_views
    from codec.package import load
    from swathpack.streams import check_output, print_json, say, write_output

    old, wanted = load(base), load(new)
    check_output(output, old.folder, wanted.folder, as_json=as_json)
    with tempfile.TemporaryDirectory(prefix="swathpack-uplink-") as folder:
        if round_transform:
            wanted = uplink_views.rounded(wanted, Path(folder))
        made = uplink.make(old, wanted, send=send or ())
    pieces = uplink_pieces.cut(made.body, piece)
    data = b"".join(pieces)
    write_output(output, data)
    facts = {
        **_facts(made.parsed),
        "pack_id": uplink_pieces.pack_id(made.body).hex(),
        "left_out": list(made.left_out),
        "pieces": len(pieces),
        "piece_bytes": piece,
        "bytes": len(data),
        "megabits": round(len(data) * 8 / 1e6, 3),
    }
    if as_json:
        print_json(facts)
        return
    for row in facts["files"]:
        say(
            f"{row['path']}: {row['bytes']} bytes, {row['sent_bytes']} sent, {row['copied_bytes']} already there"
        )
    if made.left_out:
        say(f"left out, not in the result: {', '.join(made.left_out)}; send them by --with")
    say(
        f"{output}: {len(data)} bytes, {facts['megabits']:.3f} Mbit, in {len(pieces)} pieces; "
        f"codec {facts['from_codec_id']} becomes {facts['codec_id']}"
    )


@app.command()
def apply(
    base: Base,
    pieces: Pieces,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the new package; new, or empty."),
    ],
    as_json: AsJson = False,
) -> None:
    """Make the new package beside BASE, complete and with every hash checked, or not at all. BASE is only read.

    Exit 75 while pieces are missing: they are named, so that they alone are sent again.
    """
    from codec.adapt import uplink
    from codec.package import load
    from swathpack.streams import naming, print_json, say

    old = load(base)
    uplink.check_target(output, old)
    found = _collected(pieces)
    with naming(pieces[0]):
        collected = found.only()
        made = uplink.apply(collected.body(), old, output)
    facts = {
        "package": made.name,
        "version": made.manifest.version,
        "from_codec_id": old.codec_id.hex(),
        "codec_id": made.codec_id.hex(),
        "space_ids": {name: space.hex() for name, space in made.space_ids.items()},
        "files": len(made.manifest.files),
        "damaged_pieces": found.damaged,
        "duplicate_pieces": collected.duplicates,
    }
    if as_json:
        print_json(facts)
        return
    say(
        f"{output}: package {made.name} {made.manifest.version}, codec {made.codec_id.hex()} (was {old.codec_id.hex()}), "
        f"{len(made.manifest.files)} files, every hash checked"
    )


@app.command()
def inspect(pieces: Pieces, as_json: AsJson = False) -> None:
    """Say what pieces are here and, where all are, what the pack changes. Exit 6 while some are missing."""
    from codec.adapt import uplink_body
    from codec.adapt.uplink_pieces import OVERHEAD, ranges
    from codec.errors import PartialResult
    from swathpack.streams import naming, print_json, say

    found = _collected(pieces)
    with naming(pieces[0]):
        pack = found.only()
        missing = pack.missing()
        facts: dict[str, Any] = {
            "pack_id": pack.identity.hex(),
            "pieces": pack.count,
            "missing": missing,
            "piece_bytes": pack.size + OVERHEAD,
            "damaged_pieces": found.damaged,
            "duplicate_pieces": pack.duplicates,
            "body_bytes": pack.body_bytes,
            **({} if missing else _facts(uplink_body.decode(pack.body()))),
        }
    if as_json:
        print_json(facts)
    else:
        whole = f"{pack.body_bytes} bytes, {pack.body_bytes * 8 / 1e6:.3f} Mbit"
        print(f"pack {facts['pack_id']}: {whole}, {pack.count} pieces of {facts['piece_bytes']} bytes")
        if "base" in facts:
            print(f"base {facts['base']}, codec {facts['from_codec_id']}")
            print(f"result {facts['result']}, codec {facts['codec_id']}")
            for row in facts["files"]:
                print(
                    f"  {row['path']}: {row['bytes']} bytes, {row['sent_bytes']} sent, {row['copied_bytes']} copied"
                )
    if found.damaged:
        say(f"note: {found.damaged} damaged pieces were passed over")
    if missing:
        raise PartialResult(
            f"{len(missing)} of {pack.count} pieces are missing: {ranges(missing)}",
            path=pieces[0],
            fix="send these again",
        )


def _collected(pieces: list[str]) -> Found:
    from codec.adapt import uplink_pieces
    from swathpack.streams import naming, read_input

    # Twice the largest pack: duplicates are no reason to refuse.
    most = 2 * uplink_pieces.MAX_BODY
    with naming(pieces[0]):
        return uplink_pieces.collect([read_input(path, max_bytes=most) for path in pieces])


def _facts(body: Any) -> dict[str, Any]:
    from codec.adapt.uplink import described

    return {
        "base": f"{body.base.name} {body.base.version}",
        "from_codec_id": body.base.codec_id,
        "result": f"{body.result.name} {body.result.version}",
        "codec_id": body.result.codec_id,
        "files": list(described(body)),
    }
