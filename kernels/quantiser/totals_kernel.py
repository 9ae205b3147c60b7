"""What programs found of a tile, put together: partial costs added, the largest magnitude rounded."""

from __future__ import annotations

import triton.language as tl

from kernels.quantiser import device


def totals_kernel(
    partial_largest,  # (N, partials) int32, bits of float32; below 0 where no latent leaves the dead zone
    partial_costs,  # (N, partials, L) int32
    largest,  # (N,) float32
    tile_costs,  # (N, L) int64
    partials,  # of a tile
    L: tl.constexpr,  # layers
    WIDE: tl.constexpr,  # so many and more, a power of two
    BP: tl.constexpr,  # partials at a time
):
    tile = tl.program_id(0).to(tl.int64)
    layer = tl.arange(0, WIDE)
    is_layer = (layer < L)[None, :]
    top = tl.zeros((BP,), tl.int32)
    cost = tl.zeros((BP, WIDE), tl.int64)
    for start in range(0, partials, BP):
        partial = start + tl.arange(0, BP)
        at, there = tile * partials + partial, partial < partials
        top = tl.maximum(top, tl.load(partial_largest + at, mask=there, other=0))
        cost += tl.load(
            partial_costs + at[:, None] * L + layer[None, :], mask=there[:, None] & is_layer, other=0
        )
    # Rounding keeps the order: the largest is rounded once.
    most = tl.max(top, 0).to(tl.float32, bitcast=True)
    tl.store(largest + tile, device.rounded(most))
    tl.store(tile_costs + tile * L + layer, tl.sum(cost, 0), mask=layer < L)
