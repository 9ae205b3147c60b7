"""`swathpack link send` and `link receive`: `.nec` ↔ space packets, as a file or over UDP."""

from __future__ import annotations

from typing import Annotated

import typer

from swathpack.options import PayloadBytes, finite

app = typer.Typer(no_args_is_help=True, help="Turn a .nec into CCSDS space packets and back.")

Protection = Annotated[str, typer.Option("--fec", help="rs (Cauchy Reed-Solomon) or none.")]
Apid = Annotated[int, typer.Option(min=0, max=2046, help="Application process identifier.")]


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
    payload: PayloadBytes = 960,
    fec: Protection = "rs",
    apid: Apid = 0x2A5,
    rate: Annotated[
        float | None, typer.Option(callback=finite, help="Bits per second on UDP; unlimited if not given.")
    ] = None,
) -> None:
    """Packetise a file: every packet stands for itself, repair packets replace lost ones.

    Damaged stretches of the file are left out: exit 6 then.
    """
    from codec.errors import PartialResult, UsageError
    from codec.link import Fec, transmission
    from swathpack.options import judging
    from swathpack.streams import check_output, naming, read_input, say, write_output

    if (output is None) == (udp is None):
        raise UsageError("where to?", fix="give either --output FILE or --udp HOST:PORT")
    if fec not in {f.value for f in Fec}:
        raise UsageError("--fec is not known", expected=" or ".join(f.value for f in Fec), found=repr(fec))
    if rate is not None and rate <= 0:
        raise UsageError("--rate is a number of bits per second above 0", found=rate)
    host, port = ("", 0) if udp is None else address(udp)
    if output is not None:
        check_output(output, file)
    data = read_input(file)
    with naming(file), judging("--payload"):
        sent = transmission(data, apid=apid, payload=payload, fec=Fec(fec))
    packets = [p.data for p in sent.packets]
    if output is not None:
        write_output(output, b"".join(packets))
    else:
        from codec.link import udp as link_udp

        link_udp.send(packets, host, port, rate_bps=rate)
    say(
        f"{len(packets)} packets ({sent.n_repair} of them repair), {sent.n_bytes} bytes, {sent.n_records} records"
    )
    if sent.gaps:
        first, last = sent.gaps[0]
        raise PartialResult(
            f"{len(sent.gaps)} stretches of the file hold no intact record and were not sent, "
            f"the first from byte {first} to {last}",
            path=file,
        )


@app.command()
def receive(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|udp:[HOST:]PORT",
            help="Packets in a file, -, or a UDP port to listen on; port 0: any.",
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The .nec to write; - for stdout.")
    ],
    idle: Annotated[
        float,
        typer.Option(min=0.0, callback=finite, help="UDP: stop after this many seconds without a packet."),
    ] = 5.0,
) -> None:
    """Assemble what arrived into a .nec. Exit 6 when something is missing; what is intact is written.

    On UDP, Ctrl-C ends the reception and keeps what came.
    """
    from swathpack.received import assemble_one, packets_from
    from swathpack.streams import check_output, naming, say, write_output

    check_output(output, source)
    with naming(source):
        result = assemble_one(packets_from(source, idle))
    write_output(output, result.data)
    say(result.one_line())
    result.raise_if_partial(output)


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, checked."""
    from codec.errors import UsageError

    host, separator, port = text.rpartition(":")
    number = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
    if not separator or not host or not 0 < number < 65536:
        raise UsageError(f"{text!r} is not HOST:PORT", fix="write e.g. 127.0.0.1:5005")
    return host.strip("[]"), number
