"""Frozen and adapted attention in one pass over keys, values and codes; nothing of either branch but the result is written.

A program holds BM queries of one head. Its two softmaxes are online and of base 2; every sum is kept in float32 and in an
order that does not depend on what else runs, so equal inputs give equal bits. With U = 0 both branches are the same
operations on the same numbers: their squares are then equal to the bit.
"""

from __future__ import annotations

import triton.language as tl


def dual_attention_kernel(
    q,  # (B, H, N, D), strides given, the last 1
    k,  # (B, H, N, D), strides given, the last 1
    v,  # (B, H, N, D), strides given, the last 1
    code,  # (B, N, R)
    up_q,  # (H, R, D)
    up_k,  # (H, R, D)
    up_v,  # (H, R, D)
    out,  # (B, N, H, D)
    reference_square,  # (B, N, H) float32, of the frozen branch
    adapted_square,  # (B, N, H) float32
    q_batch, q_head, q_row,
    k_batch, k_head, k_row,
    v_batch, v_head, v_row,
    n,
    scale,  # of the logits, times log2 e
    H: tl.constexpr,
    D0: tl.constexpr,  # the largest power of two in the head's width
    D1: tl.constexpr,  # the rest of it, 0 or a power of two
    R: tl.constexpr,  # of codes
    RP: tl.constexpr,  # R as a matrix product wants it: a power of two, at least 16
    BM: tl.constexpr,
    BN: tl.constexpr,
    UPCAST: tl.constexpr,  # operands of products are lifted to float32
    PRECISION: tl.constexpr,  # of float32 products: "tf32" or "ieee"
):  # fmt: skip
    D: tl.constexpr = D0 + D1
    kind = q.dtype.element_ty
    operand = tl.float32 if UPCAST else kind
    # One grid dimension: the others end at 65,535. Tiles of one head follow each other and share its keys.
    tiles = tl.cdiv(n, BM)
    sequence = tl.program_id(0) // tiles
    b, h = (sequence // H).to(tl.int64), (sequence % H).to(tl.int64)
    rows = tl.program_id(0) % tiles * BM + tl.arange(0, BM)
    is_row = rows < n
    wide_rows = rows.to(tl.int64)
    d0, r = tl.arange(0, D0), tl.arange(0, RP)
    is_r = r < R

    q_at = q + b * q_batch + h * q_head + wide_rows[:, None] * q_row
    up_at = (h * R + r[:, None]) * D
    c = tl.load(
        code + (b * n + wide_rows[:, None]) * R + r[None, :], mask=is_row[:, None] & is_r[None, :], other=0.0
    )
    c = c.to(operand)
    q0 = tl.load(q_at + d0[None, :], mask=is_row[:, None], other=0.0).to(operand)
    uq0 = tl.load(up_q + up_at + d0[None, :], mask=is_r[:, None], other=0.0).to(operand)
    uk0 = tl.load(up_k + up_at + d0[None, :], mask=is_r[:, None], other=0.0).to(operand)
    a0 = (q0 + tl.dot(c, uq0, input_precision=PRECISION)).to(operand)
    to_code = tl.dot(a0, tl.trans(uk0), input_precision=PRECISION)
    if D1 > 0:
        d1 = D0 + tl.arange(0, D1)
        q1 = tl.load(q_at + d1[None, :], mask=is_row[:, None], other=0.0).to(operand)
        uq1 = tl.load(up_q + up_at + d1[None, :], mask=is_r[:, None], other=0.0).to(operand)
        uk1 = tl.load(up_k + up_at + d1[None, :], mask=is_r[:, None], other=0.0).to(operand)
        a1 = (q1 + tl.dot(c, uq1, input_precision=PRECISION)).to(operand)
        to_code += tl.dot(a1, tl.trans(uk1), input_precision=PRECISION)
        ref1 = tl.zeros((BM, D1), tl.float32)
        ada1 = tl.zeros((BM, D1), tl.float32)
    to_code = to_code.to(operand)

    ref0 = tl.zeros((BM, D0), tl.float32)
    ada0 = tl.zeros((BM, D0), tl.float32)
    mixed = tl.zeros((BM, RP), tl.float32)  # codes under the adapted weights
    ref_top = tl.full((BM,), float("-inf"), tl.float32)
    ada_top = tl.full((BM,), float("-inf"), tl.float32)
    ref_sum = tl.zeros((BM,), tl.float32)
    ada_sum = tl.zeros((BM,), tl.float32)
    k_at = k + b * k_batch + h * k_head
    v_at = v + b * v_batch + h * v_head
    for start in range(0, n, BN):
        cols = start + tl.arange(0, BN)
        is_col = cols < n
        wide_cols = cols.to(tl.int64)
        k0 = tl.load(k_at + wide_cols[None, :] * k_row + d0[:, None], mask=is_col[None, :], other=0.0).to(
            operand
        )
        ct = tl.load(
            code + (b * n + wide_cols[:, None]) * R + r[None, :],
            mask=is_col[:, None] & is_r[None, :],
            other=0.0,
        ).to(operand)
        ref = tl.dot(q0, k0, input_precision=PRECISION)
        ada = tl.dot(a0, k0, input_precision=PRECISION)
        if D1 > 0:
            k1 = tl.load(k_at + wide_cols[None, :] * k_row + d1[:, None], mask=is_col[None, :], other=0.0).to(
                operand
            )
            ref += tl.dot(q1, k1, input_precision=PRECISION)
            ada += tl.dot(a1, k1, input_precision=PRECISION)
        ada += tl.dot(to_code, tl.trans(ct), input_precision=PRECISION)

        # Columns beyond the end are gone before a maximum sees them.
        ref = tl.where(is_col[None, :], ref * scale, float("-inf"))
        ada = tl.where(is_col[None, :], ada * scale, float("-inf"))
        ref_new = tl.maximum(ref_top, tl.max(ref, 1))
        ada_new = tl.maximum(ada_top, tl.max(ada, 1))
        ref_kept, ada_kept = tl.exp2(ref_top - ref_new), tl.exp2(ada_top - ada_new)
        ref, ada = tl.exp2(ref - ref_new[:, None]), tl.exp2(ada - ada_new[:, None])
        ref_sum = ref_sum * ref_kept + tl.sum(ref, 1)
        ada_sum = ada_sum * ada_kept + tl.sum(ada, 1)
        ref_top, ada_top = ref_new, ada_new
        ref, ada = ref.to(operand), ada.to(operand)

        v0 = tl.load(v_at + wide_cols[:, None] * v_row + d0[None, :], mask=is_col[:, None], other=0.0).to(
            operand
        )
        ref0 = ref0 * ref_kept[:, None] + tl.dot(ref, v0, input_precision=PRECISION)
        ada0 = ada0 * ada_kept[:, None] + tl.dot(ada, v0, input_precision=PRECISION)
        if D1 > 0:
            v1 = tl.load(v_at + wide_cols[:, None] * v_row + d1[None, :], mask=is_col[:, None], other=0.0).to(
                operand
            )
            ref1 = ref1 * ref_kept[:, None] + tl.dot(ref, v1, input_precision=PRECISION)
            ada1 = ada1 * ada_kept[:, None] + tl.dot(ada, v1, input_precision=PRECISION)
        mixed = mixed * ada_kept[:, None] + tl.dot(ada, ct, input_precision=PRECISION)

    # U_v is read after the loop: registers are what this kernel lacks.
    mixed = (mixed / ada_sum[:, None]).to(operand)
    uv0 = tl.load(up_v + up_at + d0[None, :], mask=is_r[:, None], other=0.0).to(operand)
    ada0 = ada0 / ada_sum[:, None] + tl.dot(mixed, uv0, input_precision=PRECISION)
    ref0 = ref0 / ref_sum[:, None]
    of_ref, of_ada = tl.sum(ref0 * ref0, 1), tl.sum(ada0 * ada0, 1)
    out_at = out + ((b * n + wide_rows[:, None]) * H + h) * D
    tl.store(out_at + d0[None, :], ada0.to(kind), mask=is_row[:, None])
    if D1 > 0:
        uv1 = tl.load(up_v + up_at + d1[None, :], mask=is_r[:, None], other=0.0).to(operand)
        ada1 = ada1 / ada_sum[:, None] + tl.dot(mixed, uv1, input_precision=PRECISION)
        ref1 = ref1 / ref_sum[:, None]
        of_ref += tl.sum(ref1 * ref1, 1)
        of_ada += tl.sum(ada1 * ada1, 1)
        tl.store(out_at + d1[None, :], ada1.to(kind), mask=is_row[:, None])
    square_at = (b * n + wide_rows) * H + h
    tl.store(reference_square + square_at, of_ref, mask=is_row)
    tl.store(adapted_square + square_at, of_ada, mask=is_row)
