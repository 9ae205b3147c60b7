"""`swathpack link-sim`: what a bad link does to packets."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from swathpack.options import AsJson


def run(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Packets (from link send), or a .nec to packetise first; -.")
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the packets that arrive; - for stdout."),
    ] = None,
    loss: Annotated[
        float, typer.Option(help="Share of packets lost, 0 to 1; the same for every packet.")
    ] = 0.1,
    burst: Annotated[float, typer.Option(help="Mean number of packets lost in a row.")] = 1.0,
    reorder: Annotated[int, typer.Option(help="Packets may arrive up to this many places late.")] = 0,
    duplicate: Annotated[float, typer.Option(help="Share of packets that arrive twice.")] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same channel.")] = 0,
    payload: Annotated[int, typer.Option(help="For a .nec: bytes of records a packet carries.")] = 960,
    as_json: AsJson = False,
) -> None:
    """Simulate loss, bursts, reordering and duplicates; print packet fill and what came through."""
    from codec.link import Channel
    from swathpack.received import load_packets, summarise
    from swathpack.streams import print_json, write_output

    sent = load_packets(file, payload)
    arrived = Channel(loss=loss, burst=burst, reorder=reorder, duplicate=duplicate, seed=seed).send(sent)
    if output is not None:
        write_output(output, b"".join(arrived))
    summary = summarise(sent, arrived)
    if as_json:
        print_json(summary)
    else:
        for name, value in summary.items():
            print(f"{name.replace('_', ' '):28} {value}", file=sys.stderr if output == "-" else sys.stdout)
