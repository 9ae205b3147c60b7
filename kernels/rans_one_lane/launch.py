"""The kernels on records: their buffers and their launches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

RECORDS, WARPS = (
    32,
    1,
)  # of a program: a record's symbols wait for each other, so a warp is as many as go together
MOST_BYTES = 1 << 28  # that the lists of one launch take, if one program's are not more


@dataclass(frozen=True, slots=True)
class _Launch:
    """Programs whose lists fit together."""

    members: Tensor  # P×RECORDS int32
    programs: Tensor  # P×3 int32
    capacity: int  # of the lists

    def __len__(self) -> int:
        return len(self.programs)


def _launches(coded: Coded, needs: npt.NDArray[np.int64], size: int, device: torch.device) -> list[_Launch]:
    """Records that go through the same tables together, 32 to a program; `needs` numbers of `size` bytes each."""
    alike: dict[tuple[int, int, int], list[int]] = {}
    for number, key in enumerate(
        zip(coded.first_group.tolist(), coded.last_group.tolist(), coded.n_tiles.tolist(), strict=True)
    ):
        alike.setdefault(key, []).append(number)
    found = []
    for key, numbers in alike.items():
        numbers.sort(key=lambda number: int(needs[number]))
        for first in range(0, len(numbers), RECORDS):
            some = numbers[first : first + RECORDS]
            found.append((int(needs[some].max()), key, some + [-1] * (RECORDS - len(some))))
    found.sort(key=lambda one: one[0])
    launches: list[_Launch] = []
    while found:
        n = len(found)
        while n > 1 and n * found[n - 1][0] * RECORDS * size > MOST_BYTES:
            n -= max(1, n // 8)
        some_, found = found[:n], found[n:]
        members = torch.tensor([one[2] for one in some_], dtype=torch.int32, device=device)
        programs = torch.tensor([one[1] for one in some_], dtype=torch.int32, device=device)
        launches.append(_Launch(members, programs, max(1, some_[-1][0])))
    return launches


def run_rans_one_lane_decode(
    tables: DeviceTables, plans: PlanePlans, records: Sequence[Opened], out: Tensor
) -> npt.NDArray[np.bool_]:
    """Decode into `out` N×F×C int16, zeros where they write; which of them hold."""
    run, status = prepare_decode(tables, plans, records, out)
    run()
    return status.cpu().numpy() == 0


def prepare_decode(
    tables: DeviceTables, plans: PlanePlans, records: Sequence[Opened], out: Tensor
) -> tuple[Callable[[], None], Tensor]:
    """What decodes them once their bytes are on the device, and R int32 that are then 0 where one holds."""
    from kernels.rans_one_lane.decode_kernel import rans_one_lane_decode_kernel

    device = out.device
    coded = Coded.of(plans, [(one.plan, one.live) for one in records], device)
    rows = []
    data = bytearray()
    for one, first_tile in zip(records, coded.first_tile.tolist(), strict=True):
        end = len(data) + len(one.rest)
        rows.append((len(data), end, first_tile, int.from_bytes(one.states, "little"), one.is_long))
        data += one.rest + bytes(len(one.rest) % 2)
    data += bytes(2)  # an empty buffer has no address
    bytes_ = torch.frombuffer(data, dtype=torch.uint8).to(device)
    # Non-zero symbols of each: a sign takes a bit of the payload or one of the 16 of the state.
    needs = np.minimum(coded.steps, [16 + 8 * (len(one.rest) + 4) for one in records])
    launches = _launches(coded, needs, 8, device)
    room = max(len(launch) * launch.capacity for launch in launches) * RECORDS
    lists = torch.empty(room, dtype=torch.int64, device=device)
    status = torch.empty(len(records), dtype=torch.int32, device=device)
    given = torch.tensor(rows, dtype=torch.int64, device=device)
    calls = [
        partial(
            jitted(rans_one_lane_decode_kernel)[(len(launch),)],
            bytes_, bytes_.view(torch.int16), given, launch.members, launch.programs,
            coded.groups, coded.runs, coded.frequencies, coded.tiles,
            tables.levels, tables.edges, tables.coarse, tables.fine, out, lists, status,
            plans.tokens, plans.channels, launch.capacity, RECORDS=RECORDS, num_warps=WARPS,
        )
        for launch in launches
    ]  # fmt: skip
    return partial(_each, calls), status


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
    room = np.minimum(coded.steps, MAX_PAYLOAD // 2)  # words
    last_word = np.cumsum(room)
    raw_bits = int(min(32 * coded.steps.max(), 8 * MAX_PAYLOAD))  # of a sign and an escape each
    raw_words = raw_bits // 32 + 2
    first_raw = np.arange(n, dtype=np.int64) * raw_words
    rows = torch.from_numpy(np.stack([coded.first_tile, last_word, room, first_raw], 1).astype(np.int64))
    launches = _launches(coded, np.minimum(coded.steps, 8 * MAX_PAYLOAD), 4, device)
    listed = max(len(launch) * launch.capacity for launch in launches) * RECORDS
    given = rows.to(device)
    words = torch.empty(int(last_word[-1]) + 1, dtype=torch.int16, device=device)
    raw = torch.zeros(n * raw_words, dtype=torch.int32, device=device)
    lists = torch.empty(listed, dtype=torch.int32, device=device)
    states = torch.empty(n, dtype=torch.int32, device=device)
    counts = torch.empty((n, 4), dtype=torch.int32, device=device)
    calls = [
        partial(
            jitted(rans_one_lane_encode_kernel)[(len(launch),)],
            symbols, given, launch.members, launch.programs, coded.groups, coded.runs, coded.frequencies, coded.tiles,
            tables.levels, tables.edges, words, raw, lists, states, counts, plans.tokens, plans.channels,
            launch.capacity, raw_bits, RECORDS=RECORDS, num_warps=WARPS,
        )
        for launch in launches
    ]  # fmt: skip

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

    return partial(_each, calls), written


def _each(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()
