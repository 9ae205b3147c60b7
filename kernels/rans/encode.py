"""Symbols on a device → complete records, in the order of their headers.

Kernels make states, words, signs and escapes; the device puts them in container order; the host adds headers, masks and CRC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codec.bitstream.core import TableSet, crc8, crc32c
from codec.bitstream.record import CRC_SIZE, HEADER_SIZE, MAX_PAYLOAD
from codec.types import BoolArray, RecordKind
from kernels.rans.opened import MOST_SYMBOLS, Fields
from kernels.rans.tables import DeviceTables, LayerPlan, PlanePlans

MOST_ROOM = 1 << 31  # bytes, for words and raw bits of the records of one launch
MOST_MOVED = 1 << 24  # bytes put in order at a time: each takes 8 bytes of places some five times
_Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Task:
    """A record to be written."""

    number: int  # of the call's headers
    lanes: int
    live: npt.NDArray[np.int32]  # tiles that are not masked
    mask: bytes  # tile mask as the payload has it, or nothing
    plan: LayerPlan


@dataclass(frozen=True, slots=True)
class Written:
    """What kernels made of R records: strings of bytes on the device, and where each record's lie in them."""

    parts: tuple[
        tuple[Tensor, _Int64, _Int64, int], ...
    ]  # uint8, first byte R, bytes R, 1 forward or −1 backward
    forms: _Int64  # R: bits 2 to 4 of the form
    fits: npt.NDArray[np.bool_]  # R


def encode_on(
    tables: TableSet,
    headers: npt.NDArray[np.uint64],
    ladder_index: int,
    symbols: Tensor,
    tile_mask: BoolArray,
    token_mask: BoolArray,
    doubled: BoolArray,
) -> dict[int, bytes] | None:
    """Records by the number of their header: of those without token mask. `symbols` N×F×C int16 of one plane.

    None where something cannot be written: the core says what.
    """
    from kernels.rans_lanes.launch import run_rans_lanes_encode
    from kernels.rans_one_lane.launch import run_rans_one_lane_encode

    fields = Fields.of(headers)
    plans = PlanePlans(tables, int(fields.plane[0]))
    tasks = _tasks(plans, headers, fields, ladder_index, tile_mask, token_mask, doubled)
    if tasks is None or any(_is_silent_symbol(symbols, task) for task in tasks):
        return None
    on_device = DeviceTables.of(tables, symbols.device)
    found: dict[int, bytes] = {}
    for some in _launches(tasks):
        run = run_rans_one_lane_encode if some[0].lanes == 1 else run_rans_lanes_encode
        with torch.cuda.device_of(symbols):
            written = run(on_device, plans, some, symbols)
        if not written.fits.all():
            return None
        records = _records(headers, some, written)
        if records is None:
            return None
        found.update(records)
    return found


