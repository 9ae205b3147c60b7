"""Bands to what a picture codec takes: one picture of many components, or one grey or colour picture that holds them
side by side.

WebP and AVIF know one or three channels, JPEG XL does its best work on them. Separate files for each band or each three
bands repeat the start of a bit stream; in one file the bands lie on a grid, which costs nothing but a few edges.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

Planes = npt.NDArray[Any]  # C×H×W integers
Picture = npt.NDArray[Any]  # H×W×c integers


class Layout(Enum):
    """How C planes become one picture."""

    COMPONENTS = "components"  # H×W×C
    GREY = "grey"  # planes on a grid, one channel
    COLOUR = "colour"  # threes of neighbouring bands on a grid, three channels


def grid(n: int) -> tuple[int, int]:
    """Rows ≤ columns of the fullest grid for n cells without a hole."""
    rows = max(r for r in range(1, int(n**0.5) + 1) if n % r == 0)
    return rows, n // rows


def laid(planes: Planes, layout: Layout) -> Picture:
    """C×H×W to H'×W'×c. The last three bands of COLOUR are filled up by repeating the last band."""
    if layout is Layout.COMPONENTS:
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
    width = 3 if layout is Layout.COLOUR else 1
    short = -len(planes) % width
    if short:
        planes = np.concatenate([planes, np.repeat(planes[-1:], short, axis=0)])
    rows, cols = grid(len(planes) // width)
    _, h, w = planes.shape
    cells = planes.reshape(rows, cols, width, h, w).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(cells.reshape(rows * h, cols * w, width))


def taken(picture: Picture, channels: int, layout: Layout) -> Planes:
    """The inverse of `laid` for C = `channels`."""
    if layout is Layout.COMPONENTS:
        return np.ascontiguousarray(picture.transpose(2, 0, 1))
    width = 3 if layout is Layout.COLOUR else 1
    rows, cols = grid(-(-channels // width))
    h, w = picture.shape[0] // rows, picture.shape[1] // cols
    cells = picture.reshape(rows, h, cols, w, width).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(cells.reshape(rows * cols * width, h, w)[:channels])


def picture_shape(planes: tuple[int, int, int], layout: Layout) -> tuple[int, int, int]:
    """Shape of `laid` for planes of this shape."""
    channels, h, w = planes
    if layout is Layout.COMPONENTS:
        return h, w, channels
    width = 3 if layout is Layout.COLOUR else 1
    rows, cols = grid(-(-channels // width))
    return rows * h, cols * w, width
