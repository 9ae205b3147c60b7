"""A training image: pixels as stored, and what turns them into reflectance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Raster:
    """One image of a training source, kept in its native type: 9,000 aerial tiles as float32 would be
    gigabytes.
    """

    source: str  # name of the data set, as in `readers.SOURCES`
    name: str  # unique inside the source
    bands: tuple[str, ...]  # canonical names, axis 0 of `native`
    native: npt.NDArray[Any]  # C×H×W
    scale: float  # reflectance = native · scale + offset
    offset: float
    validity: BoolArray  # H×W, True where measured
    max_window: int = (
        128  # largest crop, in pixels, that still looks like a scene at this ground sampling distance
    )

    def __post_init__(self) -> None:
        if self.native.ndim != 3 or self.native.shape[0] != len(self.bands):
            raise InputError(
                "one band name per band", path=self.name, expected=len(self.bands), found=self.native.shape
            )
        if self.validity.shape != self.native.shape[1:]:
            raise InputError(
                "validity and pixels differ in shape",
                path=self.name,
                expected=self.native.shape[1:],
                found=self.validity.shape,
            )

    @property
    def height(self) -> int:
        return int(self.native.shape[1])

    @property
    def width(self) -> int:
        return int(self.native.shape[2])

    def reflectance(self, row: int, col: int, height: int, width: int) -> FloatArray:
        """C×height×width float32; the window must lie inside the image."""
        if row < 0 or col < 0 or row + height > self.height or col + width > self.width:
            raise InputError(
                "the window leaves the image",
                path=self.name,
                found=(row, col, height, width),
                expected=(self.height, self.width),
            )
        window = self.native[:, row : row + height, col : col + width].astype(np.float32)
        return window * np.float32(self.scale) + np.float32(self.offset)
