"""How Swin cuts a grid of tokens into windows, straight or shifted (arXiv 2103.14030, section 3.2 and figure 4).

    h×w tokens ─ zeros below and to the right ─ rolled up and left by `shift` ─ cut ─▶ W windows of side×side

After the roll a window at the lower or right edge holds tokens that are no neighbours; the mask keeps them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

MASKED = -100.0  # as published; e^-100 is no part of a sum in float32


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one block on one grid. Added zeros are attended to like other tokens, as in the published code for dense
    prediction; the published classifiers take no size that needs them.
    """

    h: int
    w: int
    side: int  # tokens a side of a window
    shift: int  # 0: straight

    @property
    def rows(self) -> int:
        """Windows from top to bottom."""
        return -(-self.h // self.side)

    @property
    def columns(self) -> int:
        """Windows from left to right."""
        return -(-self.w // self.side)

    def cut(self, values: Tensor) -> Tensor:
        """N×L×C in raster order → (N · rows · columns)×side²×C, image by image."""
        channels = values.shape[-1]
        x = values.reshape(-1, self.h, self.w, channels)
        below, right = self.rows * self.side - self.h, self.columns * self.side - self.w
        if below or right:
            x = F.pad(x, (0, 0, 0, right, 0, below))
        if self.shift:
            x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        x = x.reshape(-1, self.rows, self.side, self.columns, self.side, channels).transpose(2, 3)
        return x.reshape(-1, self.side * self.side, channels)

    def joined(self, values: Tensor) -> Tensor:
        """The inverse of `cut`; what stands where zeros were added is left out."""
        channels = values.shape[-1]
        x = values.reshape(-1, self.rows, self.columns, self.side, self.side, channels).transpose(2, 3)
        x = x.reshape(-1, self.rows * self.side, self.columns * self.side, channels)
        if self.shift:
            x = torch.roll(x, (self.shift, self.shift), (1, 2))
        return x[:, : self.h, : self.w].reshape(-1, self.h * self.w, channels)

    def mask(self) -> NDArray[np.float32] | None:
        """(rows · columns)×side²×side², 0 or `MASKED`; None where nothing is shifted."""
        return _mask(self) if self.shift else None


@lru_cache(maxsize=16)
def _mask(windows: Windows) -> NDArray[np.float32]:
    side = windows.side
    down, across = (_regions(n * side, windows) for n in (windows.rows, windows.columns))
    regions = 3 * down[:, None] + across
    cut = regions.reshape(windows.rows, side, windows.columns, side).swapaxes(1, 2).reshape(-1, side * side)
    return np.where(cut[:, :, None] == cut[:, None, :], 0.0, MASKED).astype(np.float32)


def _regions(size: int, windows: Windows) -> NDArray[np.int64]:
    """Along one axis after the roll: 0 in whole windows, 1 in what was at the end, 2 in what came round from the start."""
    place = np.arange(size)
    return (place >= size - windows.side).astype(np.int64) + (place >= size - windows.shift)


@lru_cache(maxsize=16)
def relative_index(side: int) -> NDArray[np.int64]:
    """side²×side²: the row of the table of relative positions for a query (first axis) and a key, both in raster order.

    Rows of the table go by the distance down, then across, each from 1 − side to side − 1.
    """
    row, column = np.divmod(np.arange(side * side), side)
    down, across = row[:, None] - row, column[:, None] - column
    return (down + side - 1) * (2 * side - 1) + across + side - 1


def as_computed(name: str, found: Tensor) -> bool:
    """Whether a tensor that files hold beside the weights, by the end of its name, is the one that is computed here:
    `relative_position_index`, or the `attn_mask` of some grid.
    """
    if found.ndim < 2 or found.shape[-1] != found.shape[-2]:
        return False
    side = round(found.shape[-1] ** 0.5)
    if side * side != found.shape[-1] or side == 0:
        return False
    if name.endswith("relative_position_index"):
        return found.ndim == 2 and bool(np.array_equal(found.numpy(), relative_index(side)))
    if found.ndim != 3 or side < 2:
        return False
    n = found.shape[0]
    grids = (Windows(side * rows, side * (n // rows), side, side // 2) for rows in _divisors(n))
    return any(np.array_equal(found.float().numpy(), grid.mask()) for grid in grids)  # type: ignore[arg-type]


def _divisors(n: int) -> list[int]:
    return [rows for rows in range(1, n + 1) if n % rows == 0]
