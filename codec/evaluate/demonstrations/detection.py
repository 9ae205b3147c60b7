"""Waters of the flood chip as objects: a dense head draws a map, its components are boxes.

Labels are on a grid of half tokens. Waters smaller than two of its cells are no objects, on either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec.data import masks
from codec.data.components import Box, boxes
from codec.data.labelled import WATER_CLASSES, place_bands, token_labels
from codec.evaluate.demonstrations.boxes import average_precision, found_boxes
from codec.evaluate.demonstrations.coded import TILE, Demonstration, Sender, Sent, cut, fitted
from codec.evaluate.rate.types import IntArray
from codec.heads.calibration import softmax

FINER = 2  # cells to a token, along a side
MIN_CELLS = 2


@dataclass(frozen=True)
class _Chip:
    """One split's columns as tiles, row by row."""

    sent: Sent
    labels: IntArray  # N×2h×2w
    shape: tuple[int, int]  # in tiles
    truth: list[Box]
    cell: int  # pixels


def demonstrate(send: Sender, data: Path) -> Demonstration:
    """Average precision at an overlap of one half, of the boxes of val."""
    train, val = _chip(send, data, "train"), _chip(send, data, "val")
    groups = np.arange(len(train.labels))
    head = fitted(
        "dense-linear", train.sent.tokens, train.labels, groups, len(WATER_CLASSES), train.sent.validity
    )
    values = {}
    for name, x in val.sent.tokens.items():
        chance = softmax(head.outputs(x, val.sent.validity))[..., 1]
        whole = _joined(chance, val.shape)
        values[name] = average_precision(found_boxes(whole, val.cell, MIN_CELLS), val.truth)
    return Demonstration(
        "detection", "average precision", values, len(val.truth), "boxes", len(train.truth), val.sent.bytes_per_tile
    )  # fmt: skip


def _chip(send: Sender, data: Path, split: str) -> _Chip:
    ((image, mask),) = masks.flood(data, split)
    pixels, present = place_bands(image.reflectance(0, 0, image.height, image.width), image.bands, send.bands)
    shape = image.height // TILE, image.width // TILE
    sent = send("flood", cut(pixels), present, cut(image.validity))
    cell = TILE // (FINER * sent.validity.shape[1])
    labels = np.stack([token_labels(tile, cell) for tile in cut(mask)])
    shown = mask[: shape[0] * TILE, : shape[1] * TILE]
    return _Chip(sent, labels, shape, boxes(shown, [1], min_pixels=MIN_CELLS * cell**2), cell)


def _joined(tiles: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """N×a×b of tiles row by row to one map."""
    rows, cols = shape
    a, b = tiles.shape[1:]
    return tiles.reshape(rows, cols, a, b).swapaxes(1, 2).reshape(rows * a, cols * b)
