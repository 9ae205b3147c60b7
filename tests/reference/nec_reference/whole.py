"""A whole file (§2): header, tables, every intact record, conflicts; one call, one value.

Refusals that concern the file are raised. Those that concern one record are in that record's `Outcome`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from nec_reference.archive import read_archive
from nec_reference.header import Header, decode_header
from nec_reference.manifest import Package, codec_id
from nec_reference.payload import TileSymbols, decode_payload, split_form
from nec_reference.records import (
    INDEX,
    SEAL,
    TABLES,
    Gap,
    Record,
    check_fields,
    check_seal,
    index_entries,
    scan,
)
from nec_reference.refusals import Corrupt, Identity, Refusal
from nec_reference.tables import Tables, check_against_header, decode_tables
from nec_reference.tiles import Own, own_tokens

OK, WAITING, IGNORED = "ok", "waiting", "ignored"


@dataclass(frozen=True)
class Outcome:
    """What became of one intact record: "ok", "waiting" (for tables), "ignored", or the kind of its refusal."""

    record: Record
    result: str
    why: str = ""


@dataclass(frozen=True)
class Tile:
    """One (plane, layer, tile) and the ladder offset of the record it came from."""

    content: TileSymbols
    ladder_offset: int


@dataclass
class DecodedFile:
    """Everything that a file says."""

    header: Header
    tables: Tables | None
    sealed: bool
    gaps: list[Gap]
    outcomes: list[Outcome]  # in file order
    index_agrees: bool | None = None  # None: no index
    tiles: dict[tuple[int, int, int], Tile] = field(default_factory=dict)  # (plane, layer, tile)
    conflicts: set[tuple[int, int, int]] = field(default_factory=set)
    mean_vectors: dict[int, dict[tuple[int, int], int]] = field(default_factory=dict)  # plane -> symbols

    def own(self, plane: int, tile: int) -> Own:
        return own_tokens(self.header, self.header.planes[plane], tile)

    def validity(self, plane: int, tile: int) -> list[bool]:
        """Token by token; all False while the tile is missing, that is, without layer 0 (§7.2)."""
        shape = self.header.planes[plane]
        found = self.tiles.get((plane, 0, tile))
        if found is None or found.content.wholly_masked:
            return [False] * (shape.rows * shape.cols)
        rect = self.own(plane, tile)
        return [
            rect.holds(*divmod(token, shape.cols)) and token not in found.content.masked
            for token in range(shape.rows * shape.cols)
        ]

    def layers(self, plane: int, tile: int) -> list[int]:
        return [
            layer for layer in range(self.header.planes[plane].layers) if (plane, layer, tile) in self.tiles
        ]

    def symbols(self, plane: int, tile: int) -> list[list[int]]:
        """C×F of all layers together; they are disjoint (§6)."""
        shape = self.header.planes[plane]
        grid = [[0] * (shape.rows * shape.cols) for _ in range(shape.channels)]
        for layer in self.layers(plane, tile):
            for (channel, f), symbol in self.tiles[plane, layer, tile].content.symbols.items():
                grid[channel][f] = symbol
        return grid


def decode_file(data: bytes, package: Package) -> DecodedFile:
    """Decode all that is intact in `data`."""
    header = decode_header(data)
    package.check()
    if package.n_bands is not None and header.band_mask >> package.n_bands:
        raise Corrupt(f"band mask {header.band_mask:#x} of {package.n_bands} bands")
    records, gaps = scan(data, header.length)
    legal, refused = _sort_out(header, records)
    tables = _choose_tables(header, package, [r for r in legal if r.header.kind == TABLES])
    sealed = bool(records) and records[-1].end == len(data) and records[-1].header.kind == SEAL
    file = DecodedFile(header, tables, sealed and records[-1] in legal, gaps, [])
    if tables is not None:
        for plane, payload in header.mean_vectors.items():
            file.mean_vectors[plane] = _mean_vector(header, tables, plane, payload)
    file.index_agrees = _index_agrees(records, legal)

    decoded: list[tuple[Record, list[TileSymbols]]] = []
    for record in records:
        result, why = OK, ""
        try:
            if record in refused:
                raise refused[record]
            if record.header.has_coefficients:
                if tables is None:
                    result = WAITING
                else:
                    decoded.append((record, _decode_record(header, tables, record)))
            elif record.header.kind == TABLES and not header.embeds_tables:
                result = IGNORED
            elif record.header.kind == SEAL and record is records[-1] and file.sealed:
                check_seal(data, records)
        except Refusal as refusal:
            result, why = refusal.kind, str(refusal)
            if record is records[-1]:
                file.sealed = False
        file.outcomes.append(Outcome(record, result, why))
    _place(file, decoded)
    return file


def _sort_out(header: Header, records: list[Record]) -> tuple[list[Record], dict[Record, Refusal]]:
    legal: list[Record] = []
    refused: dict[Record, Refusal] = {}
    for record in records:
        try:
            check_fields(record, header)
            legal.append(record)
        except Refusal as refusal:
            refused[record] = refusal
    return legal, refused


def _choose_tables(header: Header, package: Package, chunks: list[Record]) -> Tables | None:
    """The package's tables or the file's own (§4.5); None: some chunks have not arrived."""
    if header.embeds_tables:
        data = _join_chunks(chunks)
        if data is None:
            return None
    elif package.tables is None:
        raise Identity(f"no tables for codec {header.codec_id.hex()}")
    else:
        data = package.tables
    transform_sha256 = package.transform_sha256
    if header.self_contained:  # §4.5: what follows the table file, whose own length says where it ends
        if len(data) < 12:
            raise Corrupt("embedded tables of less than their length field")
        length = int.from_bytes(data[8:12], "little")
        data, transform = data[:length], data[length:]
        transform_sha256 = hashlib.sha256(transform).hexdigest()
        read_archive(transform, header.planes)
    found = codec_id(data, transform_sha256)
    if found != header.codec_id:
        raise Identity(f"the file needs codec {header.codec_id.hex()}, here is {found.hex()}")
    tables = decode_tables(data)
    check_against_header(tables, header.planes)
    return tables


def _join_chunks(chunks: list[Record]) -> bytes | None:
    best: dict[int, Record] = {}
    for chunk in chunks:
        number = chunk.header.first_tile
        if number not in best or _digest(chunk) < _digest(best[number]):
            best[number] = chunk
    counts = {chunk.header.count for chunk in best.values()}
    if len(counts) > 1:
        raise Corrupt(f"the chunks of the embedded tables disagree on their number: {sorted(counts)}")
    if not counts or len(best) < counts.pop():
        return None
    return b"".join(best[number].payload for number in sorted(best))


def _digest(record: Record) -> bytes:
    return hashlib.sha256(record.data).digest()


def _mean_vector(header: Header, tables: Tables, plane: int, payload: bytes) -> dict[tuple[int, int], int]:
    if not payload:
        raise Corrupt("a mean vector without a payload")
    if payload[0] & 0b11:
        raise Corrupt("a mean vector with masks")
    shape = header.planes[plane]
    whole = Own(0, shape.rows, 0, shape.cols)
    (tile,) = decode_payload(payload[0], payload[1:], tables, plane, 0, 1, header.ladder_index, 0, [whole])
    return tile.symbols


def _decode_record(header: Header, tables: Tables, record: Record) -> list[TileSymbols]:
    fields = record.header
    own = [
        own_tokens(header, header.planes[fields.plane], tile)
        for tile in range(fields.first_tile, fields.first_tile + fields.count)
    ]
    form, payload = split_form(record)
    return decode_payload(
        form,
        payload,
        tables,
        fields.plane,
        fields.layer,
        fields.lanes,
        header.ladder_index,
        fields.ladder_offset,
        own,
    )


def _place(file: DecodedFile, decoded: list[tuple[Record, list[TileSymbols]]]) -> None:
    """Put tiles in their place; where different records give the same one, the smaller SHA-256 wins (§4.3)."""
    best: dict[tuple[int, int, int], Record] = {}
    for record, tiles in decoded:
        for number, content in enumerate(tiles, record.header.first_tile):
            place = (record.header.plane, record.header.layer, number)
            rival = best.get(place)
            if rival is not None and rival.data != record.data:
                file.conflicts.add(place)
            if rival is None or _digest(record) < _digest(rival):
                best[place] = record
                file.tiles[place] = Tile(content, record.header.ladder_offset)


def _index_agrees(records: list[Record], legal: list[Record]) -> bool | None:
    """Whether the last run of index records lists the records before it; a convenience, never a refusal."""
    parts = [record for record in legal if record.header.kind == INDEX]
    if not parts:
        return None
    first_part = max((p for p in parts if p.header.first_tile == 0), key=lambda p: p.offset, default=None)
    if first_part is None:
        return False
    parts = [part for part in parts if part.offset >= first_part.offset]
    before = [record.data[:8] for record in records if record.offset < first_part.offset]
    return index_entries(parts) == before
