"""Packets in any order and number → headers and records (docs/link.md §6)."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from codec.bitstream.record import CRC_SIZE, HEADER_SIZE
from codec.bitstream.scan import SEAL
from codec.errors import FormatError, InputError
from codec.link.block import MOST_BODIES, Block, BlockKey, Symbol, key_of
from codec.link.items import Items, read_items
from codec.link.packet import LinkPacket, parse_packet
from codec.link.reports import Assembled, BlockReport, Event, Limits, Outcome, ReceiverReport
from codec.types import Packet, RecordKind

# What an object costs beside its bytes; measured upper bounds of CPython, so that many tiny ones stay bounded too.
_FILE_COST, _BLOCK_COST, _SYMBOL_COST, _RECORD_COST, _PLACE_COST = 4096, 1024, 256, 384, 128

_WORD = struct.Struct("<Q")
# Records stand by kind, but for these: tables first, index and seal last (bitstream §10.4).
_RANK = {
    int(RecordKind.TABLES): -1,
    int(RecordKind.COMPACT): int(RecordKind.COEFFICIENTS),
    int(RecordKind.INDEX): 8,
    int(RecordKind.SEAL): 9,
}


@dataclass(slots=True)
class _File:
    """What is known of one file."""

    file_id: bytes
    header: bytes | None = None
    blocks: dict[BlockKey, Block] = field(default_factory=dict)
    # Record → where it stood: block and, as bits, its source symbols there.
    records: dict[bytes, list[tuple[Block, int]]] = field(default_factory=dict)
    held: int = _FILE_COST

    def take(self, block: Block, items: Items, first_symbol: int) -> list[bytes]:
        """Add what was read; returns the records that are new."""
        if self.header is None and items.headers:
            self.header = items.headers[0]
        block.damaged |= items.damaged
        new = []
        for record, first, last in items.records:
            place = (block, ((1 << (last - first + 1)) - 1) << (first_symbol + first))
            places = self.records.get(record)
            if places is None:
                self.records[record] = [place]
                self.held += len(record) + _RECORD_COST
                new.append(record)
            elif not any(b is block and mask == place[1] for b, mask in places):
                places.append(place)
                self.held += _PLACE_COST
        return new


class Assembler:
    """Takes packets as they come, from any number of stations and passes, of any number of files.

    Nothing that arrives raises: what became of a packet is in the event that `feed` returns. Within `limits`, order
    and copies do not change what `result` gives.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._files: dict[bytes, _File] = {}
        self._held = 0
        self._outcomes: Counter[Outcome] = Counter()
        self._rejected: Counter[str] = Counter()
        self._contradictions = 0

    def feed(self, packet: bytes | Packet | LinkPacket) -> Event:
        """Take one packet."""
        if isinstance(packet, Packet):
            packet = packet.data
        try:
            parsed = packet if isinstance(packet, LinkPacket) else parse_packet(packet)
        except InputError as error:
            self._rejected["foreign"] += 1
            event = Event(Outcome.REJECTED, error=error)
        except FormatError as error:
            self._rejected[error.kind] += 1
            event = Event(Outcome.REJECTED, error=error)
        else:
            event = self._feed(parsed)
        self._outcomes[event.outcome] += 1
        return event

    def _feed(self, packet: LinkPacket) -> Event:
        file = self._files.get(packet.file_id) or _File(packet.file_id)
        key = key_of(packet)
        block = file.blocks.get(key) or Block.of(packet)
        if self._is_over_limit(file, block, packet):
            return Event(Outcome.OVER_LIMIT, packet)
        held_before = file.held if packet.file_id in self._files else 0
        if key not in file.blocks:
            file.held += _BLOCK_COST
        self._files[packet.file_id] = file
        file.blocks[key] = block
        had_header = file.header is not None
        records, taken = self._take(file, block, packet)
        self._held += file.held - held_before
        return Event(
            Outcome.TAKEN if taken else Outcome.DUPLICATE,
            packet,
            tuple(records),
            None if had_header else file.header,
        )

    def _is_over_limit(self, file: _File, block: Block, packet: LinkPacket) -> bool:
        if block.complete:  # the symbol is not kept
            return False
        more = len(packet.body) + _SYMBOL_COST + (0 if block.received else _BLOCK_COST)
        is_new = packet.file_id not in self._files
        return (
            file.held + more > self._limits.file_bytes
            or self._held + more + (_FILE_COST if is_new else 0) > self._limits.total_bytes
        )

    def _take(self, file: _File, block: Block, packet: LinkPacket) -> tuple[list[bytes], bool]:
        """Put a symbol into its block and read what it makes readable; also whether the symbol was new."""
        bit = 1 << packet.index
        is_new = not block.received & bit
        block.received |= bit
        symbol = Symbol(packet.body, packet.first_item)
        if block.complete:
            # Its records are known, unless it was forged; those count as they would have before.
            again = self._read(file, block, packet.index, [symbol]) if packet.is_source else []
            return again, is_new or bool(again)
        if not self._store(file, block, packet.index, symbol):
            return [], False
        records: list[bytes] = []
        if packet.is_source:
            if block.symbols[packet.index][0] is symbol:
                first, run = block.run_of(packet.index)
            else:
                first, run = packet.index, [symbol]
            records = self._read(file, block, first, run)
        source = block.source()
        if source is not None:
            file.held -= block.held_bytes + block.n_symbols * _SYMBOL_COST
            firsts = [block.symbols[i][0].first_item if i in block.symbols else 0 for i in range(block.k)]
            block.symbols = {}
            block.complete = True
            items = read_items(
                source, block.symbol_size, firsts, file.file_id, file.records.__contains__, all_there=True
            )
            records += file.take(block, items, 0)
        return records, True

    def _store(self, file: _File, block: Block, index: int, symbol: Symbol) -> bool:
        """Keep a symbol; False when it was there."""
        bodies = block.symbols.setdefault(index, [])
        for kept in bodies:
            if kept.same_as(symbol):
                if len(symbol.body) > len(kept.body):  # trimmed less: what a long item goes on from
                    file.held += len(symbol.body) - len(kept.body)
                    kept.body = symbol.body
                return False
        self._contradictions += bool(bodies)
        if len(bodies) >= MOST_BODIES:
            return False
        bodies.append(symbol)
        file.held += len(symbol.body) + _SYMBOL_COST
        return True

    def _read(self, file: _File, block: Block, first: int, run: list[Symbol]) -> list[bytes]:
        """Read consecutive source symbols of a block that is not complete."""
        padded = b"".join(s.body.ljust(block.symbol_size, b"\0") for s in run)
        items = read_items(
            padded, block.symbol_size, [s.first_item for s in run], file.file_id, file.records.__contains__,
            all_there=first + len(run) == block.k,
        )  # fmt: skip
        return file.take(block, items, first)

    @property
    def file_ids(self) -> tuple[bytes, ...]:
        """Files of which something came, ascending."""
        return tuple(sorted(self._files))

    def header(self, file_id: bytes) -> bytes | None:
        """The file's header; None when no copy came."""
        file = self._files.get(file_id)
        return None if file is None else file.header

    def records(self, file_id: bytes) -> tuple[bytes, ...]:
        """The file's records in canonical order; none when nothing came."""
        file = self._files.get(file_id)
        return () if file is None else tuple(sorted(file.records, key=canonical_key))

    def assembled(self, file_id: bytes) -> Assembled:
        """All there is of one file. Raises InputError when nothing came of it."""
        file = self._files.get(file_id)
        if file is None:
            raise InputError("no packet of this file came", found=file_id.hex())
        return _assembled(file)

    def result(self) -> dict[bytes, Assembled]:
        """All there is, by file_id, ascending."""
        return {file_id: _assembled(self._files[file_id]) for file_id in self.file_ids}

    def forget(self, file_id: bytes) -> None:
        """Let go of a file; packets of it that come later begin it anew."""
        file = self._files.pop(file_id, None)
        if file is not None:
            self._held -= file.held

    def report(self) -> ReceiverReport:
        """Counts of everything fed so far."""
        return ReceiverReport(
            fed=sum(self._outcomes.values()),
            taken=self._outcomes[Outcome.TAKEN],
            duplicates=self._outcomes[Outcome.DUPLICATE],
            over_limit=self._outcomes[Outcome.OVER_LIMIT],
            rejected=dict(sorted(self._rejected.items())),
            contradictions=self._contradictions,
            files=len(self._files),
            held_bytes=self._held,
        )


