"""A byte stream or file of packets, cut at packet borders again after damage (docs/link.md §2)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from codec.link.packet import MAGIC, PRIMARY_SIZE, declared_size, holds_intact


def split_stream(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Pieces (offset, bytes) of `data`, in order; every byte is in exactly one of them.

    Intact packets of ours come out singly. Foreign and damaged ones do too where their lengths lead to the next
    intact packet; else the gap is one piece. `parse_packet` says what each piece is. Raises nothing.
    """
    data = bytes(data)
    position = gap = 0
    while position < len(data):
        size = holds_intact(data, position)
        if size is None:
            # The magic stands 6 bytes behind the start of a packet: search for it instead of trying every byte.
            found = data.find(MAGIC, position + 1 + PRIMARY_SIZE)
            position = len(data) if found < 0 else found - PRIMARY_SIZE
            continue
        yield from _gap(data, gap, position)
        yield position, data[position : position + size]
        position += size
        gap = position
    yield from _gap(data, gap, len(data))


def _gap(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    if start == end:
        return
    cuts = [start]
    while cuts[-1] < end:
        size = declared_size(data, cuts[-1])
        if size is None or cuts[-1] + size > end:
            yield start, data[start:end]
            return
        cuts.append(cuts[-1] + size)
    for first, last in pairwise(cuts):
        yield first, data[first:last]
