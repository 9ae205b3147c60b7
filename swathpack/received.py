"""Packets from a file, a pipe or a UDP port, and what they assemble to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codec.errors import InputError, PartialResult, UsageError
from swathpack.streams import read_input

if TYPE_CHECKING:
    from codec.link.reports import Assembled

NEC_MAGIC = b"\x89NEC\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Received:
    """One file as it came over the link."""

    data: bytes
    assembled: Assembled
    others: int  # other files among the packets

    @property
    def lost_symbols(self) -> int:
        return sum(block.lost for block in self.assembled.blocks)

    @property
    def complete(self) -> bool:
        return self.assembled.missing == 0 and not self.lost_symbols and not self.assembled.unseen_blocks

    def one_line(self) -> str:
        a = self.assembled
        return (
            f"{len(self.data)} bytes, {len(a.records)} records from {a.received} packets, {a.repaired} records repaired, "
            f"{self.lost_symbols} packets' worth lost"
        )

    def raise_if_partial(self, path: str) -> None:
        """Raises PartialResult when records are missing; the file was written all the same."""
        if not self.complete:
            missing = self.assembled.missing
            what = "no seal arrived, so how many is not known" if missing is None else f"{missing} of them"
            raise PartialResult(
                f"records are missing: {what}", path=path, fix="add packets of another pass or station"
            )


def packets_from(source: str, idle_s: float) -> Iterable[bytes]:
    """Packets of a file, of standard input, or of `udp:PORT` until nothing came for `idle_s` seconds."""
    from codec.link import split_stream, udp

    if source.startswith("udp:"):
        port = source.removeprefix("udp:")
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise UsageError(f"{source!r} is not udp:PORT", fix="write e.g. udp:5005")
        return udp.receive(int(port), idle_s=idle_s)
    return [packet for _, packet in split_stream(read_input(source))]


def assemble_one(packets: Iterable[bytes]) -> Received:
    """The file with most packets. Raises InputError when there is none, or its header did not arrive."""
    from codec.link import assemble

    files = assemble(packets)
    if not files:
        raise InputError("no packet of ours among the input", fix="check the source")
    best = max(files.values(), key=lambda a: (a.header is not None, a.received, a.file_id))
    if best.header is None:
        raise InputError(
            f"no copy of the header of file {best.file_id.hex()} arrived; its {len(best.records)} records wait for it",
            fix="add packets of another pass or station",
        )
    return Received(best.to_nec(), best, len(files) - 1)


def load_packets(path: str, payload: int) -> list[bytes]:
    """Packets of a file, or of a `.nec` that is packetised first."""
    from codec.link import packetise, split_stream

    data = read_input(path)
    if data.startswith(NEC_MAGIC):
        return [p.data for p in packetise(data, payload=payload)]
    packets = [packet for _, packet in split_stream(data)]
    if not packets:
        raise InputError("neither a .nec nor packets", path=path)
    return packets


def summarise(sent: Sequence[bytes], arrived: Sequence[bytes]) -> dict[str, object]:
    """What a channel did, and how full the packets were."""
    from codec.link import assemble, parse_packet

    parsed = [parse_packet(p) for p in sent]
    fill = [len(p.body) / p.symbol_size for p in parsed if p.index < p.k]
    distinct = set(arrived)
    files = assemble(arrived).values()
    whole = assemble(sent).values()
    return {
        "packets_sent": len(sent),
        "bytes_sent": sum(map(len, sent)),
        "packets_lost": sum(p not in distinct for p in sent),
        "duplicates": len(arrived) - len(distinct),
        "source_packets": len(fill),
        "repair_packets": len(sent) - len(fill),
        "packet_fill_mean": round(sum(fill) / len(fill), 4) if fill else 0.0,
        "packet_fill_min": round(min(fill), 4) if fill else 0.0,
        "records_sent": sum(len(a.records) for a in whole),
        "records_intact": sum(len(a.records) - a.repaired for a in files),
        "records_repaired": sum(a.repaired for a in files),
        "records_lost": sum(len(a.records) for a in whole) - sum(len(a.records) for a in files),
    }
