"""Rows of a tile → symbols, one pass over memory.

A program keeps the channels' parameters in registers while it walks over some rows of one tile; costs stay per channel until
its end, where they fall apart into layers once. As ranges are powers of two, channels are held in parts: 768 in 3 of 256,
where one of 1024 would leave a quarter of the threads without work. Parts have one width, so that one layout of threads fits
all: a thread adds up its own numbers of all parts, and threads of a row exchange two sums.
"""

# Tuples grow part by part, as Triton unrolls their loops: types that do not change cannot say it.
# mypy: disable-error-code="assignment, misc"

from __future__ import annotations

import triton
import triton.language as tl

from kernels.quantiser import device


@triton.jit
def columns(
    gain, offset, inv_step, theta, code, costs, col, C: tl.constexpr, HAS_GAIN: tl.constexpr, HAS_OFFSET: tl.constexpr,
    LIMIT: tl.constexpr,
):  # fmt: skip
    """Of some channels what every row needs: factor, offset, 1/step, dead zone, limit, where a level's costs begin."""
    is_col = col < C
    kind = tl.load(code + col, mask=is_col, other=-1).to(tl.int32)
    factor = tl.load(inv_step + col, mask=is_col, other=0.0)
    gains = tl.load(gain + col, mask=is_col, other=0.0) if HAS_GAIN else factor
    offsets = tl.load(offset + col, mask=is_col, other=0.0) if HAS_OFFSET else factor
    dead_zone = tl.load(theta + col, mask=is_col, other=0.0)
    return gains, offsets, factor, dead_zone, tl.where(kind < 0, 0.0, LIMIT), costs + (kind & 127)


@triton.jit
def finished(y, of, symbols, is_col, HAS_GAIN: tl.constexpr, HAS_OFFSET: tl.constexpr, DENSE: tl.constexpr):
    """Rows of some channels behind their norm → symbols, written; steps as bits of float32, and costs."""
    gains, offsets, factor, dead_zone, limit, of_level = of
    if HAS_GAIN:
        y = y * gains[None, :]
    if HAS_OFFSET:
        y = y + offsets[None, :]
    found = device.steps(y, factor[None, :], dead_zone[None, :], limit[None, :])
    made = device.symbols(found, y).to(symbols.dtype.element_ty)
    tl.store(symbols, made, mask=is_col[None, :])
    return found.to(tl.int32, bitcast=True), device.symbol_costs(found, of_level[None, :], DENSE)


def quantise_diagonal_kernel(
    x,  # (N, F, C)
    gain,  # (C,) float32; not read without one
    offset,  # (C,) float32; not read without one
    inv_step,  # (C,) float32
    theta,  # (C,) float32
    code,  # (C,) int16
    costs,  # (DENSE, 128) int16
    symbols,  # (N, F, C) int8 or int16
    partial_largest,  # (N, chunks) int32, bits of float32
    partial_costs,  # (N, chunks, L) int32
    rows,  # F
    chunk,  # rows of a program
    share,  # 1 / C
    eps,
    C: tl.constexpr,
    W: tl.constexpr,  # channels of a part, a power of two
    PARTS: tl.constexpr,  # so many, the last of them beyond C
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
    cols, of, top, cost = (), (), (), ()
    for part in tl.static_range(PARTS):
        col = part * W + tl.arange(0, W)
        cols += (col,)
        of += (columns(gain, offset, inv_step, theta, code, costs, col, C, HAS_GAIN, HAS_OFFSET, LIMIT),)
        top += (tl.zeros((BF, W), tl.int32),)
        cost += (tl.zeros((BF, W), tl.int32),)
    one = tl.full((BF,), 1.0, tl.float32)

    for start in range(first, last, BF):
        ahead = start + tl.arange(0, BF)
        # Rows beyond the end are the last one again: it is written twice, and counted once.
        row = (tile * rows + tl.minimum(ahead, last - 1))[:, None] * C
        y = ()
        for part in tl.static_range(PARTS):
            at = row + cols[part][None, :]
            y += (tl.load(x + at, mask=(cols[part] < C)[None, :], other=0.0).to(tl.float32),)
        if NORM:
            total = y[0]
            for part in tl.static_range(1, PARTS):
                total += y[part]
            mean = (tl.sum(total, 1) * share)[:, None]
            centred, square = (), tl.zeros((BF, W), tl.float32)
            for part in tl.static_range(PARTS):
                z = y[part] - mean
                z = tl.where((cols[part] < C)[None, :], z, 0.0) if PARTS * W > C else z
                centred += (z,)
                square += z * z
            # The root and the division are the rounded ones: others differ from one architecture to the next.
            factor = tl.div_rn(one, tl.sqrt_rn(tl.sum(square, 1) * share + eps))[:, None]
            y = ()
            for part in tl.static_range(PARTS):
                y += (centred[part] * factor,)
        most, paid = (), ()
        for part in tl.static_range(PARTS):
            at, is_col = symbols + row + cols[part][None, :], cols[part] < C
            found, spent = finished(y[part], of[part], at, is_col, HAS_GAIN, HAS_OFFSET, DENSE)
            most += (tl.maximum(top[part], found),)
            paid += (cost[part] + (tl.where((ahead < last)[:, None], spent, 0) if BF > 1 else spent),)
        top, cost = most, paid

    most = tl.max(tl.max(top[0], 1), 0)
    for part in tl.static_range(1, PARTS):
        most = tl.maximum(most, tl.max(tl.max(top[part], 1), 0))
    tl.store(partial_largest + program, most)
    layers, of_channel = (), ()
    for part in tl.static_range(PARTS):
        layers += (tl.load(code + cols[part], mask=cols[part] < C, other=-1).to(tl.int32) >> 7,)
        of_channel += (tl.sum(cost[part], 0),)
    for layer in tl.static_range(L):
        of_layer = 0
        for part in tl.static_range(PARTS):
            of_layer += tl.sum(tl.where(layers[part] == layer, of_channel[part], 0), 0)
        tl.store(partial_costs + program * L + layer, of_layer)
