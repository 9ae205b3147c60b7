"""The symmetries of a square tile."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Pixels = TypeVar("Pixels", bound=npt.NDArray[np.generic])


def turn(pixels: Pixels, which: int) -> Pixels:
    """One of the eight symmetries of the square (0 leaves all as it is); rows and columns are the last two axes."""
    turned = np.rot90(pixels, which % 4, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if which >= 4 else turned)  # type: ignore[return-value]
