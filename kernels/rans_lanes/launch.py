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

WARPS = 1  # a record's lanes are one warp, or a few numbers of each of its threads
_WIDE = 128  # lanes at which the assembler, left alone, spills


def registers_for(lanes: int) -> int | None:
    """A thread may have; None: as many as the assembler takes."""
    return 128 if lanes == _WIDE else None


def can_vote(lanes: int) -> bool:
    """Whether a lane is a thread, and threads can vote: compiled, not interpreted."""
    from triton import knobs

    return lanes == 32 and not knobs.runtime.interpret


def run_rans_lanes_decode(
    tables: DeviceTables, plans: PlanePlans, records: Sequence[Opened], out: Tensor
) -> npt.NDArray[np.bool_]:
    """Decode records of equally many lanes into `out` N×F×C int16, zeros where they write; which of them hold."""
    run, status = prepare_decode(tables, plans, records, out)
    run()
    return status.cpu().numpy() == 0


def prepare_decode(
    tables: DeviceTables, plans: PlanePlans, records: Sequence[Opened], out: Tensor
) -> tuple[Callable[[], None], Tensor]:
    """What decodes them once their bytes are on the device, and R int32 that are then 0 where one holds."""
    from kernels.rans_lanes.decode_kernel import rans_lanes_decode_kernel

    device, lanes = out.device, records[0].lanes
    coded = Coded.of(plans, [(one.plan, one.live) for one in records], device)
    begins, ends = [], []
    data = bytearray()
    for one in records:
        begins.append(len(data))
        data += one.states + one.rest
        ends.append(len(data))
        data += bytes(-len(data) % 4)
    bytes_ = torch.frombuffer(data, dtype=torch.uint8).to(device)
    rows = np.stack(
        [begins, ends, coded.first_group, coded.last_group, coded.first_tile, coded.n_tiles], 1
    ).astype(np.int64)
    states = torch.empty((len(records), lanes), dtype=torch.int32, device=device)
    status = torch.empty(len(records), dtype=torch.int32, device=device)
    run = partial(
        jitted(rans_lanes_decode_kernel)[(len(records),)],
        bytes_, bytes_.view(torch.int16), bytes_.view(torch.int32), torch.from_numpy(rows).to(device),
        coded.groups, coded.runs, coded.frequencies, coded.tiles,
        tables.levels, tables.edges, tables.coarse, tables.fine, out, states, status, plans.tokens, plans.channels,
        LANES=lanes, BALLOT=can_vote(lanes), num_warps=WARPS, maxnreg=registers_for(lanes),
    )  # fmt: skip
    return run, status


def run_rans_lanes_encode(
    tables: DeviceTables, plans: PlanePlans, tasks: Sequence[Task], symbols: Tensor
) -> Written:
    """Records of equally many lanes of `symbols` N×F×C int16, all of them coded, whether they fit or not."""
    run, written = prepare_encode(tables, plans, tasks, symbols)
    run()
    return written()


def prepare_encode(
    tables: DeviceTables, plans: PlanePlans, tasks: Sequence[Task], symbols: Tensor
) -> tuple[Callable[[], None], Callable[[], Written]]:
    """What encodes them, and what then says what has become of them."""
    from kernels.rans_lanes.encode_kernel import rans_lanes_encode_kernel

    device, lanes, n = symbols.device, tasks[0].lanes, len(tasks)
    coded = Coded.of(plans, [(task.plan, task.live) for task in tasks], device)
    room = np.minimum(coded.steps, MAX_PAYLOAD // 2)  # words
    last_word = np.cumsum(room)
    sign_words = coded.steps // 32 + 2
    escape_bits = int(min(31 * coded.steps.max(), 8 * MAX_PAYLOAD))
    escape_words = escape_bits // 32 + 2
    first_sign = np.cumsum(sign_words) - sign_words
    first_escape = np.arange(n) * escape_words
    rows = np.stack(
        [
            coded.first_group, coded.last_group, coded.first_tile, coded.n_tiles, last_word, room, first_sign, first_escape,
        ],
        1,
    ).astype(np.int64)  # fmt: skip
    words = torch.empty(int(last_word[-1]) + 1, dtype=torch.int16, device=device)
    signs = torch.zeros(int(sign_words.sum()), dtype=torch.int32, device=device)
    escapes = torch.zeros(n * escape_words, dtype=torch.int32, device=device)
    states = torch.empty((n, lanes), dtype=torch.int32, device=device)
    counts = torch.empty((n, 4), dtype=torch.int32, device=device)
    run = partial(
        jitted(rans_lanes_encode_kernel)[(n,)],
        symbols, torch.from_numpy(rows).to(device), coded.groups, coded.runs, coded.frequencies, coded.tiles,
        tables.levels, tables.edges, words, signs, escapes, states, counts, plans.tokens, plans.channels, escape_bits,
        LANES=lanes, BALLOT=can_vote(lanes), num_warps=WARPS, maxnreg=registers_for(lanes),
    )  # fmt: skip

    def written() -> Written:
        n_words, n_signs, n_escape_bits, wrong = counts.cpu().numpy().astype(np.int64).T
        sign_bytes, escape_bytes = (n_signs + 7) // 8, (n_escape_bits + 7) // 8
        behind = np.maximum(sign_bytes - 2 * lanes, 0)  # the first ones stand in the states
        parts = (
            (
                states.view(torch.uint8).flatten(),
                4 * lanes * np.arange(n, dtype=np.int64),
                np.full(n, 4 * lanes, np.int64),
                1,
            ),
            (words.view(torch.uint8), 2 * (last_word - n_words), 2 * n_words, 1),
            (escapes.view(torch.uint8), 4 * first_escape, escape_bytes, 1),
            (signs.view(torch.uint8), 4 * first_sign + sign_bytes - 1, behind, -1),
        )
        return Written(parts, np.full(n, 7), wrong == 0)

    return run, written
