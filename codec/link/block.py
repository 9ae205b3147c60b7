"""One block while its packets arrive: symbols in, source symbols out (docs/link.md §3, §5, §6.4–5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from codec.bitstream.core import rs_decode
from codec.link.packet import Code, LinkPacket, block_check

# layer class, code, number, k, r, symbol size, block check: packets that agree in all belong together.
BlockKey: TypeAlias = tuple[int, Code, int, int, int, int, int]

MOST_BODIES = 4  # different bodies of one symbol that are kept; more than one means forgery
_WORK_PER_BLOCK = 1 << 30  # multiplications in tries that fail; a few seconds at most
_WORK_PER_TRY = 1 << 21  # what a try costs at least: bounds them to 512


def key_of(packet: LinkPacket) -> BlockKey:
    """The block that a packet belongs to, within its file."""
    return (
        packet.layer_class, packet.code, packet.block, packet.k, packet.r, packet.symbol_size, packet.block_check,
    )  # fmt: skip


@dataclass(slots=True)
class Symbol:
    """One received symbol."""

    body: bytes  # trimmed when it is a source symbol
    first_item: int

    def same_as(self, other: Symbol) -> bool:
        """Equal once padded; where senders stop trimming makes no difference."""
        return self.first_item == other.first_item and (
            self.body == other.body or self.body.rstrip(b"\0") == other.body.rstrip(b"\0")
        )


@dataclass(slots=True)
class Block:
    """Symbols of one block. Once `source` was found, later ones only count."""

    file_id: bytes
    key: BlockKey
    k: int
    r: int
    symbol_size: int
    check: int
    symbols: dict[int, list[Symbol]] = field(default_factory=dict)  # index → different bodies, usually one
    received: int = 0  # bit i: symbol i came
    complete: bool = False
    damaged: bool = False
    work: int = _WORK_PER_BLOCK  # left for tries after a failed check

    @classmethod
    def of(cls, packet: LinkPacket) -> Block:
        return cls(packet.file_id, key_of(packet), packet.k, packet.r, packet.symbol_size, packet.block_check)

    @property
    def source_mask(self) -> int:
        return self.received & ((1 << self.k) - 1)

    @property
    def held_bytes(self) -> int:
        return sum(len(s.body) for bodies in self.symbols.values() for s in bodies)

    @property
    def n_symbols(self) -> int:
        return sum(map(len, self.symbols.values()))

    def run_of(self, index: int) -> tuple[int, list[Symbol]]:
        """The received source symbols around `index` that one long item may join, and the number of the first."""
        first = last = index
        while first and self._joins(first):
            first -= 1
        while last + 1 < self.k and self._joins(last + 1):
            last += 1
        return first, [self.symbols[i][0] for i in range(first, last + 1)]

    def _joins(self, index: int) -> bool:
        """Does a long item lead from the symbol before into this one, both received? It leaves no room to trim."""
        if index not in self.symbols or index - 1 not in self.symbols:
            return False
        return (
            self.symbols[index][0].first_item > 0 and len(self.symbols[index - 1][0].body) == self.symbol_size
        )

    def source(self) -> bytes | None:
        """The padded source symbols once k different symbols give them and the block check holds."""
        for choice in self._choices():
            indices = sorted(choice)[: self.k]
            n_repair = sum(i >= self.k for i in indices)
            if n_repair == 0:
                padded = b"".join(choice[i].body.ljust(self.symbol_size, b"\0") for i in indices)
            else:
                padded = self._rebuild(indices, choice)
            if block_check(padded, self.k, self.r, self.symbol_size) == self.check:
                return padded
            self.work -= 2 * self.k * n_repair * self.symbol_size + _WORK_PER_TRY
        return None

    def _choices(self) -> Iterator[dict[int, Symbol]]:
        """All symbols; then, if forgery spoils the block, all but each of those that were used."""
        if len(self.symbols) < self.k or self.work <= 0:
            return
        usual = {index: bodies[0] for index, bodies in self.symbols.items()}
        yield usual
        for suspect in sorted(usual)[: self.k]:
            for other in (*self.symbols[suspect][1:], None):
                choice = dict(usual)
                if other is None:
                    del choice[suspect]
                else:
                    choice[suspect] = other
                if len(choice) >= self.k and self.work > 0:
                    yield choice

    def _rebuild(self, indices: list[int], choice: dict[int, Symbol]) -> bytes:
        padded = b"".join(choice[i].body.ljust(self.symbol_size, b"\0") for i in indices)
        symbols = np.frombuffer(padded, dtype=np.uint8).reshape(self.k, self.symbol_size)
        return rs_decode(symbols, np.array(indices, dtype=np.int64), self.k).tobytes()
