"""Blocks without an erasure code: header copies spread over the packets instead (docs/link.md §7.4)."""

from __future__ import annotations

from collections.abc import Sequence

from codec.link.layout import USUAL_SYMBOLS, SymbolGroup, too_long

HEADER_CADENCE = 16  # every so many packets carry the header
FEWEST_COPIES = 3


def uncoded_blocks(
    header: bytes, classes: Sequence[Sequence[bytes]], payload: int, most: int
) -> list[list[SymbolGroup]]:
    """For each class of records its blocks; a header copy is in the first packet, the last, and often enough between.

    `most` is the largest k of a block. Raises InputError when a record fits into no block.
    """
    cadence = HEADER_CADENCE
    while True:
        filler = _Filler(header, payload, cadence, most)
        blocks = [filler.fill(records) for records in classes]
        filler.close()
        if filler.copies >= FEWEST_COPIES:
            return blocks
        if cadence == 1:
            break
        cadence //= 2
    while filler.copies < FEWEST_COPIES:
        filler.add_packet_with_copy()
    return blocks


class _Filler:
    """Fills symbols in the order in which they are sent, and counts the packets since the last header copy."""

    def __init__(self, header: bytes, payload: int, cadence: int, most: int) -> None:
        self._header = header
        self._payload = payload
        self._cadence = cadence
        self._most = most
        self._blocks: list[SymbolGroup] = []
        self._since = cadence  # packets since one began with a copy; the first packet is due at once
        self._copy_in_last = False
        self.copies = 0

    def fill(self, records: Sequence[bytes]) -> list[SymbolGroup]:
        """Blocks of one more class."""
        self._blocks = [SymbolGroup(self._payload)]
        for record in records:
            if not self._has_room(record) and self._since >= self._cadence:
                self.add_packet_with_copy()
            before = len(self._blocks[-1].symbols)
            if not self._blocks[-1].take(record, USUAL_SYMBOLS):
                if before:
                    self._blocks.append(SymbolGroup(self._payload))
                    before = 0
                if not self._blocks[-1].take(record, self._most):
                    raise too_long(record, self._payload, self._most)
            self._count(len(self._blocks[-1].symbols) - before)
        return self._blocks

    def close(self) -> None:
        """Give the last packet its copy."""
        if self._copy_in_last:
            return
        symbols = self._blocks[-1].symbols
        if symbols and len(symbols[-1].data) + len(self._header) <= self._payload:
            symbols[-1].data += self._header
            self.copies += 1
        else:
            self.add_packet_with_copy()

    def add_packet_with_copy(self) -> None:
        """Begin a packet (or as many as the header needs) with a copy."""
        if len(self._blocks[-1].symbols) + -(-len(self._header) // self._payload) > USUAL_SYMBOLS:
            self._blocks.append(SymbolGroup(self._payload))
        block = self._blocks[-1]
        before = len(block.symbols)
        block.append(self._header)
        self.copies += 1
        self._copy_in_last = True
        self._since = len(block.symbols) - before

    def _has_room(self, record: bytes) -> bool:
        return len(record) <= self._payload and any(
            len(s.data) + len(record) <= self._payload for s in self._blocks[-1].symbols
        )

    def _count(self, new_symbols: int) -> None:
        if new_symbols:
            self._since += new_symbols
            self._copy_in_last = False
