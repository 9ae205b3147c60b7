"""Position codes: sines of a coordinate, and tables resized to another grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def sines(position: Tensor, width: int) -> Tensor:
    """(…) → (…, width): sines, then cosines, of `position` at width/2 frequencies from 1 down to almost 1/10000.

    Source: arXiv 1706.03762, in the order of the MAE code (all sines before all cosines).
    """
    half = width // 2
    steps = torch.arange(half, dtype=position.dtype, device=position.device)
    angle = position[..., None] * 10_000.0 ** -(steps / half)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def grid_sines(rows: Tensor, columns: Tensor, width: int) -> Tensor:
    """(…, h), (…, w) coordinates → (…, h·w, width): the first half of the width is of the column (MAE: "w goes first")."""
    h, w = rows.shape[-1], columns.shape[-1]
    by_column = sines(columns, width // 2)[..., None, :, :].expand(*columns.shape[:-1], h, w, width // 2)
    by_row = sines(rows, width // 2)[..., :, None, :].expand(*rows.shape[:-1], h, w, width // 2)
    return torch.cat([by_column, by_row], dim=-1).flatten(-3, -2)


def volume_sines(frames: int, rows: int, columns: int, width: int, like: Tensor) -> Tensor:
    """(frames·rows·columns, width) of Prithvi: 6/16 of the width for the column, 6/16 row, 4/16 frame."""
    sixteenth = width // 16
    code = [
        sines(torch.arange(count, dtype=like.dtype, device=like.device), part * sixteenth)
        for count, part in ((columns, 6), (rows, 6), (frames, 4))
    ]
    shape = (frames, rows, columns)
    column = code[0][None, None, :].expand(*shape, -1)
    row = code[1][None, :, None].expand(*shape, -1)
    frame = code[2][:, None, None].expand(*shape, -1)
    return torch.cat([column, row, frame], dim=-1).flatten(0, 2)


def resize(table: Tensor, h: int, w: int, rule: str) -> Tensor:
    """Position table 1×L×D of a square grid → 1×(h·w)×D, bicubic; unchanged where the grid is the same.

    `rule` "size" is what MAE and SatMAE do; "scale" is what DINO does: a scale factor with a tenth of a patch added
    against rounding, which moves the sampling points a little.
    """
    length, width = table.shape[1:]
    side = math.isqrt(length)
    if (h, w) == (side, side):
        return table
    image = table.reshape(1, side, side, width).permute(0, 3, 1, 2)
    if rule == "scale":
        factors = ((h + 0.1) / math.sqrt(length), (w + 0.1) / math.sqrt(length))
        image = F.interpolate(image, scale_factor=factors, mode="bicubic")
    else:
        image = F.interpolate(image, size=(h, w), mode="bicubic", align_corners=False)
    return image.permute(0, 2, 3, 1).reshape(1, h * w, width)
