"""Tables that travel in the file itself (bitstream §4.5): `tables.bin` cut into records of kind 2, and back.

A self-contained file has the package's `transform.npz` behind them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from codec.bitstream import record as rec
from codec.errors import InputError
from codec.types import Record, RecordKind

MAX_TABLES = 131_072  # bytes of a table file
_LENGTH_END = 12  # bytes of a table file up to and with its length
DEFAULT_CHUNK = 960 - rec.OVERHEAD  # a chunk's record fits one default packet


@dataclass(frozen=True, slots=True)
class EmbeddedTables:
    """The table file that records of kind 2 carry, as far as they have arrived."""

    data: bytes | None  # whole file, unchecked but for the records' CRCs; None: incomplete or contradictory
    n_chunks: int  # as the chunks say; 0: none arrived, or they disagree
    missing: tuple[int, ...]  # chunk numbers
    conflicts: int  # chunks of which intact records give different bytes
    transform: bytes | None = None  # what follows the table file in a self-contained one
    disagree: tuple[int, ...] = ()  # the different numbers of chunks that the chunks name: corrupt (§4.5)


def split(tables: bytes, transform: bytes = b"", *, chunk: int = DEFAULT_CHUNK) -> list[Record]:
    """Cut a table file into records of at most `chunk` payload bytes each, as equal as can be.

    `transform`: that of a self-contained file, which stands behind the tables.

    Only writable tile counts can say how many chunks there are, so there may be a few more than needed.
    """
    if not 1 <= len(tables) <= MAX_TABLES:
        raise InputError(f"a table file has 1 to {MAX_TABLES} bytes", found=len(tables))
    if not 1 <= chunk <= rec.MAX_PAYLOAD:
        raise InputError(f"a chunk has 1 to {rec.MAX_PAYLOAD} bytes", found=chunk)
    data = tables + transform
    needed = -(-len(data) // chunk)
    count = next((n for n in rec.TILE_COUNTS if n >= needed), None)
    if count is None or count > len(data):
        raise InputError("the chunks are too small for these tables", found=chunk, fix="choose larger chunks")
    ends = [len(data) * (i + 1) // count for i in range(count)]
    starts = [0, *ends[:-1]]
    return [
        rec.numbered(RecordKind.TABLES, i, count, data[a:b])
        for i, (a, b) in enumerate(zip(starts, ends, strict=True))
    ]


def collect(records: Iterable[Record], *, with_transform: bool = False) -> EmbeddedTables:
    """Put the chunks together; the result depends on the set of the records only.

    Of different records with one chunk number that with the smaller SHA-256 is taken, as for tiles. `with_transform`: the
    header says that a transform follows the tables.
    """
    chosen: dict[int, Record] = {}
    conflicts = set()
    for record in records:
        if record.header.kind != RecordKind.TABLES:
            continue
        number = record.header.first_tile
        held = chosen.setdefault(number, record)
        if held.data != record.data:
            conflicts.add(number)
            chosen[number] = min(held, record, key=lambda r: hashlib.sha256(r.data).digest())
    counts = {record.header.tile_count for record in chosen.values()}
    if len(counts) != 1:
        return EmbeddedTables(None, 0, (), len(conflicts), disagree=tuple(sorted(counts)))
    n_chunks = counts.pop()
    missing = tuple(i for i in range(n_chunks) if i not in chosen)
    data = None if missing else b"".join(rec.payload(chosen[i]) for i in range(n_chunks))
    transform = None
    if data is not None and with_transform and len(data) >= _LENGTH_END:
        length = int.from_bytes(data[_LENGTH_END - 4 : _LENGTH_END], "little")
        data, transform = data[:length], data[length:]
    return EmbeddedTables(data, n_chunks, missing, len(conflicts), transform)
