"""Boxes found against boxes that are there: average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from codec.data.components import Box, boxes, components
from codec.errors import InputError
from codec.types import FloatArray

IOU = 0.5


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    rows = min(a.row + a.height, b.row + b.height) - max(a.row, b.row)
    cols = min(a.col + a.width, b.col + b.width) - max(a.col, b.col)
    both = max(rows, 0) * max(cols, 0)
    return both / (a.height * a.width + b.height * b.width - both)


def found_boxes(probability: FloatArray, cell: int, min_cells: int = 1) -> list[tuple[float, Box]]:
    """Objects of a map H×W of chances, as components of what is above one half, with their mean chance; in pixels of `cell`
    to a cell."""
    mask = probability > 0.5
    labels, n = components(mask)
    sums = np.bincount(labels.ravel(), probability.ravel(), n + 1)[1:]
    counts = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    return [
        (
            float(total / count),
            replace(
                box, row=box.row * cell, col=box.col * cell, height=box.height * cell, width=box.width * cell
            ),
        )
        for box, total, count in zip(boxes(mask.astype(np.int64), [1]), sums, counts, strict=True)
        if count >= min_cells
    ]


def average_precision(found: Sequence[tuple[float, Box]], truth: Sequence[Box], iou: float = IOU) -> float:
    """Area under precision over recall, precision made falling (Everingham et al. 2010, section 4.2, all points).

    From the surest box on each takes the true box it overlaps most, if by `iou` at least and not taken. Raises InputError
    without a true box.
    """
    if not truth:
        raise InputError("there is no true box to find", fix="take another split")
    taken: set[int] = set()
    hits = []
    for _, box in sorted(found, key=lambda each: -each[0]):
        overlaps = [overlap(box, other) for other in truth]
        best = int(np.argmax(overlaps))
        hit = overlaps[best] >= iou and best not in taken
        if hit:
            taken.add(best)
        hits.append(hit)
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(falling[np.array(hits, bool)].sum() / len(truth)) if hits else 0.0
