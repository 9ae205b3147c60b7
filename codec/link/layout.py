"""Records laid into symbols, and symbols into blocks that begin with a header copy (docs/link.md §3, §4, §7.1–2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from codec.errors import InputError, LimitExceeded
from codec.link.packet import MAX_BLOCKS

USUAL_SYMBOLS = 64  # k above which only a long record pushes a block: inverting and bursts get dearer with k


@dataclass(slots=True)
class SourceSymbol:
    """What one source symbol holds, before padding."""

    data: bytearray = field(default_factory=bytearray)
    first_item: int = 0  # offset of the first item that begins here


@dataclass(slots=True)
class SymbolGroup:
    """The source symbols of one block while it is filled."""

    payload: int  # largest symbol, bytes
    symbols: list[SourceSymbol] = field(default_factory=list)
    has_long_item: bool = False

    @property
    def symbol_size(self) -> int:
        """S: the longest symbol; a long item fills whole symbols, so then it is the payload."""
        return self.payload if self.has_long_item else max(len(s.data) for s in self.symbols)

    def take(self, item: bytes, cap: int) -> bool:
        """Put an item into the first symbol with room for it, else into new ones; False when that makes > `cap`."""
        if len(item) <= self.payload:
            for symbol in self.symbols:
                if len(symbol.data) + len(item) <= self.payload:
                    symbol.data += item
                    return True
        if len(self.symbols) + -(-len(item) // self.payload) > cap:
            return False
        self.append(item)
        return True

    def append(self, item: bytes) -> None:
        """Put an item into new symbols at the end: one, or as many as a long item needs."""
        self.has_long_item |= len(item) > self.payload
        for start in range(0, len(item), self.payload):
            piece = bytearray(item[start : start + self.payload])
            self.symbols.append(SourceSymbol(piece, first_item=len(piece) if start else 0))


def coded_blocks(header: bytes, records: Sequence[bytes], payload: int, most: int) -> list[SymbolGroup]:
    """Blocks of one layer class, each beginning with a header copy, of about equal numbers of symbols.

    `most` is the largest k that the code allows. Without records there is one block with the header alone.
    Raises InputError when a record fits into no block.
    """
    blocks = _fill(header, records, payload, USUAL_SYMBOLS, most)
    wanted = len(blocks)
    cap = -(-sum(len(b.symbols) for b in blocks) // wanted)
    while cap < USUAL_SYMBOLS:
        even = _fill(header, records, payload, cap, most)
        if len(even) <= wanted:
            return even
        cap += 1
    return blocks


def _fill(header: bytes, records: Sequence[bytes], payload: int, cap: int, most: int) -> list[SymbolGroup]:
    blocks = [_begin(header, payload)]
    empty = True  # the last block holds nothing but the header copy
    for record in records:
        if not empty and not blocks[-1].take(record, cap):
            blocks.append(_begin(header, payload))
            empty = True
        if empty:
            # The first record goes in whatever its length: only a long one pushes a block above the cap.
            if not blocks[-1].take(record, most):
                raise too_long(record, payload, most)
            empty = False
    return blocks


def _begin(header: bytes, payload: int) -> SymbolGroup:
    block = SymbolGroup(payload)
    block.append(header)
    return block


def too_long(record: bytes, payload: int, most: int) -> InputError:
    """The refusal of a record that no block can hold."""
    return InputError(
        f"a record of {len(record)} bytes fits into no block of {most} symbols of {payload} bytes",
        fix="choose a larger payload, or encode with a smaller record target",
    )


def check_number_of_blocks(blocks: Sequence[SymbolGroup]) -> None:
    """Raises LimitExceeded when block numbers do not suffice for one layer class."""
    if len(blocks) > MAX_BLOCKS:
        raise LimitExceeded(
            f"{len(blocks)} blocks of one layer class exceed the {MAX_BLOCKS} of a transmission",
            fix="choose a larger payload",
        )
