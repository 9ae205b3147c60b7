"""The spool: everything received, as it came, durable before anything else happens with it.

A folder of append-only segments `00000001.seg`, …. A segment is the eight bytes "SWSPOOL", 0x00 and then entries:

    marker "SWPE"  u32 length of the payload  i64 time received (µs since 1970)  u8 kind  u8 length of the origin
    u16 length of the name  u32 CRC-32C over the entry with these four bytes zero  origin  name (UTF-8)  payload

Little-endian. Segments are never changed behind their end: a process that starts begins a new one, so the torn
tail that a crash left is passed over and stays as evidence. A damaged entry costs itself only; the marker leads on.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from codec.bitstream.core import crc32c
from codec.errors import Corrupt, LimitExceeded
from ground.files import Files, Sync

MAGIC = b"SWSPOOL\0"
MARKER = b"SWPE"
MAX_PAYLOAD = (1 << 32) - 1
MAX_NAME = 1024  # bytes
_HEAD = struct.Struct("<4sIqBBHI")
_CRC_AT = _HEAD.size - 4


class Kind(IntEnum):
    """How an entry came in."""

    DATAGRAM = 0
    PACKETS = 1  # a dropped file of space packets
    CONTAINER = 2  # a dropped .nec file


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something received, not yet durable."""

    kind: Kind
    name: str  # file name, or the sender's address
    payload: bytes
    time_us: int
    origin: str = ""  # of a dropped file: which one it was, so that the same file is never counted twice


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes stand in the spool."""

    segment: int
    offset: int  # bytes, in the segment
    length: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Something received and durable."""

    arrival: Arrival
    place: Place  # of the payload
    end: int  # offset behind the entry


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes of a segment that are no entry: a torn tail, or damage of the disk."""

    place: Place


class Spool:
    """Appends and reads. One writer at a time: the station's lock sees to that."""

    def __init__(self, folder: Path, files: Files, *, segment_bytes: int = 64 << 20) -> None:
        self._folder = folder
        self._files = files
        self._segment_bytes = segment_bytes
        self._handle = -1
        self._size = 0
        self._open_broken = False
        found = self.segments()
        self._number = found[-1] if found else 0

    def segments(self) -> list[int]:
        """Numbers of the segments there are, ascending."""
        return sorted(int(path.stem) for path in self._folder.glob("[0-9]*.seg") if path.stem.isdigit())

    def secure(self, from_segment: int) -> None:
        """Make durable what a killed process wrote: its page cache outlived it, a power cut would not be survived.

        The segments' names are durable already: nothing is appended before they are.
        """
        for number in self.segments():
            if number >= from_segment:
                self._files.sync_file(self._path(number), Sync.SEGMENT_FOUND)

    def append(self, arrivals: Sequence[Arrival]) -> list[Entry]:
        """Write a group of arrivals with one fsync; they are durable when this returns.

        Raises LimitExceeded (nothing of the group counts then) or InputError when the folder refuses.
        """
        if not arrivals:
            return []
        packed = [_pack(arrival) for arrival in arrivals]
        self._roll()
        entries, data, end = [], bytearray(), self._size
        for arrival, (head, body) in zip(arrivals, packed, strict=True):
            data += head + body
            end += len(head) + len(body)
            length = len(arrival.payload)
            entries.append(Entry(arrival, Place(self._number, end - length, length), end))
        path = self._path(self._number)
        self._open_broken = True
        self._files.append(self._handle, bytes(data), path)
        self._files.sync_handle(self._handle, path, Sync.SEGMENT_DATA)
        # Only now: after a failed write or fsync nobody knows what stands in the segment, so the next group begins another.
        self._open_broken = False
        self._size = end
        return entries

    def read(self, place: Place) -> bytes:
        """The bytes at a place. Raises Corrupt when the segment has become shorter."""
        path = self._path(place.segment)
        with open(path, "rb") as file:
            file.seek(place.offset)
            data = file.read(place.length)
        if len(data) != place.length:
            raise Corrupt("a spool segment is shorter than it was", path=path, offset=place.offset)
        return data

    def entries(self, segment: int, offset: int) -> Iterator[Entry | Gap]:
        """All entries and gaps from a position on; the position is one that this spool gave, or (0, 0)."""
        for number in self.segments():
            if number >= segment:
                yield from self._scan(number, offset if number == segment else 0)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.seg"

    def _roll(self) -> None:
        if self._handle >= 0 and not self._open_broken and self._size < self._segment_bytes:
            return
        self.close()
        self._number += 1
        path = self._path(self._number)
        self._handle = self._files.new_file(path)
        self._open_broken = True  # until the magic is in: a half-begun segment is never continued
        self._files.append(self._handle, MAGIC, path)
        self._files.sync_folder(self._folder, Sync.SEGMENT_NAME)
        self._open_broken = False
        self._size = len(MAGIC)

    def _scan(self, number: int, offset: int) -> Iterator[Entry | Gap]:
        data = self._path(number).read_bytes()
        position = max(offset, len(MAGIC)) if data[: len(MAGIC)] == MAGIC else offset
        gap = position
        while position < len(data):
            entry = _unpack(data, position, number)
            if entry is None:
                found = data.find(MARKER, position + 1)
                position = len(data) if found < 0 else found
                continue
            if gap < position:
                yield Gap(Place(number, gap, position - gap))
            yield entry
            position = gap = entry.end
        if gap < len(data):
            yield Gap(Place(number, gap, len(data) - gap))


def _pack(arrival: Arrival) -> tuple[bytes, bytes]:
    name, origin = arrival.name.encode()[:MAX_NAME], arrival.origin.encode()
    if len(arrival.payload) > MAX_PAYLOAD:
        raise LimitExceeded(
            "larger than one spool entry can hold", path=arrival.name, found=len(arrival.payload)
        )
    head = _HEAD.pack(MARKER, len(arrival.payload), arrival.time_us, arrival.kind, len(origin), len(name), 0)
    checksum = crc32c(arrival.payload, crc32c(head + origin + name))
    return head[:_CRC_AT] + checksum.to_bytes(4, "little") + origin + name, arrival.payload


def _unpack(data: bytes, position: int, number: int) -> Entry | None:
    if len(data) - position < _HEAD.size:
        return None
    marker, length, time_us, kind, origin_length, name_length, checksum = _HEAD.unpack_from(data, position)
    middle = position + _HEAD.size + origin_length
    start = middle + name_length
    end = start + length
    if marker != MARKER or kind not in Kind._value2member_map_ or end > len(data):
        return None
    head = data[position : position + _CRC_AT] + bytes(4) + data[position + _HEAD.size : start]
    payload = data[start:end]
    if crc32c(payload, crc32c(head)) != checksum:
        return None
    origin = data[position + _HEAD.size : middle].decode(errors="replace")
    name = data[middle:start].decode(errors="replace")
    return Entry(Arrival(Kind(kind), name, payload, time_us, origin), Place(number, start, length), end)
