"""Records as kernels take them: what the compiled core would check before the first symbol, checked for many at once.

A record that does not hold, has a token mask, or says what another one says too, is not refused here: it is left to the
core, which says why or puts it in its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.bitstream.core import Buffer, crc8, crc32c
from codec.bitstream.record import CRC_SIZE, HEADER_SIZE, OVERHEAD, TILE_COUNTS
from codec.types import RecordKind
from kernels.rans.tables import LayerPlan, PlanePlans

MOST_SYMBOLS = 1 << 26  # of a record (bitstream §5.6)
_COUNTS = np.array(TILE_COUNTS, np.int64)


@dataclass(frozen=True, slots=True)
class Fields:
    """Of R packed record headers (bitstream §4.1), each R int64."""

    kind: npt.NDArray[np.int64]
    plane: npt.NDArray[np.int64]
    layer: npt.NDArray[np.int64]
    lanes: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]  # on the ladder
    first: npt.NDArray[np.int64]  # tile
    tiles: npt.NDArray[np.int64]
    payload: npt.NDArray[np.int64]  # bytes
    state_form: npt.NDArray[np.int64]  # of a compact record

    @classmethod
    def of(cls, words: npt.NDArray[np.uint64]) -> Fields:
        def field(at: int, mask: int) -> npt.NDArray[np.int64]:
            return (words >> np.uint64(at) & np.uint64(mask)).astype(np.int64)

        kind, middle, offset = field(0, 7), field(10, 7), field(13, 7)
        is_compact = kind == RecordKind.COMPACT
        return cls(
            kind, field(3, 7), field(6, 15), np.where(is_compact, 1, 1 << middle), np.where(offset > 3, offset - 8, offset),
            field(16, 0xFFFF), _COUNTS[field(32, 0xFF)], field(40, 0xFFFF) + 1, np.where(is_compact, middle, 0),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opened:
    """A record that kernels may decode."""

    number: int  # of the call's records
    layer: int
    lanes: int
    first: int  # tile
    tiles: int
    live: npt.NDArray[np.int32]  # tiles that are not masked
    plan: LayerPlan
    states: bytes  # one lane: the state in its fewest bytes; several: u32 each
    rest: bytes  # words, signs and escapes
    is_long: bool


def alone(
    fields: Fields, usable: npt.NDArray[np.bool_], n_tiles: int, n_layers: int
) -> npt.NDArray[np.bool_]:
    """Of each record whether no other one says the same layer of the same tile. `usable`: the fields can be believed."""
    steps = np.zeros((n_layers, n_tiles + 1), np.int64)
    np.add.at(steps, (fields.layer[usable], fields.first[usable]), 1)
    np.add.at(steps, (fields.layer[usable], (fields.first + fields.tiles)[usable]), -1)
    shared = np.zeros((n_layers, n_tiles + 1), np.int64)
    shared[:, 1:] = np.cumsum(np.cumsum(steps[:, :-1], 1) > 1, 1)
    found = np.zeros(len(usable), bool)
    layer, first, last = fields.layer[usable], fields.first[usable], (fields.first + fields.tiles)[usable]
    found[usable] = shared[layer, last] == shared[layer, first]
    return found


def open_records(
    plans: PlanePlans, records: Sequence[Buffer], ladder_index: int, n_tiles: int, plane: int
) -> list[Opened]:
    """Those that are in order up to their first symbol, have no token mask and no rival."""
    data = [bytes(record) for record in records]
    words = np.array([int.from_bytes(one[:HEADER_SIZE], "little") for one in data], np.uint64)
    fields = Fields.of(words)
    usable = np.isin(fields.kind, (RecordKind.COEFFICIENTS, RecordKind.COMPACT)) & (fields.plane == plane)
    usable &= (fields.layer < plans.n_layers) & (fields.first + fields.tiles <= n_tiles)
    usable &= np.array([len(one) for one in data], np.int64) == OVERHEAD + fields.payload
    found = []
    for number in np.flatnonzero(usable & alone(fields, usable, n_tiles, plans.n_layers)):
        one = data[number]
        if crc8(one[: HEADER_SIZE - 1]) != one[HEADER_SIZE - 1]:
            continue
        if crc32c(memoryview(one)[:-CRC_SIZE]) != int.from_bytes(one[-CRC_SIZE:], "little"):
            continue
        opened = _open(int(number), one[HEADER_SIZE:-CRC_SIZE], fields, plans, ladder_index)
        if opened is not None:
            found.append(opened)
    return found


def _open(number: int, payload: bytes, fields: Fields, plans: PlanePlans, ladder_index: int) -> Opened | None:
    layer, lanes = int(fields.layer[number]), int(fields.lanes[number])
    first, tiles = int(fields.first[number]), int(fields.tiles[number])
    is_compact = fields.kind[number] == RecordKind.COMPACT
    form, at = (int(fields.state_form[number]) << 2, 0) if is_compact else (payload[0], 1)
    plan = plans.at(layer, ladder_index + int(fields.offset[number]), lanes)
    if plan is None or form >> 5 or form & 2:
        return None
    if (form >> 2 != 7) if lanes > 1 else (not is_compact and form & 3 == 0):
        return None
    live = np.arange(first, first + tiles, dtype=np.int32)
    if form & 1:
        mask = np.frombuffer(payload, np.uint8, offset=at)[: -(-tiles // 8)]
        bits = np.unpackbits(mask, bitorder="little")
        if len(bits) < tiles or bits[tiles:].any() or not bits.any():
            return None
        live = live[bits[:tiles] == 0]
        at += len(mask)
    n_states = 4 * lanes if lanes > 1 else (form >> 2 & 3) + 1
    states, rest = payload[at : at + n_states], payload[at + n_states :]
    is_long = bool(form & 16)
    if len(states) < n_states or plan.symbols_per_tile * len(live) > MOST_SYMBOLS:
        return None
    if lanes == 1 and (states[-1] == 0 or (not is_long and len(rest) % 2)):
        return None
    return Opened(number, layer, lanes, first, tiles, live, plan, states, rest, is_long)
