"""A pack in pieces: each stands for itself, they come in any order, twice, or not at all (docs/uplink.md §2)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from codec.errors import Corrupt, InputError, LimitExceeded, TryAgain, UnsupportedVersion

MAGIC = b"\x89NUP"  # 0x89: shows transfers that clear the eighth bit
VERSION = 0
MAX_BODY = 1 << 26  # 64 MiB: hours of an S-band uplink
MAX_PIECES = 1 << 16
SMALLEST, DEFAULT, LARGEST = 64, 960, 65_000  # bytes of a piece; the default fits a telecommand frame of 1024
ID_BYTES = 8
_HEADER = struct.Struct("<4sBBHIHH8s")  # magic, version, 0, index, body length, payload size, 0, pack id
_CHECK = 8  # bytes of SHA-256 behind each piece
OVERHEAD = _HEADER.size + _CHECK


def pack_id(body: bytes) -> bytes:
    """What all pieces of a pack share: the first 8 bytes of the body's SHA-256."""
    return hashlib.sha256(body).digest()[:ID_BYTES]


def cut(body: bytes, piece_bytes: int = DEFAULT) -> list[bytes]:
    """The pieces of a body, each at most `piece_bytes` long. Raises InputError for a size that no piece has, LimitExceeded
    for a body that is too large or makes too many pieces.
    """
    if not SMALLEST <= piece_bytes <= LARGEST:
        raise InputError("a piece has another size", expected=f"{SMALLEST} to {LARGEST}", found=piece_bytes)
    size = piece_bytes - OVERHEAD
    count = -(-len(body) // size)
    if not body or len(body) > MAX_BODY or count > MAX_PIECES:
        raise LimitExceeded(
            f"a pack of {len(body)} bytes makes {count} pieces",
            expected=f"at most {MAX_BODY} bytes and {MAX_PIECES} pieces",
            fix="use larger pieces, or send less",
        )
    identity = pack_id(body)
    pieces = []
    for index in range(count):
        head = _HEADER.pack(MAGIC, VERSION, 0, index, len(body), size, 0, identity)
        data = head + body[index * size : (index + 1) * size]
        pieces.append(data + hashlib.sha256(data).digest()[:_CHECK])
    return pieces


@dataclass(frozen=True, slots=True)
class Piece:
    """One intact piece."""

    identity: bytes
    index: int
    body_bytes: int
    size: int  # of the payload of all pieces but the last
    payload: bytes


@dataclass
class Collected:
    """The pieces of one pack that are here."""

    identity: bytes
    body_bytes: int
    size: int
    pieces: dict[int, bytes] = field(default_factory=dict)
    duplicates: int = 0

    @property
    def count(self) -> int:
        """Pieces of the whole pack."""
        return -(-self.body_bytes // self.size)

    def missing(self) -> list[int]:
        """Numbers of the pieces that are not here, ascending."""
        return [index for index in range(self.count) if index not in self.pieces]

    def body(self) -> bytes:
        """The whole body. Raises TryAgain naming what is missing, Corrupt where the whole is not what its id says."""
        if absent := self.missing():
            raise TryAgain(
                f"{len(absent)} of {self.count} pieces of pack {self.identity.hex()} are missing: {ranges(absent)}",
                fix="send these again and repeat with all that arrived",
            )
        data = b"".join(self.pieces[index] for index in range(self.count))
        if pack_id(data) != self.identity:
            raise Corrupt(
                "the pieces do not make the pack that they name",
                expected=self.identity.hex(),
                found=pack_id(data).hex(),
                fix="drop them and send the pack again",
            )
        return data


@dataclass(frozen=True)
class Found:
    """What some received bytes hold."""

    packs: tuple[Collected, ...]  # one per pack id and cut, in order of appearance
    damaged: int  # starts of pieces that are none, or whose hash is wrong

    def only(self) -> Collected:
        """The one pack there is. Raises Corrupt where nothing is intact, InputError where pieces are of several packs."""
        if not self.packs:
            raise Corrupt(
                "no intact piece of an uplink pack is here",
                found=f"{self.damaged} damaged" if self.damaged else None,
                fix="give files that `swathpack uplink pack` wrote",
            )
        if len(self.packs) > 1:
            names = ", ".join(f"{p.identity.hex()} in pieces of {p.size + OVERHEAD}" for p in self.packs)
            raise InputError("the pieces are of several packs", found=names, fix="give those of one pack")
        return self.packs[0]


def collect(streams: Iterable[bytes]) -> Found:
    """Every intact piece in some byte strings, whatever stands between them. Raises UnsupportedVersion where nothing but
    pieces of a later version is found.
    """
    packs: dict[tuple[bytes, int, int], Collected] = {}
    damaged, later = 0, 0
    for data in streams:
        at = data.find(MAGIC)
        while at >= 0:
            piece, is_later = _read(data, at)
            later += is_later
            if piece is None:
                damaged += not is_later
                at = data.find(MAGIC, at + 1)
                continue
            key = (piece.identity, piece.body_bytes, piece.size)
            pack = packs.setdefault(key, Collected(*key))
            pack.duplicates += piece.index in pack.pieces
            pack.pieces.setdefault(piece.index, piece.payload)
            at = data.find(MAGIC, at + OVERHEAD + len(piece.payload))
    if later and not packs:
        raise UnsupportedVersion(
            f"the pieces are of a later version than {VERSION}", fix="install a newer Swathpack"
        )
    return Found(tuple(packs.values()), damaged)


def _read(data: bytes, at: int) -> tuple[Piece | None, bool]:
    """The piece at a place, and whether it says to be of a later version."""
    if at + OVERHEAD > len(data):
        return None, False
    _, version, zero, index, body_bytes, size, zeros, identity = _HEADER.unpack_from(data, at)
    if version != VERSION:
        return None, True
    if zero or zeros or not 1 <= size <= LARGEST - OVERHEAD or not 1 <= body_bytes <= MAX_BODY:
        return None, False
    count = -(-body_bytes // size)
    if index >= count or count > MAX_PIECES:
        return None, False
    length = min(size, body_bytes - index * size)
    end = at + _HEADER.size + length
    check = data[end : end + _CHECK]
    if len(check) < _CHECK or hashlib.sha256(data[at:end]).digest()[:_CHECK] != check:
        return None, False
    return Piece(identity, index, body_bytes, size, data[at + _HEADER.size : end]), False


def ranges(numbers: list[int], most: int = 12) -> str:
    """Ascending numbers as text: 0–2, 7, 9–11."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    text = ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in runs[:most])
    return text + (f" and {len(runs) - most} more ranges" if len(runs) > most else "")
