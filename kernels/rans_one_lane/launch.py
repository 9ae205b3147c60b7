"""The kernels on records: their buffers and their launches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codec.bitstream.record import MAX_PAYLOAD
from kernels.launch import jitted
from kernels.rans.arrays import Coded
from kernels.rans.encode import Task, Written
from kernels.rans.opened import Opened
from kernels.rans.tables import DeviceTables, PlanePlans

RECORDS, WARPS = 32, 1  # of a program: few, since its threads go on until the longest record ends
MOST_BYTES = 1 << 28  # that the lists of one launch take


def run_rans_one_lane_decode(
    tables: DeviceTables, plans: PlanePlans, records: Sequence[Opened], out: Tensor
) -> npt.NDArray[np.bool_]:
    """Decode into `out` N×F×C int16, zeros where they write; which of them hold."""
    # Threads of a program end together if their records are alike.
    order = sorted(
        range(len(records)), key=lambda i: (id(records[i].plan), len(records[i].live), len(records[i].rest))
    )
    capacity = max(
        min(max(one.plan.symbols_per_tile * len(one.live), 1), 16 + 8 * (len(one.rest) + 4))
        for one in records
    )
    at_once = max(1, MOST_BYTES // (8 * capacity * RECORDS)) * RECORDS
    held = np.zeros(len(records), bool)
    for first in range(0, len(order), at_once):
        some = order[first : first + at_once]
        run, status = prepare_decode(tables, plans, [records[i] for i in some], out, capacity)
        run()
        held[some] = status.cpu().numpy() == 0
    return held


def prepare_decode(
    tables: DeviceTables, plans: PlanePlans, records: Sequence[Opened], out: Tensor, capacity: int
) -> tuple[Callable[[], None], Tensor]:
    """What decodes them once their bytes are on the device, and R int32 that are then 0 where one holds. `capacity`:
    non-zero symbols that one may have.
    """
    from kernels.rans_one_lane.decode_kernel import rans_one_lane_decode_kernel

    device = out.device
    coded = Coded.of(plans, [(one.plan, one.live) for one in records], device)
    begins, ends = [], []
    data = bytearray()
    for one in records:
        begins.append(len(data))
        data += one.rest
        ends.append(len(data))
        data += bytes(len(data) % 2)
    data += bytes(2)  # an empty buffer has no address
    bytes_ = torch.frombuffer(data, dtype=torch.uint8).to(device)
    rows = np.stack(
        [
            begins, ends, coded.first_group, coded.steps, coded.first_tile, coded.n_tiles,
            [int.from_bytes(one.states, "little") for one in records], [one.is_long for one in records],
        ],
        1,
    ).astype(np.int64)  # fmt: skip
    blocks = -(-len(records) // RECORDS)
    lists = torch.empty((blocks, capacity, RECORDS), dtype=torch.int64, device=device)
    status = torch.empty(len(records), dtype=torch.int32, device=device)
    run = partial(
        jitted(rans_one_lane_decode_kernel)[(blocks,)],
        bytes_, bytes_.view(torch.int16), torch.from_numpy(rows).to(device),
        coded.groups, coded.runs, coded.frequencies, coded.tiles,
        tables.levels, tables.edges, tables.coarse, tables.fine, out, lists, status,
        len(records), plans.tokens, plans.channels, capacity, RECORDS=RECORDS, num_warps=WARPS,
    )  # fmt: skip
    return run, status


def run_rans_one_lane_encode(
    tables: DeviceTables, plans: PlanePlans, tasks: Sequence[Task], symbols: Tensor
) -> Written:
    """Records of `symbols` N×F×C int16, all of them coded, whether they fit or not."""
    run, written = prepare_encode(tables, plans, tasks, symbols)
    run()
    return written()


def prepare_encode(
    tables: DeviceTables, plans: PlanePlans, tasks: Sequence[Task], symbols: Tensor
) -> tuple[Callable[[], None], Callable[[], Written]]:
    """What encodes them, and what then says what has become of them."""
    from kernels.rans_one_lane.encode_kernel import rans_one_lane_encode_kernel

    device, n = symbols.device, len(tasks)
    coded = Coded.of(plans, [(task.plan, task.live) for task in tasks], device)
    most = int(coded.steps.max())
    room = np.minimum(coded.steps, MAX_PAYLOAD // 2)  # words
    last_word = np.cumsum(room)
    raw_bits = min(32 * most, 8 * MAX_PAYLOAD)  # of a sign and an escape each
    raw_words = raw_bits // 32 + 2
    first_raw = np.arange(n) * raw_words
    rows = np.stack(
        [
            coded.first_group, coded.last_group, coded.steps, coded.first_tile, coded.n_tiles, last_word, room, first_raw,
        ],
        1,
    ).astype(np.int64)  # fmt: skip
    capacity = max(1, min(most, 8 * MAX_PAYLOAD))
    blocks = -(-n // RECORDS)
    words = torch.empty(int(last_word[-1]) + 1, dtype=torch.int16, device=device)
    raw = torch.zeros(n * raw_words, dtype=torch.int32, device=device)
    lists = torch.empty((blocks, capacity, RECORDS), dtype=torch.int32, device=device)
    states = torch.empty(n, dtype=torch.int32, device=device)
    counts = torch.empty((n, 4), dtype=torch.int32, device=device)
    run = partial(
        jitted(rans_one_lane_encode_kernel)[(blocks,)],
        symbols, torch.from_numpy(rows).to(device), coded.groups, coded.runs, coded.frequencies, coded.tiles,
        tables.levels, tables.edges, words, raw, lists, states, counts, n, plans.tokens, plans.channels,
        capacity, raw_bits, RECORDS=RECORDS, num_warps=WARPS,
    )  # fmt: skip

    def written() -> Written:
        n_words, n_raw_bits, is_long, wrong = counts.cpu().numpy().astype(np.int64).T
        first_states = states.cpu().numpy().view(np.uint32)
        state_bytes = (
            np.searchsorted([1 << 8, 1 << 16, 1 << 24], first_states, side="right").astype(np.int64) + 1
        )
        parts = (
            (states.view(torch.uint8), 4 * np.arange(n, dtype=np.int64), state_bytes, 1),
            (words.view(torch.uint8), 2 * (last_word - n_words), 2 * n_words, 1),
            (raw.view(torch.uint8), 4 * first_raw, (n_raw_bits + 7) // 8, 1),
        )
        return Written(parts, state_bytes - 1 | is_long << 2, wrong == 0)

    return run, written
