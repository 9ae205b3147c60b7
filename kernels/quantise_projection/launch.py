"""The kernels on tensors: their tiles and their launches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.launch import jitted, power_of_two
from kernels.quantiser import Quantised
from kernels.quantiser.cells import LIMIT, symbol_kind
from kernels.quantiser.norm import normalised
from kernels.quantiser.totals import with_totals

KINDS = (torch.float16, torch.bfloat16, torch.float32)
WIDEST = 4096  # channels of a norm: a row is held in registers


@dataclass(frozen=True, slots=True)
class Tile:
    """Rows, columns and inner numbers of a block. `kernels.resources` compiles them."""

    rows: int
    cols: int
    inner: int
    warps: int
    stages: int


# By what a product of float32 is made of: three products of 11 bits each, within some units in the last place of the exact
# one; or that one, on units an order slower; or a single product of 11 bits, some thousand times as far off. Three parts
# hold many registers.
TILES = {"tf32x3": Tile(64, 64, 16, 4, 3), "ieee": Tile(64, 64, 16, 8, 2), "tf32": Tile(64, 64, 32, 8, 3)}
PRECISIONS = tuple(TILES)


def tile_for(precision: str) -> Tile:
    return TILES[precision]


@dataclass(frozen=True, slots=True)
class NormTile:
    """Rows at a time, and numbers of a row: a thread holds 16 or fewer. `kernels.resources` compiles them."""

    rows: int
    wide: int
    warps: int


def norm_tile_for(channels: int) -> NormTile:
    wide = power_of_two(channels)
    return NormTile(max(1, 2048 // wide), wide, max(4, wide // 512))


def obstacle(x: Tensor, eps: float | None = None) -> str:
    """What the kernels cannot do of tokens that the op takes; "" if nothing."""
    if eps is not None and x.shape[2] > WIDEST:
        return f"quantise_projection has no kernel for a norm of {x.shape[2]} channels"
    return "" if x.dtype in KINDS else f"quantise_projection has no kernel for {x.dtype}"


def run_token_norm(x: Tensor, eps: float) -> Tensor:
    """N×F×C → N×F×2 float32: of each token the mean and 1/σ."""
    from kernels.quantise_projection.kernel import token_norm_kernel

    n, f, c = x.shape
    tile = norm_tile_for(c)
    norms = torch.empty((n, f, 2), dtype=torch.float32, device=x.device)
    jitted(token_norm_kernel)[(-(-n * f // tile.rows),)](
        x, norms, n * f, c, 1.0 / c, eps,
        BR=tile.rows, W=tile.wide, num_warps=tile.warps, enable_fp_fusion=False,
    )  # fmt: skip
    return norms


def run_token_spectrum(
    x: Tensor, mean: Tensor, dct: Tensor, precision: str, tile: Tile,
    gain: Tensor | None, offset: Tensor | None, eps: float | None,
) -> Tensor:  # fmt: skip
    """N×F×C → N×F×C float32."""
    from kernels.quantise_projection.kernel import token_spectrum_kernel

    n, f, c = x.shape
    x, mean = x.contiguous(), mean.contiguous()
    norms = mean if eps is None else run_token_norm(x, eps)
    spectrum = torch.empty(x.shape, dtype=torch.float32, device=x.device)
    jitted(token_spectrum_kernel)[(n * -(-f // tile.rows) * -(-c // tile.cols),)](
        x, norms, mean if gain is None else gain.contiguous(), mean if offset is None else offset.contiguous(),
        mean, dct.contiguous(), spectrum, f, c,
        BM=tile.rows, BN=tile.cols, BK=tile.inner, PRECISION=precision, NORM=eps is not None,
        HAS_GAIN=gain is not None, HAS_OFFSET=offset is not None,
        num_warps=tile.warps, num_stages=tile.stages, enable_fp_fusion=False,
    )  # fmt: skip
    return spectrum


def run_quantise_projection(
    x: Tensor, mean: Tensor, dct: Tensor | None, bases: Tensor, frequencies: Tensor, starts: Tensor,
    inv_step: Tensor, theta: Tensor, code: Tensor, costs: Tensor, n_layers: int, precision: str = "tf32x3",
    gain: Tensor | None = None, offset: Tensor | None = None, eps: float | None = None, *, tile: Tile | None = None,
) -> Quantised:  # fmt: skip
    """As the twin."""
    from kernels.quantise_projection.kernel import quantise_projection_kernel

    n, f, c = x.shape
    tile = tile or tile_for(precision)
    kind = symbol_kind(costs)
    groups = bases.shape[0]
    col_blocks = -(-c // tile.cols)
    with torch.cuda.device_of(x):
        if dct is None:
            # Of float32, as the mean is; without a norm x is not copied for it.
            spectrum = (normalised(x, gain, offset, eps) - mean).contiguous()
        else:
            spectrum = run_token_spectrum(x, mean, dct, precision, tile, gain, offset, eps)
        symbols = torch.empty(x.shape, dtype=kind, device=x.device)
        partial_largest = torch.empty((n, f, col_blocks), dtype=torch.int32, device=x.device)
        partial_costs = torch.empty((n, f, col_blocks, n_layers), dtype=torch.int32, device=x.device)
        # How many blocks of rows there are is known on the device; no more than this, and those beyond have no rows.
        row_blocks = -(-n * f // tile.rows) + groups
        jitted(quantise_projection_kernel)[(row_blocks * col_blocks,)](
            spectrum, bases.contiguous(), frequencies.contiguous(), starts.contiguous(),
            inv_step.contiguous(), theta.contiguous(), code.contiguous(), costs.contiguous(),
            symbols, partial_largest, partial_costs, n, f, c,
            G=groups, L=n_layers, DENSE=costs.shape[0], LIMIT=float(LIMIT[kind]),
            BM=tile.rows, BN=tile.cols, BK=tile.inner, PRECISION=precision,
            num_warps=tile.warps, num_stages=tile.stages, enable_fp_fusion=False,
        )  # fmt: skip
    return with_totals(symbols, partial_largest, partial_costs)
