"""Records of one plane → symbols on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codec.bitstream.core import Buffer, TableSet
from kernels.rans.opened import Opened, open_records
from kernels.rans.tables import DeviceTables, PlanePlans


@dataclass(frozen=True, slots=True)
class Decoded:
    """What of a call's records could be decoded on the device."""

    symbols: Tensor  # N×F×C int16, on the device; where no held record says anything, 0
    held: list[Opened]  # every check of bitstream §5.6 passed
    plans: PlanePlans

    def clear(self, one: Opened) -> None:
        """What a record said that does not hold."""
        of_layer = torch.from_numpy(one.plan.all).to(self.symbols.device)
        self.symbols[one.first : one.first + one.tiles].masked_fill_(of_layer, 0)


def decode_on(
    device: torch.device,
    tables: TableSet,
    records: Sequence[Buffer],
    ladder_index: int,
    n_tiles: int,
    plane: int,
) -> Decoded:
    """Decode what is in order and needs no token mask (`kernels.rans.opened`); the rest is the core's."""
    from kernels.rans_lanes.launch import run_rans_lanes_decode
    from kernels.rans_one_lane.launch import run_rans_one_lane_decode

    plans = PlanePlans(tables, plane)
    opened = open_records(plans, records, ladder_index, n_tiles, plane)
    symbols = torch.zeros((n_tiles, plans.tokens, plans.channels), dtype=torch.int16, device=device)
    found = Decoded(symbols, [], plans)
    on_device = DeviceTables.of(tables, symbols.device)
    for lanes in sorted({one.lanes for one in opened}):
        some = [one for one in opened if one.lanes == lanes]
        run = run_rans_one_lane_decode if lanes == 1 else run_rans_lanes_decode
        with torch.cuda.device_of(symbols):
            held = run(on_device, plans, some, symbols)
        for one, holds in zip(some, held, strict=True):
            if holds:
                found.held.append(one)
            else:
                found.clear(one)
    return found