def _launches(tasks: Sequence[Task]) -> Iterator[Sequence[Task]]:
    """Those of equally many lanes together, as far as there is room: for each record as much as the largest one takes."""
    for lanes in sorted({task.lanes for task in tasks}):
        some = [task for task in tasks if task.lanes == lanes]
        symbols = max(task.plan.symbols_per_tile * len(task.live) for task in some)
        at_once = max(1, MOST_ROOM // max(1, min(8 * symbols, 2 * MAX_PAYLOAD)))
        for first in range(0, len(some), at_once):
            yield some[first : first + at_once]


def _tasks(
    plans: PlanePlans, headers: npt.NDArray[np.uint64], fields: Fields, ladder_index: int, tile_mask: BoolArray,
    token_mask: BoolArray, doubled: BoolArray,
) -> list[Task] | None:  # fmt: skip
    """What the core would accept up to the symbols; None if it would refuse something."""
    n_tiles = len(tile_mask)
    if (fields.kind != RecordKind.COEFFICIENTS).any() or (fields.plane != fields.plane[0]).any():
        return None
    if (headers >> np.uint64(40)).any() or (fields.layer >= plans.n_layers).any():
        return None
    if (fields.first + fields.tiles > n_tiles).any():
        return None
    own = ~doubled.reshape(n_tiles, plans.rows, plans.cols).astype(bool)
    # A rectangle is the rows and the columns that it touches, neither with a gap.
    rows, cols = np.asarray(own.any(2)), np.asarray(own.any(1))
    is_rectangle: BoolArray = np.logical_and.reduce(own == rows[:, :, None] & cols[:, None, :], (1, 2))
    for of in (rows, cols):
        is_rectangle &= (np.diff(of.astype(np.int8), axis=1, prepend=0) > 0).sum(1) == 1
    masked = own.reshape(n_tiles, -1) & token_mask.astype(bool)
    is_empty = masked.sum(1) == own.sum((1, 2))
    is_partly = masked.any(1)
    found = []
    for number in range(len(headers)):
        plan = plans.at(
            int(fields.layer[number]), ladder_index + int(fields.offset[number]), int(fields.lanes[number])
        )
        tiles = np.arange(fields.first[number], fields.first[number] + fields.tiles[number], dtype=np.int32)
        is_masked = tile_mask[tiles].astype(bool)
        live = tiles[~is_masked]
        if plan is None or not is_rectangle[live].all() or is_empty[live].any():
            return None
        if plan.symbols_per_tile * len(live) > MOST_SYMBOLS:
            return None
        if fields.layer[number] == 0 and is_partly[live].any():
            continue
        mask = np.packbits(is_masked, bitorder="little").tobytes() if is_masked.any() else b""
        found.append(Task(number, int(fields.lanes[number]), live, mask, plan))
    return found


def _is_silent_symbol(symbols: Tensor, task: Task) -> bool:
    """Whether a symbol is not 0 where its table has no threshold: it cannot be written."""
    if not task.plan.silent.any() or not len(task.live):
        return False
    of_tiles = symbols[torch.from_numpy(task.live).to(symbols.device, torch.int64)]
    return bool((of_tiles[:, torch.from_numpy(task.plan.silent).to(symbols.device)] != 0).any())


def _records(
    headers: npt.NDArray[np.uint64], tasks: Sequence[Task], written: Written
) -> dict[int, bytes] | None:
    """Header, form, mask, what the kernels made, CRC; None where a payload is too long."""
    is_compact = np.array([task.lanes == 1 and not task.mask for task in tasks])
    before = np.array([len(task.mask) for task in tasks], np.int64) + ~is_compact
    payload = before + sum(length for _, _, length, _ in written.parts)
    if (payload > MAX_PAYLOAD).any():
        return None
    size = HEADER_SIZE + payload + CRC_SIZE
    begin = np.cumsum(size) - size
    data = _in_order(written, begin + HEADER_SIZE + before, int(size.sum()))
    found = {}
    for i, task in enumerate(tasks):
        word = int(headers[task.number])
        form = int(written.forms[i])
        if is_compact[i]:
            word = word & ~7 | int(RecordKind.COMPACT) | form << 10
        head = (word | (int(payload[i]) - 1) << 40).to_bytes(7, "little")
        one = bytearray(data[begin[i] : begin[i] + size[i]])
        one[:HEADER_SIZE] = head + bytes([crc8(head)])
        if not is_compact[i]:
            one[HEADER_SIZE] = form << 2 | bool(task.mask)
            one[HEADER_SIZE + 1 : HEADER_SIZE + before[i]] = task.mask
        one[-CRC_SIZE:] = crc32c(memoryview(one)[:-CRC_SIZE]).to_bytes(CRC_SIZE, "little")
        found[task.number] = bytes(one)
    return found


def _in_order(written: Written, begin: _Int64, total: int) -> memoryview:
    """The parts of each record one behind the other, from `begin` on in `total` bytes; 0 elsewhere."""
    device = written.parts[0][0].device
    whole = torch.zeros(total, dtype=torch.uint8, device=device)
    to = begin.copy()
    for source, first, length, step in written.parts:
        behind = np.cumsum(length)
        cuts = np.searchsorted(behind, np.arange(MOST_MOVED, behind[-1], MOST_MOVED)).tolist()
        for some in (slice(*ends) for ends in pairwise([0, *cuts, len(length)])):
            lengths = torch.from_numpy(length[some]).to(device)
            within = torch.arange(int(length[some].sum()), device=device)
            within -= torch.repeat_interleave(torch.cumsum(lengths, 0) - lengths, lengths)
            start = torch.repeat_interleave(torch.from_numpy(first[some]).to(device), lengths)
            there = torch.repeat_interleave(torch.from_numpy(to[some]).to(device), lengths)
            whole[there + within] = source[start + step * within]
        to += length
    return memoryview(whole.cpu().numpy().data)
