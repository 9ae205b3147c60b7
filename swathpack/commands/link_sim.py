"""`swathpack link-sim`: what a bad link does to packets."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from swathpack.options import AsJson, Burst, Loss, PayloadBytes, Seed, finite


def run(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Packets (from link send), or a .nec to packetise first; -.")
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the packets that arrive; - for stdout."),
    ] = None,
    loss: Loss = 0.1,
    burst: Burst = 1.0,
    reorder: Annotated[int, typer.Option(min=0, help="Packets may arrive up to this many places late.")] = 0,
    duplicate: Annotated[
        float, typer.Option(min=0.0, max=1.0, callback=finite, help="Share of packets that arrive twice.")
    ] = 0.0,
    seed: Seed = 0,
    payload: PayloadBytes = 960,
    as_json: AsJson = False,
) -> None:
    """Simulate loss, bursts, reordering and duplicates; print packet fill and what came through."""
    from codec.link import Channel
    from swathpack.options import judging
    from swathpack.received import load_packets, summarise
    from swathpack.streams import check_output, print_json, write_output

    if output is not None:
        check_output(output, file, as_json=as_json)
    with judging("--loss, --burst"):
        channel = Channel(loss=loss, burst=burst, reorder=reorder, duplicate=duplicate, seed=seed)
    sent = load_packets(file, payload)
    arrived = channel.send(sent)
    if output is not None:
        write_output(output, b"".join(arrived))
    summary = summarise(sent, arrived)
    if as_json:
        print_json(summary)
    else:
        for name, value in summary.items():
            print(f"{name.replace('_', ' '):28} {value}", file=sys.stderr if output == "-" else sys.stdout)
