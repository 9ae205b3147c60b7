"""The kernel on tensors: its tiles and its launch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.launch import jitted, power_of_two

KINDS = (torch.float16, torch.bfloat16, torch.float32)
GROUP = 8


@dataclass(frozen=True, slots=True)
class Tile:
    """Rows, columns and inner numbers of a block. `kernels.resources` compiles them."""

    rows: int
    cols: int
    inner: int
    warps: int
    stages: int


HALF, SINGLE = Tile(128, 128, 32, 8, 3), Tile(64, 64, 32, 4, 2)


def tile_for(kind: torch.dtype) -> Tile:
    return SINGLE if kind == torch.float32 else HALF


def run_constrained_projection(
    stream: Tensor, displacement: Tensor, reference_square: Tensor, adapted_square: Tensor, weight: Tensor,
    bias: Tensor | None, clip: bool = False, *, tile: Tile | None = None, upcast: bool = False,
) -> Tensor:  # fmt: skip
    """As the twin. `upcast`: the product in float32 whatever the kind, for the interpreter, whose bfloat16 is wrong."""
    from kernels.constrained_projection.kernel import constrained_projection_kernel

    tile = tile or tile_for(stream.dtype)
    heads = reference_square.shape[2]
    n, k = weight.shape
    stream, displacement, weight = stream.contiguous(), displacement.contiguous(), weight.contiguous()
    reference_square, adapted_square = reference_square.contiguous(), adapted_square.contiguous()
    m = stream.numel() // n
    out = torch.empty_like(stream)
    with torch.cuda.device_of(stream):
        jitted(constrained_projection_kernel)[(-(-m // tile.rows) * -(-n // tile.cols),)](
            stream, displacement, reference_square, adapted_square, weight,
            weight if bias is None else bias.contiguous(), out, m, n, k,
            H=heads, HP=power_of_two(heads), HAS_BIAS=bias is not None, CLIP=clip, BM=tile.rows, BN=tile.cols,
            BK=tile.inner, GROUP=GROUP, UPCAST=upcast, PRECISION="ieee",
            num_warps=tile.warps, num_stages=tile.stages, enable_fp_fusion=True,
        )  # fmt: skip
    return out
