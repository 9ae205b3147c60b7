"""Rows of a tile → symbols, one pass over memory.

A program keeps the channels' parameters in registers while it walks over some rows of one tile; costs stay per channel until
its end, where they fall apart into layers once.
"""

from __future__ import annotations

import triton.language as tl

from kernels.quantiser import device


def quantise_diagonal_kernel(
    x,  # (N, F, C)
    gain,  # (C,) float32; not read without one
    offset,  # (C,) float32; not read without one
    inv_step,  # (C,) float32
    theta,  # (C,) float32
    code,  # (C,) int16
    costs,  # (DENSE, 128) int16
    symbols,  # (N, F, C) int8 or int16
    largest,  # (N, chunks) int32, bits of float32
    tile_costs,  # (N, chunks, L) int32
    rows,  # F
    chunk,  # rows of a program
    share,  # 1 / C
    eps,
    C: tl.constexpr,
    CP: tl.constexpr,  # C as a range wants it: a power of two
    L: tl.constexpr,  # layers
    NORM: tl.constexpr,
    HAS_GAIN: tl.constexpr,
    HAS_OFFSET: tl.constexpr,
    DENSE: tl.constexpr,
    LIMIT: tl.constexpr,
    BF: tl.constexpr,  # rows at a time
):  # fmt: skip
    program = tl.program_id(0).to(tl.int64)
    chunks = tl.cdiv(rows, chunk)
    tile = program // chunks
    first = (program % chunks).to(tl.int32) * chunk
    last = min(first + chunk, rows)
    col = tl.arange(0, CP)
    is_col = col < C
    factor = tl.load(inv_step + col, mask=is_col, other=0.0)[None, :]
    dead_zone = tl.load(theta + col, mask=is_col, other=0.0)[None, :]
    kind = tl.load(code + col, mask=is_col, other=-1).to(tl.int32)
    limit = tl.where(kind < 0, 0.0, LIMIT)[None, :]
    if HAS_GAIN:
        gains = tl.load(gain + col, mask=is_col, other=0.0)[None, :]
    if HAS_OFFSET:
        offsets = tl.load(offset + col, mask=is_col, other=0.0)[None, :]
    one = tl.full((BF,), 1.0, tl.float32)

    top = tl.zeros((BF, CP), tl.int32)
    cost = tl.zeros((BF, CP), tl.int32)
    for start in range(first, last, BF):
        ahead = start + tl.arange(0, BF)
        # Rows beyond the end are the last one again: it is written twice, and counted once.
        place = (tile * rows + tl.minimum(ahead, last - 1))[:, None] * C + col[None, :]
        y = tl.load(x + place, mask=is_col[None, :], other=0.0).to(tl.float32)
        if NORM:
            y = tl.where(is_col[None, :], y - (tl.sum(y, 1) * share)[:, None], 0.0)
            # The root and the division are the rounded ones: others differ from one architecture to the next.
            y = y * tl.div_rn(one, tl.sqrt_rn(tl.sum(y * y, 1) * share + eps))[:, None]
        if HAS_GAIN:
            y = y * gains
        if HAS_OFFSET:
            y = y + offsets
        found = device.steps(y, factor, dead_zone, limit)
        tl.store(symbols + place, device.symbols(found, y).to(symbols.dtype.element_ty), mask=is_col[None, :])
        top = tl.maximum(top, found.to(tl.int32, bitcast=True))
        counted = (ahead < last)[:, None] & is_col[None, :]
        cost += device.symbol_costs(found, kind[None, :], costs, counted, DENSE)

    tl.store(largest + program, tl.max(tl.max(top, 1), 0))
    of_channel = tl.sum(cost, 0)
    for layer in tl.static_range(L):
        of_layer = tl.sum(tl.where(kind >> 7 == layer, of_channel, 0), 0)
        tl.store(tile_costs + program * L + layer, of_layer)
