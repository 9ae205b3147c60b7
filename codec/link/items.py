"""Reading what symbols hold: header copies and records (docs/link.md §4)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from codec.bitstream.core import crc8, crc32c
from codec.bitstream.header import MAGIC as HEADER_MAGIC
from codec.bitstream.header import MAX_HEADER
from codec.bitstream.record import CRC_SIZE, HEADER_SIZE, OVERHEAD, payload_length

MIN_HEADER = 128
_LENGTH_OFFSET = 10  # of the header's length field
_WORD = struct.Struct("<Q")
_CRC = struct.Struct("<I")


@dataclass(slots=True)
class Items:
    """What was found in consecutive symbols."""

    headers: list[bytes] = field(default_factory=list)
    records: list[tuple[bytes, int, int]] = field(default_factory=list)  # bytes, first and last symbol
    damaged: bool = False  # something began that is no item, or breaks its own checks


def read_items(
    data: bytes,
    symbol_size: int,
    firsts: Sequence[int],
    file_id: bytes,
    is_known: Callable[[bytes], bool],
    *,
    all_there: bool,
) -> Items:
    """Items of consecutive symbols.

    `data` are the padded symbols; `firsts` their first-item offsets. `is_known` may tell that a
    record was checked before. `all_there`: no symbol of the block follows, so an item that ends beyond is damaged;
    else it is only incomplete. Symbol numbers in the result count from 0.
    """
    items = Items()
    position = _first_item(0, symbol_size, firsts)
    while position < len(data):
        symbol = position // symbol_size
        end = position + _item_size(data, position)
        if end == position and data[position] == 0:
            position = (symbol + 1) * symbol_size
            continue
        in_one = end <= (symbol + 1) * symbol_size
        if end == position or end > len(data) or not (in_one or position % symbol_size == 0):
            # Cut off, or no item: where the next one begins only its own symbol can tell.
            items.damaged |= all_there or in_one or position % symbol_size != 0
            position = _first_item(symbol + 1, symbol_size, firsts)
            continue
        _take(items, data[position:end], symbol, (end - 1) // symbol_size, file_id, is_known)
        position = end
    return items


def _first_item(symbol: int, symbol_size: int, firsts: Sequence[int]) -> int:
    """Where the first item begins that begins in `symbol` or behind it, as their packets said."""
    while (
        symbol < len(firsts) and firsts[symbol] == symbol_size
    ):  # all of it belongs to an item begun earlier
        symbol += 1
    return symbol * symbol_size + (firsts[symbol] if symbol < len(firsts) else 0)


def _item_size(data: bytes, position: int) -> int:
    """Bytes of the item that begins at `position`; 0 when none does (a zero byte, or nothing known)."""
    if data[position] == 0:
        return 0
    head = data[position : position + 2 * HEADER_SIZE]
    if head.startswith(HEADER_MAGIC):
        length = int.from_bytes(head[_LENGTH_OFFSET : _LENGTH_OFFSET + 2], "little")
        return length if MIN_HEADER <= length <= MAX_HEADER else 0
    if len(head) < HEADER_SIZE or head[0] & 7 == 0 or crc8(head[:7]) != head[7]:
        return 0
    return OVERHEAD + payload_length(int(_WORD.unpack_from(head)[0]))


def _take(
    items: Items, item: bytes, first: int, last: int, file_id: bytes, is_known: Callable[[bytes], bool]
) -> None:
    """Add an item if it passes its own check; one that does not is passed over by its length."""
    if item.startswith(HEADER_MAGIC):
        if is_header_of(item, file_id):
            items.headers.append(item)
        else:
            items.damaged = True
    elif is_known(item) or crc32c(item[:-CRC_SIZE]) == _CRC.unpack_from(item, len(item) - CRC_SIZE)[0]:
        items.records.append((item, first, last))
    else:
        items.damaged = True


def is_header_of(data: bytes, file_id: bytes) -> bool:
    """Is this the whole header whose hash the packets carry? The hash covers the header's own CRC."""
    return hashlib.sha256(data).digest()[:8] == file_id
