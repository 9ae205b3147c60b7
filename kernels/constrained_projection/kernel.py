"""The output projection of an adapted block with the token's scale, the bias and the residual in its epilogue.

The LayerNorm that follows is a pass of its own. Fused, a program would hold all channels of its rows, which takes blocks of
few rows or most registers there are; it would save one reading of the stream. Which is more a GPU has to say: not measured.
"""

from __future__ import annotations

import triton.language as tl


def constrained_projection_kernel(
    stream,  # (M, N)
    displacement,  # (M, K)
    reference_square,  # (M, H) float32, of the frozen branch
    adapted_square,  # (M, H) float32
    weight,  # (N, K)
    bias,  # (N,); not read without one
    out,  # (M, N)
    m, n, k,
    H: tl.constexpr,
    HP: tl.constexpr,  # H as a range wants it: a power of two
    HAS_BIAS: tl.constexpr,
    CLIP: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    GROUP: tl.constexpr,  # row blocks that go through the columns together, so that both stay in the cache
    UPCAST: tl.constexpr,  # operands of the product are lifted to float32
    PRECISION: tl.constexpr,  # of a float32 product: "tf32" or "ieee"
):  # fmt: skip
    kind = out.dtype.element_ty
    operand = tl.float32 if UPCAST else kind
    blocks_m, blocks_n = tl.cdiv(m, BM), tl.cdiv(n, BN)
    number = tl.program_id(0)
    first = number // (GROUP * blocks_n) * GROUP
    height = min(blocks_m - first, GROUP)
    rows = (first + number % (GROUP * blocks_n) % height) * BM + tl.arange(0, BM)
    cols = number % (GROUP * blocks_n) // height * BN + tl.arange(0, BN)
    is_row, is_col = rows < m, cols < n
    wide_rows, wide_cols = rows.to(tl.int64), cols.to(tl.int64)

    product = tl.zeros((BM, BN), tl.float32)
    for start in range(0, k, BK):
        inner = start + tl.arange(0, BK)
        is_inner = inner < k
        o = tl.load(
            displacement + wide_rows[:, None] * k + inner[None, :],
            mask=is_row[:, None] & is_inner[None, :],
            other=0.0,
        ).to(operand)
        w = tl.load(
            weight + wide_cols[None, :] * k + inner[:, None],
            mask=is_col[None, :] & is_inner[:, None],
            other=0.0,
        ).to(operand)
        product += tl.dot(o, w, input_precision=PRECISION)

    # Heads are added in one order, whoever runs first.
    head = tl.arange(0, HP)
    at = wide_rows[:, None] * H + head[None, :]
    there = is_row[:, None] & (head < H)[None, :]
    reference = tl.sum(tl.load(reference_square + at, mask=there, other=0.0), 1)
    adapted = tl.sum(tl.load(adapted_square + at, mask=there, other=0.0), 1)
    # As the twin: a true division and a rounded root, so that equal squares give exactly 1.
    ratio = tl.div_rn(reference, tl.maximum(adapted, 1e-24))
    scale = tl.sqrt_rn(tl.maximum(ratio, 1e-24))
    if CLIP:
        scale = tl.minimum(scale, 1.0)

    inside = is_row[:, None] & is_col[None, :]
    place = wide_rows[:, None] * n + wide_cols[None, :]
    found = scale[:, None] * product + tl.load(stream + place, mask=inside, other=0.0).to(tl.float32)
    if HAS_BIAS:
        found += tl.load(bias + wide_cols, mask=is_col, other=0.0).to(tl.float32)[None, :]
    tl.store(out + place, found.to(kind), mask=inside)
