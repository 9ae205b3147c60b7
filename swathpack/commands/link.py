"""`swathpack link send` and `link receive`: `.nec` ↔ space packets, as a file or over UDP."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Turn a .nec into CCSDS space packets and back.")

Payload = Annotated[int, typer.Option(help="Bytes of records a packet carries.")]
Protection = Annotated[str, typer.Option("--fec", help="rs (Cauchy Reed-Solomon) or none.")]
Apid = Annotated[int, typer.Option(help="Application process identifier, 0 to 2046.")]


@app.command()
def send(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .nec file; - reads standard input.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the packets here; - for stdout."),
    ] = None,
    udp: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Send the packets there, one per datagram.")
    ] = None,
    payload: Payload = 960,
    fec: Protection = "rs",
    apid: Apid = 0x2A5,
    rate: Annotated[
        float | None, typer.Option(help="Bits per second on UDP; unlimited if not given.")
    ] = None,
) -> None:
    """Packetise a file: every packet stands for itself, repair packets replace lost ones."""
    from codec.errors import UsageError
    from codec.link import Fec, packetise
    from swathpack.streams import read_input, write_output

    if (output is None) == (udp is None):
        raise UsageError("where to?", fix="give either --output FILE or --udp HOST:PORT")
    if fec not in {f.value for f in Fec}:
        raise UsageError(f"--fec {fec!r} is unknown", expected=" or ".join(f.value for f in Fec), found=fec)
    packets = [p.data for p in packetise(read_input(file), apid=apid, payload=payload, fec=Fec(fec))]
    if output is not None:
        write_output(output, b"".join(packets))
    else:
        from codec.link import udp as link_udp

        host, port = address(str(udp))
        link_udp.send(packets, host, port, rate_bps=rate)
    print(f"{len(packets)} packets, {sum(map(len, packets))} bytes", file=sys.stderr)


@app.command()
def receive(
    source: Annotated[
        str, typer.Argument(metavar="FILE|udp:PORT", help="Packets in a file, -, or a UDP port to listen on.")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The .nec to write; - for stdout.")
    ],
    idle: Annotated[float, typer.Option(help="UDP: stop after this many seconds without a packet.")] = 5.0,
) -> None:
    """Assemble what arrived into a .nec. Exit 6 when something is missing; what is intact is written."""
    from swathpack.received import assemble_one, packets_from

    result = assemble_one(packets_from(source, idle))
    from swathpack.streams import write_output

    write_output(output, result.data)
    print(result.one_line(), file=sys.stderr)
    result.raise_if_partial(output)


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, checked."""
    from codec.errors import UsageError

    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{text!r} is not HOST:PORT", fix="write e.g. 127.0.0.1:5005")
    return host.strip("[]"), int(port)
