"""Which tiles share a picture, and where in it they lie.

`tile by tile`: every tile is a picture. `scene-coded`: the tiles of one scene are put together as they lie on the ground;
lone tiles, which have no neighbours, are joined in order to one near-square mosaic. Tiles of one picture have the same
bands. Places that no tile covers are filled smoothly and thrown away on the ground, which knows the layout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.evaluate.rate.pixels.fill import filled
from codec.evaluate.rate.types import TileSet
from codec.types import BoolArray, FloatArray

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """Tiles that are coded as one picture."""

    index: IntArray  # n, tiles of the set
    spots: IntArray  # n×2, row and column in the picture, in tiles; no two alike, the smallest 0
    present: BoolArray  # B, bands that all these tiles have

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, in tiles."""
        rows, cols = self.spots.max(0) + 1
        return int(rows), int(cols)


def near_square(n: int) -> IntArray:
    """Places n×2 of n tiles, row by row, in the narrowest square that holds them."""
    cols = int(np.ceil(np.sqrt(n)))
    return np.stack(np.divmod(np.arange(n), cols), axis=1).astype(np.int64)


def _scene_spots(tiles: TileSet, index: IntArray) -> IntArray:
    spots = tiles.place[index] - tiles.place[index].min(0)
    if len(np.unique(spots, axis=0)) != len(spots):
        raise InputError(
            f"two tiles of one scene of {tiles.name!r} lie on the same place",
            found=f"scene {int(tiles.scene[index[0]])}",
        )
    return np.asarray(spots, np.int64)


def blocks(tiles: TileSet, *, joined: bool) -> list[Block]:
    """Every tile in exactly one block; `joined`: scene-coded."""
    if not joined:
        spot = np.zeros((1, 2), np.int64)
        return [Block(np.array([i], np.int64), spot, tiles.present[i]) for i in range(len(tiles))]
    patterns, pattern = np.unique(tiles.present, axis=0, return_inverse=True)
    out: list[Block] = []
    lone: dict[int, list[IntArray]] = {}
    for scene, bands in sorted(set(zip(tiles.scene.tolist(), pattern.ravel().tolist(), strict=True))):
        index = np.flatnonzero((tiles.scene == scene) & (pattern.ravel() == bands)).astype(np.int64)
        if len(index) == 1:
            lone.setdefault(bands, []).append(index)
        else:
            out.append(Block(index, _scene_spots(tiles, index), patterns[bands]))
    for bands, found in sorted(lone.items()):
        out.append(Block(np.concatenate(found), near_square(len(found)), patterns[bands]))
    return out


def assembled(parts: FloatArray, validity: BoolArray, block: Block) -> FloatArray:
    """Tiles n×C×T×T (validity n×T×T) to one picture C×H×W; invalid pixels and empty places filled."""
    channels, side = parts.shape[1:3]
    rows, cols = block.shape
    picture = np.zeros((channels, rows * side, cols * side), np.float32)
    known = np.zeros(picture.shape[1:], np.bool_)
    for part, valid, (row, col) in zip(parts, validity, block.spots, strict=True):
        down, across = slice(row * side, (row + 1) * side), slice(col * side, (col + 1) * side)
        picture[:, down, across] = part
        known[down, across] = valid
    return filled(picture, known)


def disassembled(picture: FloatArray, block: Block) -> FloatArray:
    """The tiles n×C×T×T of a picture C×H×W, in the order of `block.index`."""
    side = picture.shape[1] // block.shape[0]
    return np.stack(
        [picture[:, row * side : (row + 1) * side, col * side : (col + 1) * side] for row, col in block.spots]
    )
