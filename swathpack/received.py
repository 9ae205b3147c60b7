"""Packets from a file, a pipe or a UDP port, and what they assemble to."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codec.errors import (
    Corrupt,
    InputError,
    PartialResult,
    SwathpackError,
    TryAgain,
    UnsupportedVersion,
    UsageError,
)
from swathpack.streams import naming, read_input, say

if TYPE_CHECKING:
    from codec.link import Assembled, ReceiverReport

# A command works on one file and ends; it may hold more than a receiver on a payload computer.
_MAX_HELD = 1 << 30


@dataclass(frozen=True, slots=True)
class Received:
    """One file as it came over the link."""

    data: bytes
    assembled: Assembled
    report: ReceiverReport  # of everything that came

    @property
    def lost_symbols(self) -> int:
        return sum(block.lost for block in self.assembled.blocks)

    @property
    def complete(self) -> bool:
        return self.assembled.missing == 0

    def one_line(self) -> str:
        a, r = self.assembled, self.report
        parts = [
            f"file {a.file_id.hex()}: {len(self.data)} bytes",
            f"{len(a.records)} records from {a.received} packets, {a.repaired} of them repaired",
            f"{self.lost_symbols} packets' worth lost of blocks seen",
        ]
        passed = sum(r.rejected.values())
        if passed:
            kinds = ", ".join(f"{count} {kind}" for kind, count in r.rejected.items())
            parts.append(f"{passed} pieces passed over ({kinds})")
        if r.over_limit:
            parts.append(f"{r.over_limit} packets dropped: more than {_MAX_HELD} bytes are not held")
        if r.files > 1:
            parts.append(f"{r.files - 1} other files among the packets left out")
        return "; ".join(parts)

    def raise_if_partial(self, path: str) -> None:
        """Raises PartialResult when records are missing; the file was written all the same."""
        if not self.complete:
            missing = self.assembled.missing
            what = "no seal arrived, so how many is not known" if missing is None else f"{missing} of them"
            raise PartialResult(
                f"records are missing: {what}", path=path, fix="add packets of another pass or station"
            )


def packets_from(source: str, idle_s: float) -> Iterable[bytes]:
    """Packets of a file, of standard input, or of `udp:[HOST:]PORT` until nothing came for `idle_s` seconds."""
    from codec.link import split_stream

    if source.startswith("udp:"):
        host, _, port = source.removeprefix("udp:").rpartition(":")
        if not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536):
            raise UsageError(f"{source!r} is not udp:[HOST:]PORT", fix="write e.g. udp:5005")
        return _listen(host.strip("[]") or "127.0.0.1", int(port), idle_s)
    return [packet for _, packet in split_stream(read_input(source))]


def _listen(host: str, port: int, idle_s: float) -> Iterator[bytes]:
    from codec.link.udp import UdpReceiver

    ended: list[int] = []
    # A flag, not an exception: one that comes while a packet is taken in would lose all of them.
    before = signal.signal(signal.SIGINT, lambda number, _: ended.append(number))
    try:
        with UdpReceiver(port, host, idle_s=idle_s, stop=lambda: bool(ended)) as receiver:
            say(f"listening on {host}:{receiver.port}")
            yield from receiver
    finally:
        signal.signal(signal.SIGINT, before)
    if ended:
        say("reception ended by hand")


def assemble_one(packets: Iterable[bytes]) -> Received:
    """The file with most packets. Raises an error of the kind of what came instead, when it cannot be made."""
    from codec.link import Assembler, Limits

    assembler = Assembler(Limits(_MAX_HELD, _MAX_HELD))
    first: dict[str, SwathpackError] = {}
    for packet in packets:
        event = assembler.feed(packet)
        if event.error is not None:
            first.setdefault(event.error.kind, event.error)
    files = assembler.result()
    if not files:
        raise _nothing(first)
    best = max(files.values(), key=lambda a: (a.header is not None, a.received, a.file_id))
    if best.header is None:
        raise TryAgain(
            f"no copy of the header of file {best.file_id.hex()} arrived; its {len(best.records)} records wait for it",
            fix="add packets of another pass or station",
        )
    return Received(best.to_nec(), best, assembler.report())


def _nothing(first: dict[str, SwathpackError]) -> SwathpackError:
    """Why there is no file, the most telling reason first."""
    for kind in (UnsupportedVersion, Corrupt):
        if error := first.get(kind.kind):
            return kind(f"no intact packet of ours among the input, but: {error.what}", fix=error.fix)
    return InputError("no packet of ours among the input", fix="check the source")


def load_packets(path: str, payload: int) -> list[bytes]:
    """Packets of a file, or of a `.nec` that is packetised first; what else stands between packets is left out, and
    said."""
    from codec.bitstream.header import MAGIC
    from codec.link import packetise, parse_packet, split_stream
    from swathpack.options import judging

    data = read_input(path)
    if data.startswith(MAGIC):
        with naming(path), judging("--payload"):
            return [p.data for p in packetise(data, payload=payload)]
    packets, alien = [], 0
    for _, piece in split_stream(data):
        try:
            parse_packet(piece)
        except SwathpackError:
            alien += 1
        else:
            packets.append(piece)
    if not packets:
        raise InputError(
            "neither a .nec nor intact packets of ours", path=path, fix="make packets by link send"
        )
    if alien:
        say(f"note: {alien} pieces of {path} are no intact packets of ours and are left out")
    return packets


def summarise(sent: Sequence[bytes], arrived: Sequence[bytes]) -> dict[str, int | float]:
    """What a channel did, and how full the packets were."""
    from codec.link import Limits, assemble, parse_packet

    limits = Limits(_MAX_HELD, _MAX_HELD)
    parsed = [parse_packet(p) for p in sent]
    fill = [len(p.body) / p.symbol_size for p in parsed if p.index < p.k]
    distinct = set(arrived)
    files = assemble(arrived, limits).values()
    n_records = sum(len(a.records) for a in assemble(sent, limits).values())
    return {
        "packets_sent": len(sent),
        "bytes_sent": sum(map(len, sent)),
        "packets_lost": sum(p not in distinct for p in sent),
        "duplicates": len(arrived) - len(distinct),
        "source_packets": len(fill),
        "repair_packets": len(sent) - len(fill),
        "packet_fill_mean": round(sum(fill) / len(fill), 4) if fill else 0.0,
        "packet_fill_min": round(min(fill), 4) if fill else 0.0,
        "records_sent": n_records,
        "records_intact": sum(len(a.records) - a.repaired for a in files),
        "records_repaired": sum(a.repaired for a in files),
        "records_lost": n_records - sum(len(a.records) for a in files),
    }
