"""What a receiver says: of one packet, of one block, of one file, of everything so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from codec.errors import SwathpackError
from codec.link.packet import LinkPacket


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes a receiver holds, bookkeeping included; a packet beyond them is dropped and counted."""

    file_bytes: int = 128 << 20
    total_bytes: int = 512 << 20


class Outcome(str, Enum):
    """What became of a packet."""

    TAKEN = "taken"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"  # foreign, damaged or of another version; the event's error says which
    OVER_LIMIT = "over-limit"


@dataclass(frozen=True, slots=True)
class Event:
    """What one packet brought."""

    outcome: Outcome
    packet: LinkPacket | None = None  # None when rejected
    records: tuple[bytes, ...] = ()  # complete records that were not there before
    header: bytes | None = None  # of the file, when this packet brought the first copy
    error: SwathpackError | None = None


@dataclass(frozen=True, slots=True)
class BlockReport:
    """One block of a file."""

    layer_class: int
    number: int
    check: int
    k: int
    r: int
    symbol_size: int
    sources: int  # different source symbols received
    repairs: int  # different repair symbols received
    complete: bool  # all source symbols are there, received or rebuilt, and the block check holds
    damaged: bool  # holds bytes that should be an item and are none

    @property
    def rebuilt(self) -> int:
        """Source symbols that came through the erasure code."""
        return self.k - self.sources if self.complete else 0

    @property
    def lost(self) -> int:
        """Source symbols that are not there."""
        return 0 if self.complete else self.k - self.sources


@dataclass(frozen=True, slots=True)
class Assembled:
    """What the packets of one file gave. A function of the set of packets, not of their order or copies."""

    file_id: bytes
    header: bytes | None  # None: the records wait for it
    records: tuple[bytes, ...]  # complete, each once, in canonical order
    repaired: int  # of the records: came through the erasure code, no received packets held them whole
    received: int  # different packets
    missing: int | None  # records that a seal counts and that are not there; None: no seal came
    unseen_blocks: int  # blocks of which no packet came, below the highest number seen of their class
    blocks: tuple[BlockReport, ...]

    @property
    def waits_for_header(self) -> bool:
        return self.header is None

    def to_nec(self) -> bytes:
        """Header and records: the file that was sent, byte for byte when nothing is missing. Empty without header."""
        return b"" if self.header is None else self.header + b"".join(self.records)


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """Everything fed to an assembler so far; unlike `Assembled` it counts copies."""

    fed: int
    taken: int
    duplicates: int
    over_limit: int
    rejected: Mapping[str, int]  # "foreign", or the kind of codec.errors → packets
    contradictions: (
        int  # intact packets whose symbol differs from one of the same place: forged, or made wrongly
    )
    files: int
    held_bytes: int
