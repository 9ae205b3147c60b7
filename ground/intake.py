"""What a spool entry means: which files its bytes belong to, and what of it belongs to none."""

from __future__ import annotations

import hashlib

from codec.bitstream.header import FileHeader
from codec.errors import SwathpackError
from codec.link import parse_packet, split_stream
from ground.ledger import Piece, PieceKind, Refusal
from ground.spool import Entry, Gap, Kind, Place


def interpret(found: Entry | Gap) -> tuple[list[Piece], list[Refusal]]:
    """Pieces and refusals of one spool entry. Raises nothing for what came from outside: that is a value."""
    if isinstance(found, Gap):
        source = f"spool segment {found.place.segment}"
        return [], [
            Refusal("spool-gap", f"no entry in {found.place.length} bytes at {found.place.offset}", source, 0)
        ]
    if found.arrival.kind is Kind.CONTAINER:
        return _container(found)
    payload = found.arrival.payload
    if found.arrival.kind is Kind.DATAGRAM:
        parts = [(0, payload)]
    else:
        parts = [(offset, bytes(part)) for offset, part in split_stream(payload)]
    pieces: list[Piece] = []
    refusals: list[Refusal] = []
    for offset, data in parts:
        try:
            packet = parse_packet(data)
        except SwathpackError as error:
            refusals.append(_refusal(error, found))
            continue
        pieces.append(_piece(found, packet.file_id, PieceKind.PACKET, offset, data))
    return pieces, refusals


def _container(entry: Entry) -> tuple[list[Piece], list[Refusal]]:
    payload = entry.arrival.payload
    try:
        header, _ = FileHeader.decode(payload)
    except SwathpackError as error:
        return [], [_refusal(error, entry)]
    return [_piece(entry, header.file_id, PieceKind.CONTAINER, 0, payload)], []


def _piece(entry: Entry, file_id: bytes, kind: int, offset: int, data: bytes) -> Piece:
    place = Place(entry.place.segment, entry.place.offset + offset, len(data))
    return Piece(file_id.hex(), kind, hashlib.sha256(data).hexdigest(), place, entry.arrival.time_us)


def _refusal(error: SwathpackError, entry: Entry) -> Refusal:
    return Refusal(error.kind, error.what, entry.arrival.name, entry.arrival.time_us)
