"""Finding what is intact in a file that may be cut, appended to or damaged (bitstream §4.4, §4.6)."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import Enum

from codec.bitstream import core
from codec.bitstream import record as rec
from codec.bitstream.header import FileHeader
from codec.errors import Corrupt, FormatError
from codec.types import Record, RecordKind

SEAL = struct.Struct("<IQ8sI")
INDEX_ENTRY = rec.HEADER_SIZE


class SealState(str, Enum):
    """What the end of the file says of its wholeness."""

    SEALED = "sealed"
    UNSEALED = "unsealed"
    BROKEN = (
        "broken"  # a seal ends the file and disagrees with it: bytes were inserted, changed or removed. It is
    )
    # refused, and the file counts as unsealed.


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes first … last of the file, both included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Refused:
    """An intact record that this decoder may not use; it alone is lost."""

    offset: int
    size: int  # bytes of the whole record
    kind: str  # of codec.errors
    what: str


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What stands in a file, in file order. Nothing of the payloads of kind 1 and 2 has been judged."""

    header: FileHeader
    header_length: int
    size: int  # bytes of the file
    records: tuple[Record, ...]  # intact and legal, every kind
    refused: tuple[Refused, ...]
    gaps: tuple[Stretch, ...]  # damage, the cut record included
    cut: Stretch | None  # a record that the end of the file cuts
    padding: int  # zero bytes between records
    seal: SealState
    seal_error: str | None
    index: tuple[
        str, ...
    ]  # what the index parts say against the file; empty where they agree or there are none

    @property
    def coefficients(self) -> tuple[Record, ...]:
        """Coefficient records of either kind."""
        return tuple(record for record in self.records if record.header.is_coefficients)

    def of_kind(self, kind: RecordKind) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record.header.kind == kind)


def scan(data: bytes, path: object = None) -> ScanResult:
    """Read a `.nec` file: its header, and every intact record behind it.

    Raises what `FileHeader.decode` raises; behind the header nothing raises, damage is a value of the result.
    """
    data = bytes(data)
    header, start = FileHeader.decode(data, path)
    offsets, words = core.scan(data, start)
    records: list[Record] = []
    refused: list[Refused] = []
    gaps: list[Stretch] = []
    padding = 0
    position = start
    whole: list[int] = []  # packed headers of all intact records, refused ones included
    for offset, word in zip(offsets.tolist(), words.tolist(), strict=True):
        padding += _between(data, position, offset, gaps)
        position = offset + rec.OVERHEAD + rec.payload_length(word)
        try:
            fields = rec.unpack(word)
            rec.check(fields, header)
            record = Record(fields, data[offset:position], offset)
            _check_payload(record)
            records.append(record)
        except FormatError as error:
            refused.append(Refused(offset, position - offset, error.kind, str(error)))
        whole.append(word)
    tail = _between(data, position, len(data), gaps)
    cut = None
    if gaps and gaps[-1].first >= position and _is_cut(data, gaps[-1].first):
        tail -= len(data) - 1 - gaps[-1].last  # zeros at the end are the cut record's own
        cut = gaps[-1] = Stretch(gaps[-1].first, len(data) - 1)
    padding += tail
    state, why = _judge_seal(data, position, records, len(whole))
    if why is not None:
        seal = records.pop()
        refused.append(Refused(seal.offset, len(seal.data), Corrupt.kind, why))
    return ScanResult(
        header=header, header_length=start, size=len(data), records=tuple(records), refused=tuple(refused),
        gaps=tuple(gaps), cut=cut, padding=padding, seal=state, seal_error=why,
        index=_judge_index(records, offsets.tolist(), whole),
    )  # fmt: skip


def _between(data: bytes, first: int, end: int, gaps: list[Stretch]) -> int:
    """Judge the bytes between two records: zeros at either side are padding, the rest is one gap."""
    stretch = data[first:end]
    left = len(stretch) - len(stretch.lstrip(b"\0"))
    right = len(stretch.rstrip(b"\0"))
    if left >= right:
        return len(stretch)
    gaps.append(Stretch(first + left, first + right - 1))
    return len(stretch) - (right - left)


def _is_cut(data: bytes, offset: int) -> bool:
    head = data[offset : offset + rec.HEADER_SIZE]
    if len(head) < rec.HEADER_SIZE or core.crc8(head[:7]) != head[7] or head[0] & 7 == RecordKind.PADDING:
        return False
    return offset + rec.OVERHEAD + rec.payload_length(int.from_bytes(head, "little")) > len(data)


def _check_payload(record: Record) -> None:
    """The payload lengths that a kind fixes."""
    length = record.header.payload_length
    if record.header.kind == RecordKind.SEAL and length != SEAL.size:
        raise Corrupt("a seal has the wrong length", offset=record.offset, expected=SEAL.size, found=length)
    if record.header.kind == RecordKind.SEAL and SEAL.unpack(rec.payload(record))[3]:
        raise Corrupt("a seal's reserved field is not 0", offset=record.offset)
    if record.header.kind == RecordKind.INDEX and length % INDEX_ENTRY:
        raise Corrupt("an index is no whole number of entries", offset=record.offset, found=f"{length} bytes")


def _judge_seal(data: bytes, end: int, records: list[Record], n_records: int) -> tuple[SealState, str | None]:
    """Only a seal that ends the file counts, and it must agree with all before it."""
    if end != len(data) or not records or records[-1].header.kind != RecordKind.SEAL:
        return SealState.UNSEALED, None
    last = records[-1]
    if last.offset + len(last.data) != end:  # a refused record stands behind it
        return SealState.UNSEALED, None
    before, offset, digest, _ = SEAL.unpack(rec.payload(last))
    for name, expected, found in (
        ("records before the seal", before, n_records - 1),
        ("offset of the seal", offset, last.offset),
        ("SHA-256 of the bytes before", digest.hex(), hashlib.sha256(data[: last.offset]).digest()[:8].hex()),
    ):
        if expected != found:
            return (
                SealState.BROKEN,
                f"the seal disagrees with the file in its {name}: {expected} there, {found} here",
            )
    return SealState.SEALED, None


def _judge_index(records: list[Record], offsets: list[int], words: list[int]) -> tuple[str, ...]:
    """Compare each run of index parts with the records before its first part."""
    place = {offset: i for i, offset in enumerate(offsets)}
    complaints = []
    parts: list[Record] = []
    for record in [*records, None]:
        if (
            record is not None
            and record.header.kind == RecordKind.INDEX
            and record.header.first_tile == len(parts)
        ):
            parts.append(record)
            continue
        if parts:
            listed = b"".join(map(rec.payload, parts))
            actual = struct.pack(f"<{place[parts[0].offset]}Q", *words[: place[parts[0].offset]])
            if listed != actual:
                complaints.append(
                    f"the index at byte {parts[0].offset} lists {len(listed) // INDEX_ENTRY} records, "
                    f"{len(actual) // INDEX_ENTRY} stand before it"
                    + (", others" if len(listed) == len(actual) else "")
                )
        parts = []
        if record is not None and record.header.kind == RecordKind.INDEX:
            if record.header.first_tile == 0:
                parts = [record]
            else:
                complaints.append(f"part {record.header.first_tile} of an index without the parts before it")
    return tuple(complaints)
