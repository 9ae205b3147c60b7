"""What programs of a quantising kernel found of their tiles, put together by one launch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.launch import jitted, power_of_two
from kernels.quantiser.cells import Quantised

_MOST = 512  # at a time
_NUMBERS = 16  # costs of 64 bits that a thread holds, at most


@dataclass(frozen=True, slots=True)
class Block:
    """Partial results at a time, and columns for layers: powers of two. `kernels.resources` compiles it."""

    partials: int
    wide: int
    warps: int


def block_for(partials: int, n_layers: int) -> Block:
    """A tile of few partial results takes one warp, whose threads wait for no other."""
    partials, wide = min(power_of_two(partials), _MOST), power_of_two(n_layers)
    return Block(partials, wide, max(1, partials * wide // (32 * _NUMBERS)))


def with_totals(symbols: Tensor, partial_largest: Tensor, partial_costs: Tensor) -> Quantised:
    """The symbols of N tiles with what partial results of them add up to.

    `partial_largest` N×… int32, bits of float32; `partial_costs` N×…×layers int32, 1/256 bit, of pieces so small
    that 32 bits hold them; a tile's have 64. Both contiguous.

    One launch, where PyTorch takes four to widen, add, find the largest and round it, beside a kernel that takes some
    microseconds. Counters that programs add to by atomics need a launch as well, which zeroes them; and of a product's
    blocks each row would add for itself, hundreds of thousands of times to a few hundred addresses. Here nothing
    has to begin at 0.
    """
    from kernels.quantiser.totals_kernel import totals_kernel

    n_tiles, n_layers = partial_costs.shape[0], partial_costs.shape[-1]
    partials = partial_largest.shape[1:].numel()
    block = block_for(partials, n_layers)
    largest = torch.empty((n_tiles,), dtype=torch.float32, device=symbols.device)
    tile_costs = torch.empty((n_tiles, n_layers), dtype=torch.int64, device=symbols.device)
    with torch.cuda.device_of(symbols):
        jitted(totals_kernel)[(n_tiles,)](
            partial_largest, partial_costs, largest, tile_costs, partials,
            L=n_layers, WIDE=block.wide, BP=block.partials, num_warps=block.warps, enable_fp_fusion=False,
        )  # fmt: skip
    return Quantised(symbols, tile_costs, largest)
