"""Pixels of one band on the grid of the scene: the two transforms decide, never the shapes.

Both grids have parallel axes, so that rows and columns map separately: source position (in pixels, from the
corner) = scale · target position + shift. A target pixel takes the bilinear mean of the source pixels around its
centre, with the invalid ones left out; it is valid when the source pixel that contains its centre is. So
validity neither grows nor shrinks, and nodata never bleeds into a mean. Every window gives the same numbers as
the whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.scene.georeference import Affine6

_ALIGNED = 1e-3  # pixels; closer grids are one grid, read without interpolation


@dataclass(frozen=True, slots=True)
class AxisMap:
    """Target → source along one axis, in pixels from the first pixel's outer edge."""

    scale: float
    shift: float

    @property
    def aligned(self) -> bool:
        """Pixels fall on pixels."""
        return self.scale == 1.0 and abs(self.shift - round(self.shift)) < _ALIGNED

    def centres(self, first: int, count: int) -> npt.NDArray[np.float64]:
        """Source pixel indices (0 = centre of the first pixel) of target pixels first … first+count−1."""
        return self.scale * (np.arange(first, first + count, dtype=np.float64) + 0.5) + self.shift - 0.5

    def direct(self, first: int, count: int) -> tuple[int, int]:
        """First source pixel and how many are these target pixels, when aligned."""
        return first + round(self.shift), count

    def around(self, first: int, count: int) -> tuple[int, int]:
        """First source pixel and how many are needed to interpolate these target pixels."""
        ends = (
            self.scale * (first + 0.5) + self.shift - 0.5,
            self.scale * (first + count - 0.5) + self.shift - 0.5,
        )
        low = math.floor(min(ends))
        return low, math.floor(max(ends)) + 2 - low


@dataclass(frozen=True, slots=True)
class GridMap:
    """Target pixels → source pixels, for rows and columns."""

    rows: AxisMap
    cols: AxisMap

    @property
    def aligned(self) -> bool:
        return self.rows.aligned and self.cols.aligned

    def needed(self, row: int, col: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Source window (row, column, height, width) for this target window."""
        if self.aligned:
            (top, tall), (left, wide) = self.rows.direct(row, height), self.cols.direct(col, width)
        else:
            (top, tall), (left, wide) = self.rows.around(row, height), self.cols.around(col, width)
        return top, left, tall, wide


def grid_map(target: Affine6, source: Affine6, what: str) -> GridMap:
    """From the transforms of the two grids; `what` names the source in the error.

    Raises InputError when the axes are not parallel, which needs a real reprojection first.
    """
    ta, tb, tc, td, te, tf = target
    a, b, c, d, e, f = source
    determinant = a * e - b * d
    if determinant == 0.0:
        raise InputError("the transform maps all pixels to one line", path=what, fix="mend the georeference")
    # inverse(source) ∘ target
    ia, ib, id_, ie = e / determinant, -b / determinant, -d / determinant, a / determinant
    x, y = tc - c, tf - f
    col_scale, row_skew = ia * ta + ib * td, ia * tb + ib * te
    col_skew, row_scale = id_ * ta + ie * td, id_ * tb + ie * te
    if abs(row_skew) > 1e-9 * abs(col_scale) or abs(col_skew) > 1e-9 * abs(row_scale):
        raise InputError(
            "its pixel grid is rotated against that of the other bands", path=what, fix="warp it first"
        )
    # Rounding takes away what the division left of 57.50000000001.
    return GridMap(
        AxisMap(round(row_scale, 12), round(id_ * x + ie * y, 9)),
        AxisMap(round(col_scale, 12), round(ia * x + ib * y, 9)),
    )


def _blend(
    values: npt.NDArray[np.float64], at: npt.NDArray[np.float64], axis: int
) -> npt.NDArray[np.float64]:
    low = np.floor(at).astype(np.int64)
    weight = at - low
    shape = [1, 1]
    shape[axis] = -1
    weight = weight.reshape(shape)
    blended: npt.NDArray[np.float64] = (
        np.take(values, low, axis) * (1.0 - weight) + np.take(values, low + 1, axis) * weight
    )
    return blended


def bilinear(
    values: npt.NDArray[np.float64],
    validity: npt.NDArray[np.bool_],
    rows: npt.NDArray[np.float64],
    cols: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Values H×W and validity at fractional indices; index i needs pixels ⌊i⌋ and ⌊i⌋+1 in the array."""
    weight = validity.astype(np.float64)
    total = _blend(_blend(np.where(validity, values, 0.0), rows, 0), cols, 1)
    weight = _blend(_blend(weight, rows, 0), cols, 1)
    near_rows = np.floor(rows + 0.5).astype(np.int64)
    near_cols = np.floor(cols + 0.5).astype(np.int64)
    valid = validity[np.ix_(near_rows, near_cols)]
    # A valid pixel has at least a quarter of the weight near it, so the division is safe where it is used.
    return np.where(valid, total / np.where(valid, weight, 1.0), 0.0), valid
