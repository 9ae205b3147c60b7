"""`torch.ops.swathpack.constrained_projection`: the kernel on a GPU, its twin elsewhere and for the gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from codec.errors import InputError
from kernels.constrained_projection.launch import KINDS, run_constrained_projection
from kernels.constrained_projection.twin import constrained_projection_twin
from kernels.launch import on_gpu


def constrained_projection(
    stream: Tensor, displacement: Tensor, reference_square: Tensor, adapted_square: Tensor, weight: Tensor,
    bias: Tensor | None, *, clip: bool = False,
) -> Tensor:  # fmt: skip
    """stream + scale · (displacement Wᵀ) + bias, the scale a number per token (`codec.adapt.deflection.length_ratio`).

    stream B×n×d, displacement B×n×h×hd (of `dual_attention`, all in one kind with weight d×(h·hd) and bias d), squares
    B×n×h. `clip`: lengths may shrink and never grow. In ONNX it is its twin's operators. Raises InputError for shapes or
    kinds that do not belong together.
    """
    _check(stream, displacement, reference_square, adapted_square, weight, bias)
    if torch.onnx.is_in_onnx_export():
        return constrained_projection_twin(
            stream, displacement, reference_square, adapted_square, weight, bias, clip
        )
    found: Tensor = _op(stream, displacement, reference_square, adapted_square, weight, bias, clip)
    return found


@torch.library.custom_op("swathpack::constrained_projection", mutates_args=())
def _op(
    stream: Tensor, displacement: Tensor, reference_square: Tensor, adapted_square: Tensor, weight: Tensor,
    bias: Tensor | None, clip: bool,
) -> Tensor:  # fmt: skip
    obstacle = "" if stream.dtype in KINDS else f"constrained_projection has no kernel for {stream.dtype}"
    run = run_constrained_projection if on_gpu(stream, obstacle) else constrained_projection_twin
    with torch.autocast(stream.device.type, enabled=False):  # kinds are the caller's
        return run(stream, displacement, reference_square, adapted_square, weight, bias, clip)


@_op.register_fake
def _(
    stream: Tensor, displacement: Tensor, reference_square: Tensor, adapted_square: Tensor, weight: Tensor,
    bias: Tensor | None, clip: bool,
) -> Tensor:  # fmt: skip
    return stream.new_empty(stream.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:6])
    ctx.clip = inputs[6]


@once_differentiable  # type: ignore[untyped-decorator]
def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    with torch.enable_grad(), torch.autocast(gradient.device.type, enabled=False):
        inputs = [
            None if x is None else x.detach().requires_grad_(need)
            for x, need in zip(ctx.saved_tensors, ctx.needs_input_grad[:6], strict=True)
        ]
        stream, displacement, reference, adapted, weight, bias = inputs
        output = constrained_projection_twin(stream, displacement, reference, adapted, weight, bias, ctx.clip)  # type: ignore[arg-type]
        learned = [x for x in inputs if x is not None and x.requires_grad]
        found = iter(torch.autograd.grad(output, learned, gradient))
    return (*(next(found) if x is not None and x.requires_grad else None for x in inputs), None)


_op.register_autograd(_backward, setup_context=_save)


def _check(
    stream: Tensor,
    displacement: Tensor,
    reference: Tensor,
    adapted: Tensor,
    weight: Tensor,
    bias: Tensor | None,
) -> None:
    if stream.ndim != 3 or displacement.ndim != 4 or displacement.shape[:2] != stream.shape[:2]:
        raise InputError(
            "a stream is B×n×d and its displacement B×n×h×hd",
            found=(tuple(stream.shape), tuple(displacement.shape)),
        )
    for square in (reference, adapted):
        if square.shape != displacement.shape[:3]:
            raise InputError(
                "there is a square for each token and head",
                expected=tuple(displacement.shape[:3]),
                found=tuple(square.shape),
            )
        kind = torch.promote_types(stream.dtype, torch.float32)
        if square.dtype != kind or square.device != stream.device:
            raise InputError(
                "squares are kept in single precision, where the stream is",
                expected=f"{kind} on {stream.device}",
                found=f"{square.dtype} on {square.device}",
            )
    expected = (stream.shape[2], displacement.shape[2] * displacement.shape[3])
    if weight.shape != expected:
        raise InputError(
            "the projection does not fit the displacement", expected=expected, found=tuple(weight.shape)
        )
    if bias is not None and bias.shape != expected[:1]:
        raise InputError("the bias does not fit the stream", expected=expected[:1], found=tuple(bias.shape))
    parts = [stream, displacement, weight, *([] if bias is None else [bias])]
    if len({(x.dtype, x.device) for x in parts}) > 1:
        raise InputError(
            "all tensors are of one kind and on one device",
            found=", ".join(sorted({f"{x.dtype} on {x.device}" for x in parts})),
        )
