"""What a spool entry means: which files its bytes belong to, and what of it belongs to none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from codec.bitstream.header import FileHeader
from codec.errors import SwathpackError
from codec.link import parse_packet, split_stream
from ground.spool import Entry, Gap, Kind, Place


class PieceKind:
    """What of a file a piece is."""

    PACKET = 0
    CONTAINER = 1


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the spool that belong to a file; the same bytes count once, however often they came."""

    file_id: str
    kind: int
    digest: str  # SHA-256 of the bytes, hex
    place: Place
    time_us: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something received that belongs to nothing: a foreign packet, a damaged one, an unreadable file."""

    kind: str  # of the error class
    what: str
    source: str
    time_us: int


@dataclass(slots=True)
class Meaning:
    """Pieces and refusals of one spool entry.

    `key` names the dropped file that it was (empty for datagrams): a file whose removal from the inbox a crash undid is
    spooled twice and must count once.
    """

    end: tuple[int, int]  # segment and offset behind the entry
    key: str = ""
    pieces: list[Piece] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


def interpret(found: Entry | Gap) -> Meaning:
    """Read one spool entry. Raises nothing for what came from outside: that is a value."""
    if isinstance(found, Gap):
        place = found.place
        meaning = Meaning((place.segment, place.offset + place.length))
        what = f"no entry in {place.length} bytes at {place.offset}"
        meaning.refusals.append(Refusal("spool-gap", what, f"spool segment {place.segment}", 0))
        return meaning
    meaning = Meaning((found.place.segment, found.end), _key(found))
    try:
        if found.arrival.kind is Kind.CONTAINER:
            header, _ = FileHeader.decode(found.arrival.payload)
            whole = found.arrival.payload
            meaning.pieces.append(_piece(found, header.file_id, PieceKind.CONTAINER, 0, whole))
    except SwathpackError as error:
        meaning.refusals.append(_refusal(error, found))
    for offset, data in _packets(found):
        try:
            packet = parse_packet(data)
        except SwathpackError as error:
            meaning.refusals.append(_refusal(error, found))
            continue
        meaning.pieces.append(_piece(found, packet.file_id, PieceKind.PACKET, offset, data))
    return meaning


def _packets(entry: Entry) -> list[tuple[int, bytes]]:
    payload = entry.arrival.payload
    if entry.arrival.kind is Kind.CONTAINER:
        return []
    if entry.arrival.kind is Kind.DATAGRAM or not payload:
        return [(0, payload)]  # parse_packet says what is wrong with an empty one
    return [(offset, bytes(part)) for offset, part in split_stream(payload)]


def _key(entry: Entry) -> str:
    arrival = entry.arrival
    if not arrival.origin:
        return ""
    digest = hashlib.sha256(f"{int(arrival.kind)}\0{arrival.name}\0{arrival.origin}\0".encode())
    digest.update(arrival.payload)
    return digest.hexdigest()


def _piece(entry: Entry, file_id: bytes, kind: int, offset: int, data: bytes) -> Piece:
    place = Place(entry.place.segment, entry.place.offset + offset, len(data))
    return Piece(file_id.hex(), kind, hashlib.sha256(data).hexdigest(), place, entry.arrival.time_us)


def _refusal(error: SwathpackError, entry: Entry) -> Refusal:
    return Refusal(error.kind, error.what, entry.arrival.name, entry.arrival.time_us)
