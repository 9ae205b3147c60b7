"""The kernel on tensors: its tiles and its launch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.launch import jitted, power_of_two
from kernels.quantiser import Quantised
from kernels.quantiser.cells import LIMIT, symbol_kind
from kernels.quantiser.totals import with_totals

KINDS = (torch.float16, torch.bfloat16, torch.float32)
WIDEST = 4096  # channels: a row is held in registers
MOST_ROWS = 32  # of a program: an int32 holds their costs
_PROGRAMS = 2048  # that fill a large GPU


@dataclass(frozen=True, slots=True)
class Tile:
    """Rows at a time; a thread holds 6 to 12 numbers of them. `kernels.resources` compiles them."""

    rows: int
    warps: int


def parts_of(channels: int) -> tuple[int, int]:
    """Width and number of parts: as ranges of Triton are powers of two, 768 is three times 256; 1000 is 1024."""
    whole = power_of_two(channels)
    return (whole // 4, 3) if 4 * channels <= 3 * whole else (whole, 1)


def tile_for(channels: int) -> Tile:
    wide = math.prod(parts_of(channels))
    warps = power_of_two(-(-wide // 384))
    return Tile(min(16, 1 << ((384 * warps // wide).bit_length() - 1)), warps)


def chunk_for(n_tiles: int, rows: int, tile: Tile) -> int:
    """Rows of a program: many, that parameters are read once for; fewer where that leaves a GPU idle."""
    wanted = min(MOST_ROWS, rows, max(1, n_tiles * rows // _PROGRAMS))
    return -(-wanted // tile.rows) * tile.rows


def obstacle(x: Tensor) -> str:
    """What the kernel cannot do of tokens that the op takes; "" if nothing."""
    if x.shape[2] > WIDEST:
        return f"quantise_diagonal has no kernel for {x.shape[2]} channels"
    return "" if x.dtype in KINDS else f"quantise_diagonal has no kernel for {x.dtype}"


def run_quantise_diagonal(
    x: Tensor, inv_step: Tensor, theta: Tensor, code: Tensor, costs: Tensor, n_layers: int,
    gain: Tensor | None, offset: Tensor | None, eps: float | None, *, tile: Tile | None = None,
) -> Quantised:  # fmt: skip
    """As the twin."""
    from kernels.quantise_diagonal.kernel import quantise_diagonal_kernel

    n_tiles, rows, channels = x.shape
    tile = tile or tile_for(channels)
    kind = symbol_kind(costs)
    width, parts = parts_of(channels)
    chunk = chunk_for(n_tiles, rows, tile)
    chunks = -(-rows // chunk)
    x = x.contiguous()
    symbols = torch.empty(x.shape, dtype=kind, device=x.device)
    partial_largest = torch.empty((n_tiles, chunks), dtype=torch.int32, device=x.device)
    partial_costs = torch.empty((n_tiles, chunks, n_layers), dtype=torch.int32, device=x.device)
    with torch.cuda.device_of(x):
        jitted(quantise_diagonal_kernel)[(n_tiles * chunks,)](
            x, inv_step if gain is None else gain.contiguous(), inv_step if offset is None else offset.contiguous(),
            inv_step.contiguous(), theta.contiguous(), code.contiguous(), costs.contiguous(),
            symbols, partial_largest, partial_costs, rows, chunk, 1.0 / channels, 0.0 if eps is None else eps,
            C=channels, W=width, PARTS=parts, L=n_layers, NORM=eps is not None, HAS_GAIN=gain is not None,
            HAS_OFFSET=offset is not None, DENSE=costs.shape[0], LIMIT=float(LIMIT[kind]), BF=tile.rows,
            num_warps=tile.warps, enable_fp_fusion=False,
        )  # fmt: skip
    return with_totals(symbols, partial_largest, partial_costs)
