"""The kernel on tensors: shapes it takes, the tiles it runs in, and its launch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.dual_attention.twin import DualAttention
from kernels.launch import jitted, power_of_two

HEAD_WIDTHS = (32, 64, 80)
MOST_RANK = 32
KINDS = (torch.float16, torch.bfloat16, torch.float32)


@dataclass(frozen=True, slots=True)
class Tile:
    """BM queries meet BN keys at a time. `kernels.resources` compiles them, and says for which widths and ranks."""

    queries: int
    keys: int
    warps: int
    stages: int


HALF, SINGLE = Tile(64, 32, 4, 3), Tile(16, 16, 8, 2)


def tile_for(kind: torch.dtype) -> Tile:
    return SINGLE if kind == torch.float32 else HALF


def parts_of(head_width: int) -> tuple[int, int]:
    """D0, D1: as ranges of Triton are powers of two, 80 is 64 and 16."""
    first = 1 << (head_width.bit_length() - 1)
    return first, head_width - first


def padded_rank(rank: int) -> int:
    """Matrix products want 16 at least."""
    return max(16, power_of_two(rank))


def obstacle(q: Tensor, code: Tensor) -> str:
    """What the kernel cannot do of shapes that the op takes; "" if nothing."""
    if q.shape[3] not in HEAD_WIDTHS:
        return f"dual_attention has no kernel for heads of width {q.shape[3]}"
    if code.shape[2] > MOST_RANK:
        return f"dual_attention has no kernel for codes of rank {code.shape[2]}"
    return "" if q.dtype in KINDS else f"dual_attention has no kernel for {q.dtype}"


def run_dual_attention(
    q: Tensor, k: Tensor, v: Tensor, code: Tensor, up_q: Tensor, up_k: Tensor, up_v: Tensor, scale: float,
    *, tile: Tile | None = None, upcast: bool = False,
) -> DualAttention:  # fmt: skip
    """As the twin. `upcast`: products in float32 whatever the kind, for the interpreter, whose bfloat16 is wrong."""
    from kernels.dual_attention.kernel import dual_attention_kernel

    batch, heads, n, width = q.shape
    tile = tile or tile_for(q.dtype)
    q, k, v = (x if x.stride(3) == 1 else x.contiguous() for x in (q, k, v))
    code, up_q, up_k, up_v = (x.contiguous() for x in (code, up_q, up_k, up_v))
    out = torch.empty((batch, n, heads, width), dtype=q.dtype, device=q.device)
    # Of their own memory: an op's results may not be views of each other.
    squares = [torch.empty((batch, n, heads), dtype=torch.float32, device=q.device) for _ in range(2)]
    d0, d1 = parts_of(width)
    with torch.cuda.device_of(q):
        jitted(dual_attention_kernel)[(-(-n // tile.queries) * batch * heads,)](
            q, k, v, code, up_q, up_k, up_v, out, *squares,
            *q.stride()[:3], *k.stride()[:3], *v.stride()[:3], n, scale * math.log2(math.e),
            H=heads, D0=d0, D1=d1, R=code.shape[2], RP=padded_rank(code.shape[2]), BM=tile.queries, BN=tile.keys,
            UPCAST=upcast, PRECISION="ieee", num_warps=tile.warps, num_stages=tile.stages, enable_fp_fusion=True,
        )  # fmt: skip
    return DualAttention(out, *squares)
