"""`torch.ops.swathpack.quantise_diagonal`: the kernel on a GPU, its twin elsewhere. There is no gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from codec.errors import InputError
from kernels.launch import on_gpu
from kernels.quantise_diagonal.launch import obstacle, run_quantise_diagonal
from kernels.quantise_diagonal.twin import quantise_diagonal_twin
from kernels.quantiser import Cells, Quantised
from kernels.quantiser.cells import symbol_kind
from kernels.quantiser.norm import check_channels


def quantise_diagonal(
    x: Tensor, cells: Cells, *, gain: Tensor | None = None, offset: Tensor | None = None, eps: float | None = None,
) -> Quantised:  # fmt: skip
    """Tokens → symbols of a plane whose channels go alone (no transform over channels or tokens).

    x N×F×C of N tiles with F tokens, channels in the plane's order; `cells` of C (`Cells.per_channel`). With `eps` a
    LayerNorm comes first; then `gain` and `offset`, C float32 each: the norm's weight, and its bias less the plane's mean.
    They are finite: nobody looks. NaN in tokens is flagged, not raised: see `Quantised.checked`.
    Raises InputError for shapes, kinds or devices that do not belong together.
    """
    _check(x, cells, gain, offset, eps)
    gain, offset = (None if each is None else each.detach() for each in (gain, offset))
    arguments = (cells.inv_step, cells.theta, cells.code, cells.costs, cells.n_layers, gain, offset, eps)
    return Quantised(*_op(x.detach(), *arguments))


@torch.library.custom_op("swathpack::quantise_diagonal", mutates_args=())
def _op(
    x: Tensor, inv_step: Tensor, theta: Tensor, code: Tensor, costs: Tensor, n_layers: int,
    gain: Tensor | None, offset: Tensor | None, eps: float | None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    run = run_quantise_diagonal if on_gpu(x, obstacle(x)) else quantise_diagonal_twin
    return tuple(run(x, inv_step, theta, code, costs, n_layers, gain, offset, eps))  # type: ignore[return-value]


@_op.register_fake
def _(
    x: Tensor, inv_step: Tensor, theta: Tensor, code: Tensor, costs: Tensor, n_layers: int,
    gain: Tensor | None, offset: Tensor | None, eps: float | None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return (
        x.new_empty(x.shape, dtype=symbol_kind(costs)),
        x.new_empty((x.shape[0], n_layers), dtype=torch.int64),
        x.new_empty((x.shape[0],), dtype=torch.float32),
    )


def _check(x: Tensor, cells: Cells, gain: Tensor | None, offset: Tensor | None, eps: float | None) -> None:
    if x.ndim != 3 or not x.is_floating_point() or not all(x.shape):
        raise InputError("tokens are floats, tiles × tokens × channels", found=f"{x.dtype} {tuple(x.shape)}")
    check_channels(x, eps, cells=cells.inv_step, gain=gain, offset=offset)
