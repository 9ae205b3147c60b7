"""Pictures of any size as tiles of the encoder's size, and tiles put together again.

A picture larger than a tile is covered by tiles side by side; the last one of a row or column is moved inward. A smaller
one stands in the upper left corner of a tile whose rest is invalid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.adapt.tasks.recipe import PaperTask
from codec.adapt.training import NO_CLASS, Labelled
from codec.data.samples import Sample, SampleSet
from codec.errors import InputError
from codec.types import BoolArray, FloatArray

IntArray = npt.NDArray[np.int64]
_SEED = 20_250_312  # of the choice among too many tiles: the same for every method and seed


def starts(length: int, tile: int) -> tuple[int, ...]:
    """First pixels of the tiles that cover a side."""
    n = max(1, -(-length // tile))
    return tuple(max(0, min(i * tile, length - tile)) for i in range(n))


@dataclass(frozen=True, slots=True)
class Cut:
    """Tiles of one picture, row by row."""

    pixels: FloatArray  # n×C×T×T reflectance in the order of the task's bands; 0 beyond the picture
    validity: BoolArray  # n×T×T
    labels: IntArray  # n×T×T, or n where the picture has one class; NO_CLASS beyond the picture
    corners: tuple[tuple[int, int], ...]  # row and column of their first pixels


def cut(sample: Sample, task: PaperTask, tile: int, only: Sequence[int] | None = None) -> Cut:
    """All tiles of a picture, or those with the numbers `only`."""
    image, zoom = sample.image, task.zoom
    order = [image.bands.index(band) for band in task.bands]
    pixels = image.reflectance(0, 0, image.height, image.width)[order].repeat(zoom, 1).repeat(zoom, 2)
    valid = image.validity.repeat(zoom, 0).repeat(zoom, 1)
    height, width = valid.shape
    places = [(row, col) for row in starts(height, tile) for col in starts(width, tile)]
    corners = tuple(places if only is None else (places[i] for i in only))
    n = len(corners)
    out = np.zeros((n, len(order), tile, tile), np.float32)
    validity = np.zeros((n, tile, tile), np.bool_)
    labels = np.full((n, tile, tile), NO_CLASS, np.int64)
    for i, (row, col) in enumerate(corners):
        here = np.s_[row : row + tile, col : col + tile]
        there = np.s_[: min(tile, height), : min(tile, width)]
        out[i, :, : min(tile, height), : min(tile, width)] = pixels[:, row : row + tile, col : col + tile]
        validity[i][there] = valid[here]
        if sample.target.ndim == 2:
            labels[i][there] = sample.target[here]
    if sample.target.ndim == 0:
        return Cut(out, validity, np.full(n, int(sample.target), np.int64), corners)
    return Cut(out, validity, labels, corners)


def joined(values: FloatArray, corners: Sequence[tuple[int, int]], height: int, width: int) -> FloatArray:
    """n×T×T×K of the tiles of a picture → H×W×K, the mean where tiles overlap."""
    tile = values.shape[1]
    total = np.zeros((height, width, values.shape[-1]), np.float32)
    count = np.zeros((height, width, 1), np.float32)
    for value, (row, col) in zip(values, corners, strict=True):
        here = np.s_[row : row + tile, col : col + tile]
        part = total[here]
        part += value[: part.shape[0], : part.shape[1]]
        count[here] += 1
    return total / count


def token_classes(
    labels: IntArray, validity: BoolArray, stride: int, classes: int, agreement: float
) -> IntArray:
    """n×T×T classes of pixels → n×h×w of tokens of `stride` pixels a side: the most frequent one among a token's
    labelled pixels that were measured, the first of equals; NO_CLASS where there is none, or its share of them is below
    `agreement`.
    """
    n, side, _ = labels.shape
    cells = np.where(validity, labels, NO_CLASS).reshape(n, side // stride, stride, side // stride, stride)
    counts = np.stack([(cells == value).sum((2, 4)) for value in range(classes)], axis=-1)
    most, known = counts.max(-1), counts.sum(-1)
    return np.where((known > 0) & (most >= agreement * known), counts.argmax(-1), NO_CLASS).astype(np.int64)


def tiles_of_picture(task: PaperTask, tile: int) -> int:
    return len(starts(task.size * task.zoom, tile)) ** 2


def _chosen(n: int, each: int, limit: int) -> Iterator[tuple[int, list[int] | None]]:
    """Numbers of pictures, and of their tiles (None: all): `limit` tiles at most, as evenly as can be."""
    rng = np.random.default_rng(_SEED)
    if n * each <= limit:
        yield from ((i, None) for i in range(n))
    elif n >= limit:
        for i in sorted(rng.choice(n, limit, replace=False).tolist()):
            yield i, [int(rng.integers(each))]
    else:
        for i in range(n):
            yield i, sorted(rng.choice(each, limit // n, replace=False).tolist())


def training_tiles(samples: SampleSet, task: PaperTask, tile: int, stride: int) -> Labelled:
    """What is learned from: at most `task.tiles` tiles, those without any label left out. InputError: none is left."""
    each = tiles_of_picture(task, tile)
    chosen = list(_chosen(len(samples), each, task.tiles))
    most = sum(each if only is None else len(only) for _, only in chosen)
    # Gigabytes for the larger sets: made once, and filled picture by picture.
    pixels = np.empty((most, len(task.bands), tile, tile), np.float32)
    validity = np.empty((most, tile, tile), np.bool_)
    labels, n = [], 0
    for i, only in chosen:
        found = cut(samples[i], task, tile, only)
        classes = found.labels
        if classes.ndim == 3:
            classes = token_classes(classes, found.validity, stride, task.classes, task.agreement)
        keep = (classes.reshape(len(classes), -1) != NO_CLASS).any(1) & found.validity.any((1, 2))
        here = slice(n, n + int(keep.sum()))
        pixels[here], validity[here] = found.pixels[keep], found.validity[keep]
        labels.append(classes[keep])
        n = here.stop
    if not n:
        raise InputError(
            f"no tile of {samples.name} has a label", fix="check the masks, or --set tiles=… for more of them"
        )
    present = np.ones((n, len(task.bands)), np.bool_)
    return Labelled(pixels[:n], present, validity[:n], np.concatenate(labels), samples.classes)