def assemble(
    packets: Iterable[bytes | Packet | LinkPacket], limits: Limits | None = None
) -> dict[bytes, Assembled]:
    """Everything that a set of packets holds, by file_id; packets that are not intact are passed over."""
    assembler = Assembler(limits)
    for packet in packets:
        assembler.feed(packet)
    return assembler.result()


def canonical_key(record: bytes) -> tuple[int, int, int, int, bytes]:
    """Sorts records as docs/link.md §6.7 says."""
    word = int(_WORD.unpack_from(record)[0])
    kind = word & 7
    return _RANK.get(kind, kind), word >> 6 & 15, word >> 3 & 7, word >> 16 & 0xFFFF, record


def _assembled(file: _File) -> Assembled:
    records = tuple(sorted(file.records, key=canonical_key))
    repaired = sum(
        not any(mask & ~block.received == 0 for block, mask in places) for places in file.records.values()
    )
    blocks = tuple(_block_report(file.blocks[key]) for key in sorted(file.blocks))
    numbers: dict[int, set[int]] = {}
    for block in blocks:
        numbers.setdefault(block.layer_class, set()).add(block.number)
    return Assembled(
        file_id=file.file_id,
        header=file.header,
        records=records,
        repaired=repaired,
        received=sum(block.sources + block.repairs for block in blocks),
        missing=_missing(records),
        unseen_blocks=sum(max(seen) + 1 - len(seen) for seen in numbers.values()),
        blocks=blocks,
    )


def _block_report(block: Block) -> BlockReport:
    sources = block.source_mask.bit_count()
    return BlockReport(
        layer_class=block.key[0],
        number=block.key[2],
        check=block.check,
        k=block.k,
        r=block.r,
        symbol_size=block.symbol_size,
        sources=sources,
        repairs=block.received.bit_count() - sources,
        complete=block.complete,
        damaged=block.damaged,
    )


def _missing(records: tuple[bytes, ...]) -> int | None:
    """Records that the last seal counts and that are not there."""
    counts = [
        SEAL.unpack(r[HEADER_SIZE:-CRC_SIZE])[0]
        for r in records
        if r[0] & 7 == RecordKind.SEAL and len(r) == HEADER_SIZE + SEAL.size + CRC_SIZE
    ]
    return max(0, max(counts) + 1 - len(records)) if counts else None
