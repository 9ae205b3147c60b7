"""Rows of a tile → symbols, one pass over memory.

A program keeps the channels' parameters in registers while it walks over some rows of one tile; costs stay per channel until
its end, where they fall apart into layers once. As ranges are powers of two, channels are held in two parts: of 768, 512 and
256, where one of 1024 would leave a quarter of the threads without work.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.quantiser import device


@triton.jit
def columns(
    gain, offset, inv_step, theta, code, col, is_col, HAS_GAIN: tl.constexpr, HAS_OFFSET: tl.constexpr, LIMIT: tl.constexpr
):  # fmt: skip
    """Of some channels what every row needs: factor, offset, 1/step, dead zone, limit, code."""
    kind = tl.load(code + col, mask=is_col, other=-1).to(tl.int32)
    factor = tl.load(inv_step + col, mask=is_col, other=0.0)
    gains = tl.load(gain + col, mask=is_col, other=0.0) if HAS_GAIN else factor
    offsets = tl.load(offset + col, mask=is_col, other=0.0) if HAS_OFFSET else factor
    dead_zone = tl.load(theta + col, mask=is_col, other=0.0)
    return gains, offsets, factor, dead_zone, tl.where(kind < 0, 0.0, LIMIT), kind


@triton.jit
def finished(
    y, of, symbols, place, is_col, counted, costs,
    HAS_GAIN: tl.constexpr, HAS_OFFSET: tl.constexpr, DENSE: tl.constexpr,
):  # fmt: skip
    """Rows of some channels behind their norm → symbols, written; steps as bits of float32, and costs."""
    gains, offsets, factor, dead_zone, limit, kind = of
    if HAS_GAIN:
        y = y * gains[None, :]
    if HAS_OFFSET:
        y = y + offsets[None, :]
    found = device.steps(y, factor[None, :], dead_zone[None, :], limit[None, :])
    made = device.symbols(found, y).to(symbols.dtype.element_ty)
    tl.store(symbols + place, made, mask=is_col[None, :])
    cost = device.symbol_costs(found, kind[None, :], costs, counted[:, None] & is_col[None, :], DENSE)
    return found.to(tl.int32, bitcast=True), cost


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
    C0: tl.constexpr,  # channels of the first part, a power of two
    C1: tl.constexpr,  # of the second, 0 or a power of two, the last of them beyond C
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
    col0 = tl.arange(0, C0)
    is0 = col0 < C
    of0 = columns(gain, offset, inv_step, theta, code, col0, is0, HAS_GAIN, HAS_OFFSET, LIMIT)
    top0, cost0 = tl.zeros((BF, C0), tl.int32), tl.zeros((BF, C0), tl.int32)
    if C1 > 0:
        col1 = C0 + tl.arange(0, C1)
        is1 = col1 < C
        of1 = columns(gain, offset, inv_step, theta, code, col1, is1, HAS_GAIN, HAS_OFFSET, LIMIT)
        top1, cost1 = tl.zeros((BF, C1), tl.int32), tl.zeros((BF, C1), tl.int32)
    one = tl.full((BF,), 1.0, tl.float32)

    for start in range(first, last, BF):
        ahead = start + tl.arange(0, BF)
        counted = ahead < last
        # Rows beyond the end are the last one again: it is written twice, and counted once.
        row = (tile * rows + tl.minimum(ahead, last - 1))[:, None] * C
        y0 = tl.load(x + row + col0[None, :], mask=is0[None, :], other=0.0).to(tl.float32)
        if C1 > 0:
            y1 = tl.load(x + row + col1[None, :], mask=is1[None, :], other=0.0).to(tl.float32)
        if NORM:
            total = tl.sum(y0, 1)
            if C1 > 0:
                total += tl.sum(y1, 1)
            mean = (total * share)[:, None]
            y0 = tl.where(is0[None, :], y0 - mean, 0.0) if C0 > C else y0 - mean
            square = tl.sum(y0 * y0, 1)
            if C1 > 0:
                y1 = tl.where(is1[None, :], y1 - mean, 0.0) if C0 + C1 > C else y1 - mean
                square += tl.sum(y1 * y1, 1)
            # The root and the division are the rounded ones: others differ from one architecture to the next.
            factor = tl.div_rn(one, tl.sqrt_rn(square * share + eps))[:, None]
            y0 = y0 * factor
            if C1 > 0:
                y1 = y1 * factor
        top, cost = finished(
            y0, of0, symbols, row + col0[None, :], is0, counted, costs, HAS_GAIN, HAS_OFFSET, DENSE
        )
        top0, cost0 = tl.maximum(top0, top), cost0 + cost
        if C1 > 0:
            top, cost = finished(
                y1, of1, symbols, row + col1[None, :], is1, counted, costs, HAS_GAIN, HAS_OFFSET, DENSE
            )
            top1, cost1 = tl.maximum(top1, top), cost1 + cost

    most = tl.max(tl.max(top0, 1), 0)
    of_channel0 = tl.sum(cost0, 0)
    if C1 > 0:
        most = tl.maximum(most, tl.max(tl.max(top1, 1), 0))
        of_channel1 = tl.sum(cost1, 0)
    tl.store(largest + program, most)
    for layer in tl.static_range(L):
        of_layer = tl.sum(tl.where(of0[5] >> 7 == layer, of_channel0, 0), 0)
        if C1 > 0:
            of_layer += tl.sum(tl.where(of1[5] >> 7 == layer, of_channel1, 0), 0)
        tl.store(tile_costs + program * L + layer, of_layer)
