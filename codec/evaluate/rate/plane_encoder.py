"""What an encoder is to the harness, and what bits per element are counted against."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.evaluate.rate.types import Planes, TileSet

Batches = Iterator[tuple[npt.NDArray[Any], ...]]


@dataclass(frozen=True, slots=True)
class Basis:
    """What bits per element are counted against: the frozen encoder's own output for one tile."""

    rows: int  # tokens
    cols: int
    width: int

    @property
    def elements(self) -> int:
        return self.rows * self.cols * self.width

    def bits(self, bytes_per_tile: float) -> float:
        """Bits per element."""
        return 8 * bytes_per_tile / self.elements

    def __str__(self) -> str:
        return f"{self.rows}×{self.cols} tokens × {self.width} = {self.elements} elements"


@dataclass(frozen=True, slots=True)
class PlaneEncoder:
    """A frozen encoder. Equal `identity`, `normalisation` and tiles mean equal planes."""

    name: str  # as rows and caches call it
    identity: str  # SHA-256 of the weights, or of what else decides the output
    normalisation: str  # name of what is done to the pixels first, with a hash of its constants
    encode: Callable[[TileSet], Planes]
    sees: Callable[[TileSet], Batches]  # the normalised input, a batch of tiles at a time

    def __call__(self, tiles: TileSet) -> Planes:
        """Planes of all tiles, checked. Raises InputError for an output that is none."""
        planes = self.encode(tiles)
        check_planes(self.name, planes, len(tiles))
        return planes


def basis_of(planes: Planes) -> Basis:
    """The grid and width of `tokens`."""
    rows, cols, width = planes.values["tokens"].shape[1:]
    return Basis(rows, cols, width)


def check_planes(name: str, planes: object, n: int) -> None:
    """Raises InputError unless these are finite float32 planes of n tiles that share one grid."""
    if not isinstance(planes, Planes) or "tokens" not in planes.values:
        raise InputError(
            f"encoder {name!r} must return Planes with a plane called tokens", found=type(planes).__name__
        )
    grid = planes.validity.shape
    for plane, values in planes.values.items():
        if not re.fullmatch("[a-z][a-z0-9_-]*", plane) or plane == "validity":
            raise InputError(
                f"encoder {name!r} names a plane {plane!r}", expected="small letters, digits, - and _"
            )
        if values.ndim != 4 or values.dtype != np.float32 or values.shape[:3] != grid or len(values) != n:
            raise InputError(
                f"plane {plane!r} of encoder {name!r} is no float32 array of tiles × rows × columns × channels",
                expected=(n, *grid[1:], "C"),
                found=f"{values.dtype} {values.shape}",
            )
        finite = np.isfinite(values).all(axis=3) | ~planes.validity
        if not finite.all():
            raise InputError(
                f"plane {plane!r} of encoder {name!r} holds numbers that are not finite in valid tokens",
                found=f"first in tile {int(np.argwhere(~finite)[0, 0])}",
            )
