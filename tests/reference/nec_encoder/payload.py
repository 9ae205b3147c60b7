"""The coefficient payload (docs/bitstream.md §5), written backwards as rANS wants it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from nec_encoder.bits import escape_bits, pack_bits
from nec_encoder.parts import TableIn, TablesIn

Rect = tuple[int, int, int, int]  # own rows top … bottom−1, columns left … right−1


@dataclass(frozen=True)
class TileIn:
    """A tile to code: `symbols[c][f]` (all layers; the layer map picks), or wholly masked."""

    symbols: Sequence[Sequence[int]] = ()
    wholly: bool = False
    masked: frozenset[tuple[int, int]] = field(default_factory=frozenset)  # (row, col) of masked own tokens


Coded = list[tuple[int, TableIn, int]]  # (lane, table, value) in coding order


def coded_symbols(
    tables: TablesIn, tiles: Sequence[TileIn], *, plane: int, layer: int, e: int, lanes: int
) -> Coded:
    """§5.2."""
    shape = tables.planes[plane]
    steps: Coded = []
    for band in range(len(shape.layer_map)):
        coded = []
        for channel in range(shape.channels):
            table = tables.tables[tables.level(plane, band, channel, e)]
            if shape.layer_map[band][channel] == layer and table.thresholds:
                coded.append((channel, table))
        while coded:
            group, coded = coded[:lanes], coded[lanes:]
            for tile in tiles:
                if tile.wholly:
                    continue
                for f in range(shape.rows * shape.cols):
                    if shape.band_of[f] != band:
                        continue
                    for lane, (channel, table) in enumerate(group):
                        steps.append((lane, table, tile.symbols[channel][f]))
    return steps


def split(table: TableIn, value: int) -> tuple[int, int, int]:
    """(k, r, v) of a symbol: index, low bits, and what the escape string says, −1 where it says nothing."""
    if value == 0:
        return 0, 0, -1
    above, r = divmod(abs(value) - 1, 2**table.low_bits)
    most = len(table.thresholds)
    return min(above + 1, most), r, above + 1 - most if above + 1 >= most else -1


def _push(x: int, table: TableIn, value: int, words: list[int]) -> int:
    """Code a symbol onto state x; a word goes out first where the new state would not fit 32 bits.

    Each of the 2^b magnitudes of an index has every 2^b-th slot of its range.
    """
    k, r, _ = split(table, value)
    t = (0, *table.thresholds, 65536)
    parts = 2**table.low_bits if k else 1
    low, share = t[k], (t[k + 1] - t[k]) // parts
    if x >= share << 16:
        words.append(x & 0xFFFF)
        x >>= 16
    return (x // share << 16) + x % share * parts + r + low


def code(steps: Coded, lanes: int) -> tuple[int, bytes]:
    """(bits 2–4 of form, states + words + raw)."""
    signs = [int(value < 0) for _, _, value in steps if value]
    beyond = [split(table, value)[2] for _, table, value in steps]
    escapes = [bit for v in beyond if v >= 0 for bit in escape_bits(v)]
    words: list[int] = []
    if lanes > 1:
        states = [
            65536 + sum(bit << place for place, bit in enumerate(signs[16 * lane : 16 * lane + 16]))
            for lane in range(lanes)
        ]
        for lane, table, value in reversed(steps):
            states[lane] = _push(states[lane], table, value, words)
        raw = pack_bits(escapes) + pack_bits(signs[16 * lanes :])[::-1]
        return 0b11100, struct.pack(f"<{lanes}I", *states) + _words(words) + raw
    long_form = len(signs) > 16 or bool(escapes)
    carried = signs[:16] + [0] * (16 - len(signs[:16])) if long_form else signs
    x = 1
    for bit in carried:
        x = x << 1 | bit
    for _, table, value in reversed(steps):
        x = _push(x, table, value, words)
    state = x.to_bytes((x.bit_length() + 7) // 8, "little")
    raw = pack_bits(signs[16:] + escapes) if long_form else b""
    return (len(state) - 1) << 2 | int(long_form) << 4, state + _words(words) + raw


def _words(words: list[int]) -> bytes:
    return b"".join(struct.pack("<H", word) for word in reversed(words))


def masks(tiles: Sequence[TileIn], own: Sequence[Rect]) -> tuple[int, bytes]:
    """(bits 0–1 of form, tile mask + token mask)."""
    form, data = 0, b""
    if any(tile.wholly for tile in tiles):
        form |= 1
        data += pack_bits(int(tile.wholly) for tile in tiles)
    if any(tile.masked for tile in tiles):
        form |= 2
        bits: list[int] = []
        for tile, (top, bottom, left, right) in zip(tiles, own, strict=True):
            if tile.wholly:
                continue
            bits.append(int(bool(tile.masked)))
            if not tile.masked:
                continue
            before = [0] * (right - left)
            for row in range(top, bottom):
                now = [int((row, col) in tile.masked) for col in range(left, right)]
                bits += [1] if now == before else [0, *now]
                before = now
        data += pack_bits(bits)
    return form, data


def encode_payload(
    tables: TablesIn,
    tiles: Sequence[TileIn],
    *,
    e: int,
    plane: int = 0,
    layer: int = 0,
    lanes: int = 1,
    own: Sequence[Rect] | None = None,
) -> bytes:
    """A whole payload, form included (`parts.record` moves it); masks of tokens only in layer 0."""
    shape = tables.planes[plane]
    rects = own if own is not None else [(0, shape.rows, 0, shape.cols)] * len(tiles)
    if layer:
        tiles = [TileIn(tile.symbols, tile.wholly) for tile in tiles]
    mask_form, mask_bytes = masks(tiles, rects)
    code_form, code_bytes = code(
        coded_symbols(tables, tiles, plane=plane, layer=layer, e=e, lanes=lanes), lanes
    )
    return bytes([mask_form | code_form]) + mask_bytes + code_bytes
