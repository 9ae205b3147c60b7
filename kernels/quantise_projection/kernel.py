"""The two products of a plane's transform: over tokens, and over channels with the quantiser where it ends.

Where a LayerNorm comes before them, 1/σ of a token is no factor of a row of either product, as the first mixes tokens: it
has to be there before. So one kernel reads the tokens and leaves two numbers of each, and the first product normalises what
it loads. Normalised tokens are never written, and where they would be read x is: in half precision half their bytes.
"""

from __future__ import annotations

import triton.language as tl

from kernels.quantiser import device


def token_norm_kernel(
    x,  # (N · F, C)
    norms,  # (N · F, 2) float32: the mean of a token's channels, 1 / √(variance + eps)
    rows,  # N · F
    c,
    share,  # 1 / C
    eps,
    BR: tl.constexpr,  # rows at a time
    W: tl.constexpr,  # a power of two, not below C
):
    row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    is_row = row < rows
    col = tl.arange(0, W)[None, :]
    there = is_row[:, None] & (col < c)
    y = tl.load(x + row[:, None] * c + col, mask=there, other=0.0).to(tl.float32)
    mean = tl.sum(y, 1) * share
    centred = tl.where(there, y - mean[:, None], 0.0)
    # The root and the division are the rounded ones: others differ from one architecture to the next.
    root = tl.sqrt_rn(tl.sum(centred * centred, 1) * share + eps)
    tl.store(norms + row * 2, mean, mask=is_row)
    tl.store(norms + row * 2 + 1, tl.div_rn(tl.full((BR,), 1.0, tl.float32), root), mask=is_row)


def token_spectrum_kernel(
    x,  # (N, F, C)
    norms,  # (N, F, 2) float32, of `token_norm_kernel`; not read without a norm
    gain,  # (C,) float32; not read without one
    offset,  # (C,) float32; not read without one
    mean,  # (F, C) float32
    dct,  # (F, F) float32, rows are basis functions
    spectrum,  # (N, F, C) float32
    f, c,
    BM: tl.constexpr,  # frequencies
    BN: tl.constexpr,  # channels
    BK: tl.constexpr,  # tokens at a time
    PRECISION: tl.constexpr,
    NORM: tl.constexpr,
    HAS_GAIN: tl.constexpr,
    HAS_OFFSET: tl.constexpr,
):  # fmt: skip
    blocks_m, blocks_n = tl.cdiv(f, BM), tl.cdiv(c, BN)
    program = tl.program_id(0)
    tile = (program // (blocks_m * blocks_n)).to(tl.int64)
    rows = program // blocks_n % blocks_m * BM + tl.arange(0, BM)
    cols = program % blocks_n * BN + tl.arange(0, BN)
    is_row, is_col = rows < f, cols < c
    if HAS_GAIN:
        gains = tl.load(gain + cols, mask=is_col, other=0.0)
    if HAS_OFFSET:
        offsets = tl.load(offset + cols, mask=is_col, other=0.0)
    total = tl.zeros((BM, BN), tl.float32)
    for start in range(0, f, BK):
        token = start + tl.arange(0, BK)
        is_token = token < f
        d = tl.load(
            dct + rows[:, None] * f + token[None, :], mask=is_row[:, None] & is_token[None, :], other=0.0
        )
        at = token[:, None] * c + cols[None, :]
        there = is_token[:, None] & is_col[None, :]
        centred = tl.load(x + tile * f * c + at, mask=there, other=0.0).to(tl.float32)
        # What tokens beyond the last become is finite, and their factors in `d` are 0.
        if NORM:
            of_token = norms + (tile * f + token) * 2
            centred -= tl.load(of_token, mask=is_token, other=0.0)[:, None]
            centred *= tl.load(of_token + 1, mask=is_token, other=0.0)[:, None]
        if HAS_GAIN:
            centred *= gains[None, :]
        if HAS_OFFSET:
            centred += offsets[None, :]
        centred -= tl.load(mean + at, mask=there, other=0.0)
        total += tl.dot(d, centred, input_precision=PRECISION)
    tl.store(
        spectrum + tile * f * c + rows[:, None] * c + cols[None, :], total, mask=is_row[:, None] & is_col[None, :]
    )  # fmt: skip


def quantise_projection_kernel(
    spectrum,  # (N, F, C) float32
    bases,  # (G, C, C) float32, rows are channels of the latent
    frequencies,  # (F,) int32, group by group
    starts,  # (G + 1,) int32, where each group begins among them
    inv_step,  # (F, C) float32
    theta,  # (F, C) float32
    code,  # (F, C) int16
    costs,  # (DENSE, 128) int16
    symbols,  # (N, F, C) int8 or int16
    partial_largest,  # (N, F, blocks of channels) int32, bits of float32
    partial_costs,  # (N, F, blocks of channels, L) int32
    n, f, c,
    G: tl.constexpr,
    L: tl.constexpr,
    DENSE: tl.constexpr,
    LIMIT: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    PRECISION: tl.constexpr,  # of the product: "tf32x3", "ieee" or "tf32"
):  # fmt: skip
    blocks_n = tl.cdiv(c, BN)
    block, col_block = tl.program_id(0) // blocks_n, tl.program_id(0) % blocks_n
    # Rows of a block are of one group, so that they share a matrix: frequencies of all tiles, tile by tile.
    group, first, end = 0, 0, 0
    for number in tl.static_range(G):
        begun = end
        size = tl.load(starts + number + 1) - tl.load(starts + number)
        end += tl.cdiv(n * size, BM)
        here = block >= begun
        group = tl.where(here, number, group)
        first = tl.where(here, begun, first)
    at_group = tl.load(starts + group)
    size = tl.load(starts + group + 1) - at_group
    index = (block - first) * BM + tl.arange(0, BM)
    is_row = index < n * size
    frequency = tl.load(frequencies + at_group + index % size, mask=is_row, other=0)
    row = (index // size).to(tl.int64) * f + frequency
    cols = col_block * BN + tl.arange(0, BN)
    is_col = cols < c

    y = tl.zeros((BM, BN), tl.float32)
    for start in range(0, c, BK):
        inner = start + tl.arange(0, BK)
        is_inner = inner < c
        z = tl.load(
            spectrum + row[:, None] * c + inner[None, :], mask=is_row[:, None] & is_inner[None, :], other=0.0
        )
        basis = tl.load(
            bases + (group * c + cols)[None, :] * c + inner[:, None],
            mask=is_col[None, :] & is_inner[:, None],
            other=0.0,
        )
        y += tl.dot(z, basis, input_precision=PRECISION)

    inside = is_row[:, None] & is_col[None, :]
    cell = frequency[:, None] * c + cols[None, :]
    kind = tl.load(code + cell, mask=inside, other=-1).to(tl.int32)
    found = device.steps(
        y,
        tl.load(inv_step + cell, mask=inside, other=0.0),
        tl.load(theta + cell, mask=inside, other=0.0),
        tl.where(kind < 0, 0.0, LIMIT),
    )
    tl.store(
        symbols + row[:, None] * c + cols[None, :],
        device.symbols(found, y).to(symbols.dtype.element_ty),
        mask=inside,
    )
    partial = row * blocks_n + col_block
    tl.store(partial_largest + partial, tl.max(found.to(tl.int32, bitcast=True), 1), mask=is_row)
    cost = device.symbol_costs(found, costs + (kind & 127), DENSE)
    for layer in tl.static_range(L):
        of_layer = tl.sum(tl.where(kind >> 7 == layer, cost, 0), 1)
        tl.store(partial_costs + partial * L + layer, of_layer, mask=is_row)
