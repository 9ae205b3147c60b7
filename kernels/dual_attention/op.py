"""`torch.ops.swathpack.dual_attention`: the kernel on a GPU, its twin elsewhere; the gradient goes through the twin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from codec.errors import InputError
from kernels.dual_attention.launch import obstacle, run_dual_attention
from kernels.dual_attention.twin import DualAttention, dual_attention_twin
from kernels.launch import on_gpu


def dual_attention(
    q: Tensor, k: Tensor, v: Tensor, code: Tensor, up_q: Tensor, up_k: Tensor, up_v: Tensor, scale: float
) -> DualAttention:
    """Frozen and adapted attention of a DEFLECT block.

    q, k, v B×h×n×hd of the frozen block, code B×n×r, up_q, up_k, up_v h×r×hd, all of one kind and device; `scale` of the
    logits, 1/√hd as a rule. What comes out is not projected; the token's scale is √(Σ_h reference / Σ_h adapted square).
    In ONNX it is its twin's operators. Raises InputError for shapes, kinds or devices that do not belong together.
    """
    _check(q, k, v, code, (up_q, up_k, up_v))
    if torch.onnx.is_in_onnx_export():
        return dual_attention_twin(q, k, v, code, up_q, up_k, up_v, scale)
    return DualAttention(*_op(q, k, v, code, up_q, up_k, up_v, scale))


@torch.library.custom_op("swathpack::dual_attention", mutates_args=())
def _op(
    q: Tensor, k: Tensor, v: Tensor, code: Tensor, up_q: Tensor, up_k: Tensor, up_v: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    arguments = (q, k, v, code, up_q, up_k, up_v, scale)
    run = run_dual_attention if on_gpu(q, obstacle(q, code)) else dual_attention_twin
    with torch.autocast(q.device.type, enabled=False):  # kinds are the caller's
        return tuple(run(*arguments))  # type: ignore[return-value]


@_op.register_fake
def _(
    q: Tensor, k: Tensor, v: Tensor, code: Tensor, up_q: Tensor, up_k: Tensor, up_v: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    batch, heads, n, width = q.shape
    wide = torch.promote_types(q.dtype, torch.float32)
    squares = [q.new_empty((batch, n, heads), dtype=wide) for _ in range(2)]
    return q.new_empty((batch, n, heads, width)), squares[0], squares[1]


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:7])
    ctx.scale = inputs[7]


@once_differentiable  # type: ignore[untyped-decorator]
def _backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    """Through one stacked call, made again: keeping what it holds costs more memory than making it."""
    with torch.enable_grad(), torch.autocast(gradients[0].device.type, enabled=False):
        q, k, v, code, up_q, up_k, up_v = inputs = [
            x.detach().requires_grad_(need)
            for x, need in zip(ctx.saved_tensors, ctx.needs_input_grad[:7], strict=True)
        ]
        outputs = dual_attention_twin(q, k, v, code, up_q, up_k, up_v, ctx.scale)
        found = iter(torch.autograd.grad(outputs, [x for x in inputs if x.requires_grad], gradients))
    return (*(next(found) if x.requires_grad else None for x in inputs), None)


_op.register_autograd(_backward, setup_context=_save)


def _check(q: Tensor, k: Tensor, v: Tensor, code: Tensor, ups: tuple[Tensor, Tensor, Tensor]) -> None:
    everything = (q, k, v, code, *ups)
    if q.ndim != 4 or k.shape != q.shape or v.shape != q.shape:
        raise InputError(
            "queries, keys and values are B×h×n×hd, equal", found=[tuple(x.shape) for x in (q, k, v)]
        )
    batch, heads, n, width = q.shape
    if code.ndim != 3 or code.shape[:2] != (batch, n) or not code.shape[2] or not n:
        raise InputError(
            "there is one code for each token", expected=(batch, n, "r"), found=tuple(code.shape)
        )
    for up in ups:
        if up.shape != (heads, code.shape[2], width):
            raise InputError(
                "an up-projection is h×r×hd", expected=(heads, code.shape[2], width), found=tuple(up.shape)
            )
    if len({(x.dtype, x.device) for x in everything}) > 1:
        found = sorted({f"{x.dtype} on {x.device}" for x in everything})
        raise InputError("all tensors are of one kind and on one device", found=", ".join(found))
