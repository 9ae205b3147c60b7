"""Weights of an adapter in 8 or 4 bits, for an uplink of a few kilobits per second.

A matrix is cut into rows; each row has a scale, float16, and integers q from −127 to 127 (int8) or −7 to 7 (int4):
value = q · scale. Symmetric, round half to even, the scale rounded up, so that nothing is clipped and no value is further
than half a scale from its own. Equal weights give equal bytes on every machine.

Vectors (norms, biases, scale vectors, training statistics) are few and sensitive: they stay float16, or float32 where
float16 cannot hold one of their values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codec.errors import Corrupt, InputError

Packing = Literal["int8", "int4"]
PACKINGS: tuple[Packing, ...] = ("int8", "int4")
LARGEST: dict[Packing, int] = {"int8": 127, "int4": 7}
# Where the last axis is shorter than this, rows run along the other axes: 2 bytes of scale for 16 numbers of 4 bits would
# be a quarter more.
SHORTEST_ROW = 32
_SCALES = "#scales"
_HALF = np.finfo(np.float16)


@dataclass(frozen=True)
class PackedMatrix:
    """A tensor in few bits. `codes` R×⌈K·bits/8⌉ uint8; `scales` R, float16; R rows of K values."""

    codes: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float16]


def pack_matrix(
    values: npt.NDArray[np.float32], packing: Packing, *, name: str = "the tensor"
) -> PackedMatrix:
    """A tensor of two or more axes → few bits. Raises InputError, naming it, for values that are not finite or too large."""
    if not np.isfinite(values).all():
        raise InputError(
            f"{name} holds values that are not finite", fix="train again; this adapter is broken"
        )
    rows = _as_rows(values.astype(np.float64))
    largest = LARGEST[packing]
    wanted = np.abs(rows).max(axis=1) / largest
    if (wanted > _HALF.max).any():
        raise InputError(f"{name} holds values too large for {packing}", found=float(np.abs(rows).max()))
    scales = wanted.astype(np.float16)
    low = scales.astype(np.float64) < wanted
    scales[low] = np.nextafter(scales[low], np.float16(np.inf))
    wide = scales.astype(np.float64)[:, None]
    codes = np.rint(np.divide(rows, wide, out=np.zeros_like(rows), where=wide > 0)).astype(np.int8)
    if packing == "int4":
        if codes.shape[1] % 2:
            codes = np.pad(codes, ((0, 0), (0, 1)))
        nibbles = codes.view(np.uint8) & 15
        return PackedMatrix(nibbles[:, 0::2] | nibbles[:, 1::2] << 4, scales)  # the even column low
    return PackedMatrix(codes.view(np.uint8), scales)


def unpack_matrix(
    packed: PackedMatrix, shape: tuple[int, ...], packing: Packing, *, name: str = "the tensor"
) -> npt.NDArray[np.float32]:
    """The way back, float32 of `shape`. Raises Corrupt, naming the tensor, for bytes that are not its."""
    rows, columns = _row_shape(shape)
    stored = columns if packing == "int8" else (columns + 1) // 2
    if packed.codes.shape != (rows, stored) or packed.scales.shape != (rows,):
        raise Corrupt(
            f"{name} is not packed as its shape says", expected=(rows, stored), found=packed.codes.shape
        )
    if not (np.isfinite(packed.scales).all() and (packed.scales >= 0).all()):
        raise Corrupt(f"{name} has a scale that is no size")
    codes = packed.codes
    if packing == "int4":
        pairs = np.stack([codes << 4, codes & 0xF0], axis=-1).view(np.int8) >> 4  # sign and all
        codes_signed = pairs.reshape(rows, -1)
        if columns % 2 and codes_signed[:, -1].any():
            raise Corrupt(f"{name} has padding that is not 0")
        codes_signed = codes_signed[:, :columns]
    else:
        codes_signed = np.ascontiguousarray(codes).view(np.int8)
    if (np.abs(codes_signed.astype(np.int16)) > LARGEST[packing]).any():
        raise Corrupt(f"{name} holds a code that no packer writes")
    values = codes_signed.astype(np.float32) * packed.scales.astype(np.float32)[:, None]
    return _from_rows(values, shape)


def _row_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    last, others = shape[-1], math.prod(shape[:-1])
    return (others, last) if last >= SHORTEST_ROW or last >= others else (last, others)


def _as_rows(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    table = values.reshape(-1, values.shape[-1])
    return np.ascontiguousarray(table if _row_shape(values.shape) == table.shape else table.T)


def _from_rows(rows: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    table = (math.prod(shape[:-1]), shape[-1])
    return np.ascontiguousarray(rows if rows.shape == table else rows.T).reshape(shape)


def pack_state(
    state: Mapping[str, Tensor], packing: Packing
) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Tensors as they are stored, and the shapes of those that were packed.

    A packed tensor stands as its codes under its own name and its scales under `name#scales`; integers stay.
    """
    stored: dict[str, Tensor] = {}
    shapes: dict[str, list[int]] = {}
    for name, value in sorted(state.items()):
        if "#" in name:
            raise InputError(f"tensor {name} cannot be packed", fix="names hold no '#'")
        if not value.is_floating_point():
            stored[name] = value.detach().cpu().contiguous()
        elif value.ndim < 2 or value.numel() == 0:
            stored[name] = _half(value.detach().cpu().float(), name)
        else:
            packed = pack_matrix(value.detach().cpu().float().numpy(), packing, name=f"tensor {name}")
            stored[name] = torch.from_numpy(packed.codes)
            stored[name + _SCALES] = torch.from_numpy(packed.scales)
            shapes[name] = list(value.shape)
    return stored, shapes


def unpack_state(
    stored: Mapping[str, Tensor], shapes: Mapping[str, list[int]], packing: Packing
) -> dict[str, Tensor]:
    """The way back: floating-point tensors as float32. Raises Corrupt naming the tensor that is not as it must be."""
    state: dict[str, Tensor] = {}
    for name, value in stored.items():
        if name.endswith(_SCALES):
            if name.removesuffix(_SCALES) not in shapes:
                raise Corrupt(f"tensor {name} belongs to nothing")
            continue
        if name not in shapes:
            state[name] = value.float() if value.is_floating_point() else value
            continue
        scales = stored.get(name + _SCALES)
        if scales is None or value.dtype is not torch.uint8 or scales.dtype is not torch.float16:
            raise Corrupt(f"tensor {name} is not packed as {packing}")
        packed = PackedMatrix(value.numpy(), scales.numpy())
        found = unpack_matrix(packed, tuple(shapes[name]), packing, name=f"tensor {name}")
        state[name] = torch.from_numpy(found)
    for name in shapes:
        if name not in state:
            raise Corrupt(f"tensor {name} is missing")
    return state


def _half(value: Tensor, name: str) -> Tensor:
    """Float16 where that holds every value to its 11 bits."""
    if not torch.isfinite(value).all():
        raise InputError(
            f"tensor {name} holds values that are not finite", fix="train again; this adapter is broken"
        )
    size = value.abs()
    small = (size > 0) & (size < float(_HALF.smallest_normal))
    return value if bool((size > float(_HALF.max)).any() or small.any()) else value.half()
