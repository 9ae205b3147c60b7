"""The coefficient payload (§5): form, masks, symbol order, rANS, signs and escapes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from nec_reference.bits import BitReader, exp_golomb
from nec_reference.records import COMPACT, Record
from nec_reference.refusals import Corrupt, Limit
from nec_reference.tables import MAX_MAGNITUDE, Table, Tables
from nec_reference.tiles import Own

FORM_TILE_MASK, FORM_TOKEN_MASK, FORM_LONG, FORM_RESERVED = 1 << 0, 1 << 1, 1 << 4, 0b111 << 5
MAX_CODED_SYMBOLS = 1 << 26
LOW = 65536  # below it a state takes a word


@dataclass(frozen=True)
class TileSymbols:
    """One tile of one layer, sparse, so that nothing is held in proportion to what is not in the payload."""

    wholly_masked: bool
    masked: frozenset[int]  # the masked own tokens of a partly masked tile, by raster index
    symbols: dict[tuple[int, int], int]  # (channel, frequency) -> symbol; all others are 0


def step_index(tables: Tables, plane: int, layer: int, ladder_index: int, ladder_offset: int) -> int:
    """e of §5.2, after the checks of q and e."""
    q = ladder_index + ladder_offset
    e = q + tables.planes[plane].layer_shift[layer]
    if not (0 <= q < len(tables.ladder) and 0 <= e < len(tables.ladder)):
        raise Corrupt(f"ladder index {q} or {e} of {len(tables.ladder)}")
    return e


def split_form(record: Record) -> tuple[int, bytes]:
    """The form of a coefficient record and the payload without it, after the check of the kind (§5.1)."""
    if record.header.kind == COMPACT:
        return record.header.log2_lanes << 2, record.payload
    form = record.payload[0]
    if record.header.lanes == 1 and not form & (FORM_TILE_MASK | FORM_TOKEN_MASK):
        raise Corrupt("one lane and no mask in a record of kind 1")
    return form, record.payload[1:]


def decode_payload(
    form: int,
    payload: bytes,
    tables: Tables,
    plane: int,
    layer: int,
    lanes: int,
    ladder_index: int,
    ladder_offset: int,
    own: list[Own],
) -> list[TileSymbols]:
    """The tiles of one record; `payload` is what stands behind the form, `own` has one rectangle for each tile."""
    e = step_index(tables, plane, layer, ladder_index, ladder_offset)
    shape = tables.planes[plane]
    if form & FORM_RESERVED:
        raise Corrupt(f"form {form:#04x}")
    state_bytes = (form >> 2 & 3) + 1
    long_form = bool(form & FORM_LONG)
    if lanes > 1 and not (state_bytes == 4 and long_form):
        raise Corrupt(f"form {form:#04x} with {lanes} lanes")
    if form & FORM_TOKEN_MASK and layer != 0:
        raise Corrupt(f"a token mask in layer {layer}")

    position = 0
    wholly = [False] * len(own)
    if form & FORM_TILE_MASK:
        wholly, position = _tile_mask(payload, position, len(own))
    masked: dict[int, frozenset[int]] = {}
    if form & FORM_TOKEN_MASK:
        masked, position = _token_mask(payload, position, own, wholly, shape.cols)

    here = [tile for tile, gone in enumerate(wholly) if not gone]
    n_symbols = sum(
        len(shape.frequencies(band)) * len(_coded(tables, plane, layer, band, e))
        for band in range(shape.bands)
    ) * len(here)
    if n_symbols > MAX_CODED_SYMBOLS:
        raise Limit(f"{n_symbols} coded symbols in one record")

    order = list(_order(tables, plane, layer, e, lanes, here))
    if lanes == 1:
        magnitudes, signs = _one_lane(payload, position, state_bytes, long_form, order)
    else:
        magnitudes, signs = _several_lanes(payload, position, lanes, order)
    return _collect(wholly, masked, order, magnitudes, signs)


# --- 5.1 masks ---------------------------------------------------------------------------------------------


def _tile_mask(payload: bytes, position: int, n_tiles: int) -> tuple[list[bool], int]:
    reader = BitReader(payload, position)
    wholly = [bool(bit) for bit in reader.bits(n_tiles)]
    if not any(wholly):
        raise Corrupt("a tile mask without a masked tile")
    return wholly, reader.end()


def _token_mask(
    payload: bytes, position: int, own: list[Own], wholly: list[bool], cols: int
) -> tuple[dict[int, frozenset[int]], int]:
    """The masked tokens of each partly masked tile, and the position behind the mask."""
    reader = BitReader(payload, position)
    masked: dict[int, frozenset[int]] = {}
    for tile, rect in enumerate(own):
        if wholly[tile] or not reader.bit():
            continue
        width = rect.right - rect.left
        before = [0] * width
        rows = []
        for _ in range(rect.top, rect.bottom):
            if reader.bit():
                row = before
            else:
                row = reader.bits(width)
                if row == before:
                    raise Corrupt("a token mask spells out a row that repeats the one before")
            rows.append(row)
            before = row
        flat = [bit for row in rows for bit in row]
        if all(flat) or not any(flat):
            raise Corrupt("a partly masked tile without a masked or without a valid token")
        masked[tile] = frozenset(
            (rect.top + row_index) * cols + rect.left + col_index
            for row_index, row in enumerate(rows)
            for col_index, bit in enumerate(row)
            if bit
        )
    if not masked:
        raise Corrupt("a token mask without a partly masked tile")
    return masked, reader.end()


# --- 5.2 order ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Step:
    """One symbol: where it belongs, who codes it, with which table."""

    lane: int
    tile: int
    channel: int
    frequency: int
    table: Table


def _coded(tables: Tables, plane: int, layer: int, band: int, e: int) -> list[int]:
    layer_of = tables.planes[plane].layer_map[band]
    return [
        channel
        for channel, of in enumerate(layer_of)
        if of == layer and tables.tables[tables.level(plane, band, channel, e)].thresholds
    ]


def _order(tables: Tables, plane: int, layer: int, e: int, lanes: int, here: list[int]) -> Iterator[_Step]:
    shape = tables.planes[plane]
    for band in range(shape.bands):
        frequencies = shape.frequencies(band)
        coded = _coded(tables, plane, layer, band, e)
        for at in range(0, len(coded), lanes):
            group = coded[at : at + lanes]
            using = [tables.tables[tables.level(plane, band, channel, e)] for channel in group]
            for tile in here:
                for f in frequencies:
                    for lane, channel in enumerate(group):
                        yield _Step(lane, tile, channel, f, using[lane])


# --- 5.3 the coder -----------------------------------------------------------------------------------------


class _Words:
    """The u16 words of a payload, read forward."""

    def __init__(self, payload: bytes, position: int) -> None:
        self.payload = payload
        self.position = position

    @property
    def remain(self) -> bool:
        return self.position < len(self.payload)

    def next(self) -> int:
        if self.position + 2 > len(self.payload):
            raise Corrupt("no word is left and a state needs one")
        (word,) = struct.unpack_from("<H", self.payload, self.position)
        self.position += 2
        return int(word)


@dataclass(frozen=True)
class _Symbol:
    """What a state says of one symbol."""

    table: Table
    k: int  # index
    r: int  # low bits

    @property
    def is_escape(self) -> bool:
        return self.k == self.table.escape

    def magnitude(self, v: int) -> int:
        """v is 0 where the symbol is no escape."""
        return (self.k + v - 1) * 2**self.table.low_bits + 1 + self.r if self.k else 0


def _decode_symbol(x: int, table: Table) -> tuple[_Symbol, int]:
    """The symbol in state x, and the state before any refill."""
    slot = x % 65536
    k, low, frequency = table.find(slot)
    parts = 2**table.low_bits if k else 1
    symbol = _Symbol(table, k, (slot - low) % parts)
    return symbol, frequency // parts * (x // 65536) + (slot - low) // parts


def _magnitudes(reader: BitReader, symbols: list[_Symbol]) -> list[int]:
    """v of escapes comes from the escape string."""
    magnitudes = []
    for symbol in symbols:
        magnitude = symbol.magnitude(exp_golomb(reader) if symbol.is_escape else 0)
        if magnitude > MAX_MAGNITUDE:
            raise Corrupt(f"a symbol of magnitude {magnitude}")
        magnitudes.append(magnitude)
    return magnitudes


# --- 5.4 one lane ------------------------------------------------------------------------------------------


def _one_lane(
    payload: bytes, position: int, state_bytes: int, long_form: bool, order: list[_Step]
) -> tuple[list[int], list[int]]:
    raw_state = payload[position : position + state_bytes]
    if len(raw_state) < state_bytes:
        raise Corrupt("the payload ends within the state")
    if raw_state[-1] == 0:
        raise Corrupt("the state does not stand in its fewest bytes")
    x = int.from_bytes(raw_state, "little")
    words = _Words(payload, position + state_bytes)
    if not long_form and (len(payload) - words.position) % 2:
        raise Corrupt("half a word at the end of the payload")
    if x < LOW and (long_form or words.remain):
        raise Corrupt("a state below 65536 before words")
    symbols = []
    for step in order:
        symbol, x = _decode_symbol(x, step.table)
        if x < LOW and (long_form or words.remain):
            x = LOW * x + words.next()
        symbols.append(symbol)
    n_signs = sum(symbol.k > 0 for symbol in symbols)
    has_escape = any(symbol.is_escape for symbol in symbols)
    if long_form != (n_signs > 16 or has_escape):
        raise Corrupt(f"{'long' if long_form else 'short'} form with {n_signs} signs, escape: {has_escape}")
    if not long_form:
        if words.remain:
            raise Corrupt("words are left over")
        if x >> n_signs != 1:
            raise Corrupt(f"end state {x} with {n_signs} signs")
        return [symbol.magnitude(0) for symbol in symbols], [
            x >> (n_signs - 1 - i) & 1 for i in range(n_signs)
        ]
    if not LOW <= x < 2 * LOW:
        raise Corrupt(f"end state {x}")
    carried = [x >> (15 - i) & 1 for i in range(16)]
    if any(carried[n_signs:]):
        raise Corrupt("sign bits beyond the signs are not zero")
    reader = BitReader(payload, words.position)
    signs = carried[:n_signs] + reader.bits(max(0, n_signs - 16))
    magnitudes = _magnitudes(reader, symbols)
    if reader.end() != len(payload):
        raise Corrupt("bytes are left over behind the raw bits")
    return magnitudes, signs


# --- 5.5 several lanes -------------------------------------------------------------------------------------


def _several_lanes(
    payload: bytes, position: int, lanes: int, order: list[_Step]
) -> tuple[list[int], list[int]]:
    if len(payload) < position + 4 * lanes:
        raise Corrupt("the payload ends within the states")
    states = list(struct.unpack_from(f"<{lanes}I", payload, position))
    if min(states) < LOW:
        raise Corrupt("a state below 65536")
    words = _Words(payload, position + 4 * lanes)
    symbols = []
    for step in order:  # lanes ascend within a step, and so do their refills
        symbol, x = _decode_symbol(states[step.lane], step.table)
        states[step.lane] = LOW * x + words.next() if x < LOW else x
        symbols.append(symbol)
    for lane, x in enumerate(states):
        if not LOW <= x < 2 * LOW:
            raise Corrupt(f"lane {lane} ends in {x}")
    n_signs = sum(symbol.k > 0 for symbol in symbols)
    carried = [x >> bit & 1 for x in states for bit in range(16)]  # all lanes of the header, coded or idle
    if any(carried[n_signs:]):
        raise Corrupt("sign bits beyond the signs are not zero")
    n_behind = max(0, n_signs - 16 * lanes)
    sign_bytes = -(-n_behind // 8)
    between = len(payload) - sign_bytes  # the escape string ends here
    if between < words.position:
        raise Corrupt("the payload ends within the signs")
    escape_reader = BitReader(payload[:between], words.position)
    magnitudes = _magnitudes(escape_reader, symbols)
    if escape_reader.end() != between:
        raise Corrupt("bytes are left over between words and signs")
    sign_reader = BitReader(payload[between:][::-1], 0)
    behind = sign_reader.bits(n_behind)
    sign_reader.end()
    return magnitudes, carried[:n_signs] + behind


def _collect(
    wholly: list[bool],
    masked: dict[int, frozenset[int]],
    order: list[_Step],
    magnitudes: list[int],
    signs: list[int],
) -> list[TileSymbols]:
    symbols: list[dict[tuple[int, int], int]] = [{} for _ in wholly]
    sign = iter(signs)
    for step, magnitude in zip(order, magnitudes, strict=True):
        if magnitude:
            negative = next(sign)
            symbols[step.tile][step.channel, step.frequency] = -magnitude if negative else magnitude
    return [
        TileSymbols(gone, masked.get(tile, frozenset()), symbols[tile]) for tile, gone in enumerate(wholly)
    ]
