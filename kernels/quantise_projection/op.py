"""`torch.ops.swathpack.quantise_projection`: kernels on a GPU, their twin elsewhere. There is no gradient."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from codec.errors import InputError
from codec.transform.dct import dct_matrix
from codec.transform.plane import PlaneTransform
from kernels.launch import on_gpu
from kernels.quantise_projection.launch import PRECISIONS, obstacle, run_quantise_projection
from kernels.quantise_projection.twin import quantise_projection_twin
from kernels.quantiser import Cells, Quantised
from kernels.quantiser.cells import symbol_kind
from kernels.quantiser.norm import check_channels


@dataclass(frozen=True)
class PlaneMatrices:
    """A plane's transform on a device: F tokens or frequencies in raster order, C channels, G groups of frequencies."""

    mean: Tensor  # F×C float32
    dct: Tensor | None  # F×F float32, rows are basis functions; None: tokens are a list
    bases: Tensor  # G×C×C float32, rows are channels of the latent, rotation included
    frequencies: Tensor  # F int32: those of group 0, then of group 1, …
    starts: Tensor  # G+1 int32: where each group begins among them

    def __post_init__(self) -> None:
        there = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        kinds = dict.fromkeys(("frequencies", "starts"), torch.int32)
        wrong = [n for n, tensor in there.items() if tensor.dtype != kinds.get(n, torch.float32)]
        f, c = self.mean.shape
        expected = {"mean": (f, c), "dct": (f, f), "bases": (len(self.bases), c, c), "frequencies": (f,),
                    "starts": (len(self.bases) + 1,)}  # fmt: skip
        wrong += [n for n, tensor in there.items() if tuple(tensor.shape) != expected[n]]
        if wrong or len({tensor.device for tensor in there.values()}) > 1:
            raise InputError(
                f"the matrices of a plane do not belong together: {', '.join(wrong) or 'devices'}",
                expected=expected,
                found={n: f"{t.dtype} {tuple(t.shape)} on {t.device}" for n, t in there.items()},
            )

    @classmethod
    def of(cls, transform: PlaneTransform, device: torch.device | str) -> PlaneMatrices:
        """Of a package's plane."""
        rows, cols, channels = transform.mean.shape
        turn = transform.rotations
        group = np.zeros(rows * cols, np.uint8) if turn is None else turn.group
        starts = np.concatenate([[0], np.cumsum(np.bincount(group))])
        dct = None if transform.tokens == "none" else np.kron(dct_matrix(rows), dct_matrix(cols))

        def on_device(values: np.ndarray, kind: type[np.generic]) -> Tensor:
            return torch.from_numpy(np.array(values, dtype=kind, order="C")).to(device)

        return cls(
            on_device(transform.mean.reshape(-1, channels), np.float32),
            None if dct is None else on_device(dct, np.float32),
            on_device(transform.bases, np.float32),
            on_device(np.argsort(group, kind="stable"), np.int32),
            on_device(starts, np.int32),
        )


def quantise_projection(
    x: Tensor, matrices: PlaneMatrices, cells: Cells, *, gain: Tensor | None = None, offset: Tensor | None = None,
    eps: float | None = None, precision: str = "tf32x3",
) -> Quantised:  # fmt: skip
    """Embeddings → symbols: LayerNorm, position mean, token DCT, channel KLT with the rotations of frequencies, quantiser.

    x N×F×C of N tiles, of any float kind; all is float32 from the first sum on. `cells` of F×C. With `eps` a LayerNorm over
    channels comes first; then `gain` and `offset`, C float32 each: its weight and bias. They are finite: nobody looks.
    `precision` of a GPU's products: see `kernels.quantise_projection.launch.PRECISIONS`. NaN is flagged, not raised: see
    `Quantised.checked`.
    Raises InputError for shapes, kinds or devices that do not belong together.
    """
    _check(x, matrices, cells, precision)
    check_channels(x, eps, gain=gain, offset=offset)
    gain, offset = (None if each is None else each.detach() for each in (gain, offset))
    m = matrices
    return Quantised(
        *_op(
            x.detach(), m.mean, m.dct, m.bases, m.frequencies, m.starts, cells.inv_step, cells.theta, cells.code,
            cells.costs, cells.n_layers, precision, gain, offset, eps,
        )
    )  # fmt: skip


@torch.library.custom_op("swathpack::quantise_projection", mutates_args=())
def _op(
    x: Tensor, mean: Tensor, dct: Tensor | None, bases: Tensor, frequencies: Tensor, starts: Tensor,
    inv_step: Tensor, theta: Tensor, code: Tensor, costs: Tensor, n_layers: int, precision: str,
    gain: Tensor | None = None, offset: Tensor | None = None, eps: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    run = run_quantise_projection if on_gpu(x, obstacle(x, eps)) else quantise_projection_twin
    with torch.autocast(x.device.type, enabled=False):  # half precision would cost symbols
        return tuple(  # type: ignore[return-value]
            run(
                x, mean, dct, bases, frequencies, starts, inv_step, theta, code, costs, n_layers, precision,
                gain, offset, eps,
            )
        )  # fmt: skip


@_op.register_fake
def _(
    x: Tensor, mean: Tensor, dct: Tensor | None, bases: Tensor, frequencies: Tensor, starts: Tensor,
    inv_step: Tensor, theta: Tensor, code: Tensor, costs: Tensor, n_layers: int, precision: str,
    gain: Tensor | None = None, offset: Tensor | None = None, eps: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return (
        x.new_empty(x.shape, dtype=symbol_kind(costs)),
        x.new_empty((x.shape[0], n_layers), dtype=torch.int64),
        x.new_empty((x.shape[0],), dtype=torch.float32),
    )


def _check(x: Tensor, matrices: PlaneMatrices, cells: Cells, precision: str) -> None:
    if x.ndim != 3 or not x.is_floating_point() or not all(x.shape) or x.shape[1:] != matrices.mean.shape:
        raise InputError(
            "embeddings are floats, tiles × tokens × channels of the plane",
            expected=("N", *matrices.mean.shape),
            found=f"{x.dtype} {tuple(x.shape)}",
        )
    if cells.inv_step.shape != x.shape[1:]:
        raise InputError(
            "there is one cell for each coefficient", expected=tuple(x.shape[1:]), found=tuple(cells.inv_step.shape)
        )  # fmt: skip
    if len({x.device, matrices.mean.device, cells.inv_step.device}) > 1:
        raise InputError(
            "embeddings, matrices and cells lie on one device",
            found=(str(x.device), str(matrices.mean.device), str(cells.inv_step.device)),
        )
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision {precision!r}", expected=", ".join(PRECISIONS))
