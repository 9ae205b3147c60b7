"""A new file as pieces of files that the receiver has, and the bytes in between (docs/uplink.md §5)."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Shorter repeats cost more to describe than to send.
SHORTEST_COPY = 64
_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes that both sides have. `kind`: base, made or view; `name` as in the pack."""

    kind: str
    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Copy:
    """A part of a new file that stands in a source."""

    kind: str
    name: str
    offset: int
    length: int


class Matcher:
    """Finds long repeats of known sources."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self.blocks: dict[bytes, tuple[int, int]] = {}
        for number, source in enumerate(self.sources):
            data = source.data
            for offset in range(0, len(data) - _BLOCK + 1, _BLOCK):
                self.blocks.setdefault(data[offset : offset + _BLOCK], (number, offset))

    def parts(self, data: bytes) -> list[Copy | bytes]:
        """`data` as copies and the bytes between them, in order."""
        found: list[Copy | bytes] = []
        at = start = 0
        get = self.blocks.get
        while at + _BLOCK <= len(data):
            hit = get(data[at : at + _BLOCK])
            if hit is None:
                at += 1
                continue
            number, offset = hit
            source = self.sources[number]
            # Whatever is a whole block further back was a block of its own.
            reach = min(at - start, offset, 2 * _BLOCK)
            back = _common_end(data[at - reach : at], source.data[offset - reach : offset])
            length = back + _common_start(data, at, source.data, offset)
            if length < SHORTEST_COPY:
                at += 1
                continue
            if at - back > start:
                found.append(data[start : at - back])
            found.append(Copy(source.kind, source.name, offset - back, length))
            at = start = at - back + length
        if start < len(data):
            found.append(data[start:])
        return found


def _common_start(a: bytes, i: int, b: bytes, j: int) -> int:
    """How many bytes from a[i] on equal those from b[j] on."""
    length, step = 0, 4096
    while a[i + length : i + length + step] == b[j + length : j + length + step]:
        if min(len(a) - i, len(b) - j) <= length + step:
            return min(len(a) - i, len(b) - j)
        length += step
    low, high = 0, step  # equal up to low, not up to high
    while high - low > 1:
        middle = (low + high) // 2
        same = (
            a[i + length : i + length + middle] == b[j + length : j + length + middle]
            and min(len(a) - i, len(b) - j) >= length + middle
        )
        low, high = (middle, high) if same else (low, middle)
    return length + low


def _common_end(a: bytes, b: bytes) -> int:
    return _common_start(a[::-1], 0, b[::-1], 0) if a and b else 0


def split_arrays(path: str, data: bytes, start: int, literal: bytes) -> Iterator[bytes]:
    """The bytes of a new file from `start` on, cut where arrays begin and end: only whole numbers shrink well."""
    at = 0
    for place in sorted(_borders(path, data)):
        if at < place - start < len(literal):
            yield literal[at : place - start]
            at = place - start
    yield literal[at:]


def _borders(path: str, data: bytes) -> set[int]:
    """Where the arrays of a .npz or .safetensors begin and end; nothing for other files."""
    try:
        if path.endswith(".npz"):
            return set(_npz_borders(data))
        if path.endswith(".safetensors"):
            (length,) = struct.unpack_from("<Q", data)
            header = json.loads(data[8 : 8 + length])
            return {
                8 + length + offset
                for name, entry in header.items()
                if name != "__metadata__"
                for offset in entry["data_offsets"]
            }
    except (zipfile.BadZipFile, struct.error, ValueError, KeyError, TypeError):
        return set()  # it is sent as it is
    return set()


def _npz_borders(data: bytes) -> Iterator[int]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            name, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
            member = info.header_offset + 30 + name + extra
            if info.compress_type == zipfile.ZIP_STORED:
                (header,) = struct.unpack_from("<H", data, member + 8)
                yield member + 10 + header  # behind the .npy header of version 1
                yield member + info.file_size
