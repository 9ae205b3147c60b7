"""Connected components of a mask and their boxes: objects for detection where only masks are at hand.

Runs of equal pixels are linked row by row and merged by their smallest number (pointer jumping), all in numpy: a mask of
36 megapixels needs no image library.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.types import BoolArray

IntArray = npt.NDArray[np.int64]
Neighbours = Literal[4, 8]


@dataclass(frozen=True, slots=True)
class Box:
    """An object's smallest upright rectangle, in pixels."""

    row: int
    col: int
    height: int
    width: int
    label: int  # class
    pixels: int  # of the object itself
    cut: bool  # touches the border of the picture, so it may go on outside


@dataclass(frozen=True, slots=True)
class _Runs:
    row: IntArray
    start: IntArray
    end: IntArray  # exclusive


def _runs(mask: BoolArray) -> _Runs:
    """Maximal runs of True of each row, in raster order."""
    padded = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8)
    step = np.diff(padded, axis=1)
    row, start = np.nonzero(step == 1)
    return _Runs(row, start, np.nonzero(step == -1)[1])


def _links(runs: _Runs, width: int, neighbours: Neighbours) -> tuple[IntArray, IntArray]:
    """Pairs of runs of adjacent rows that touch; with 8 neighbours also corner to corner."""
    key = width + 2  # more than any column, so that rows do not mix
    starts, ends = runs.row * key + runs.start, runs.row * key + runs.end
    below = (runs.row + 1) * key
    first = np.searchsorted(ends, below + runs.start, side="left" if neighbours == 8 else "right")
    last = np.searchsorted(starts, below + runs.end, side="right" if neighbours == 8 else "left")
    count = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(runs.row)), count)
    offset = np.arange(len(upper)) - np.repeat(np.cumsum(count) - count, count)
    return upper, np.repeat(first, count) + offset


def _merged(n: int, a: IntArray, b: IntArray) -> IntArray:
    """For each of n runs the smallest run of its component."""
    parent = np.arange(n)
    while True:
        low, high = np.minimum(parent[a], parent[b]), np.maximum(parent[a], parent[b])
        open_ = low != high
        if not open_.any():
            return parent
        np.minimum.at(parent, high[open_], low[open_])
        while True:
            grand = parent[parent]
            if (grand == parent).all():
                break
            parent = grand


def _component_of_runs(mask: BoolArray, neighbours: Neighbours) -> tuple[_Runs, IntArray, int]:
    if mask.ndim != 2:
        raise InputError("a mask has two dimensions", found=mask.shape)
    if neighbours not in (4, 8):
        raise InputError("a pixel has 4 or 8 neighbours", found=neighbours)
    runs = _runs(mask)
    parent = _merged(len(runs.row), *_links(runs, mask.shape[1], neighbours))
    _, number = np.unique(parent, return_inverse=True)
    return runs, number.reshape(-1).astype(np.int64), int(number.max()) + 1 if len(number) else 0


def components(mask: BoolArray, neighbours: Neighbours = 8) -> tuple[IntArray, int]:
    """H×W numbers from 1 in the order of the objects' first pixels, 0 elsewhere; and how many objects there are."""
    mask = np.asarray(mask, np.bool_)
    runs, number, n = _component_of_runs(mask, neighbours)
    labels = np.zeros(mask.shape, np.int64)
    labels[mask] = np.repeat(number + 1, runs.end - runs.start)  # both in raster order
    return labels, n


def boxes(
    mask: IntArray, classes: Iterable[int], *, min_pixels: int = 1, neighbours: Neighbours = 8
) -> list[Box]:
    """Boxes of the objects of these classes in a mask of classes, by class and first pixel; smaller objects are left out.

    Objects that touch are one object: masks do not tell neighbours apart.
    """
    if min_pixels < 1:
        raise InputError("an object has at least one pixel", found=min_pixels)
    height, width = mask.shape
    found = []
    for label in classes:
        runs, number, n = _component_of_runs(mask == label, neighbours)
        pixels = np.bincount(number, runs.end - runs.start, minlength=n).astype(np.int64)
        top, left = np.full(n, height), np.full(n, width)
        bottom, right = np.zeros(n, np.int64), np.zeros(n, np.int64)
        np.minimum.at(top, number, runs.row)
        np.minimum.at(left, number, runs.start)
        np.maximum.at(bottom, number, runs.row + 1)
        np.maximum.at(right, number, runs.end)
        for i in np.nonzero(pixels >= min_pixels)[0]:
            cut = top[i] == 0 or left[i] == 0 or bottom[i] == height or right[i] == width
            sides = int(top[i]), int(left[i]), int(bottom[i] - top[i]), int(right[i] - left[i])
            found.append(Box(*sides, int(label), int(pixels[i]), bool(cut)))
    return found
