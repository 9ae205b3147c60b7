"""UC Merced as tiles of aerial colour pictures: 256 px reduced to 128 by means of 2×2, cut into four of 64 px."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codec.data.labelled import LabelledTiles, place_bands
from codec.data.readers import ucmerced
from codec.data.splits import rows
from codec.errors import InputError
from codec.types import FloatArray

PICTURE, TILE = 128, 64
_NEIGHBOURS = 3  # consecutive numbers of a class that may come from one source picture


def reduced(pixels: FloatArray) -> FloatArray:
    """C×H×W of about 256 px a side → C×128×128; a few pictures are a pixel or more short: their edges are repeated."""
    size = 2 * PICTURE
    short = [max(0, size - n) for n in pixels.shape[1:]]
    whole = np.pad(pixels, [(0, 0), *((s // 2, s - s // 2) for s in short)], mode="edge")
    row, col = ((n - size) // 2 for n in whole.shape[1:])
    middle = whole[:, row : row + size, col : col + size]
    return np.asarray(middle.reshape(len(pixels), PICTURE, 2, PICTURE, 2).mean((2, 4)), np.float32)


def aerial_scenes(root: Path, split: str, bands: tuple[str, ...]) -> LabelledTiles:
    """Four tiles a picture with its class; a group is a few consecutive numbers of a class."""
    table = rows(root, "ucmerced", split)
    pixels, labels, groups = [], [], []
    for image, row in zip(ucmerced(root, split), table, strict=True):
        small = place_bands(reduced(image.reflectance(0, 0, image.height, image.width)), image.bands, bands)[
            0
        ]
        number = int("".join(c for c in Path(row["member"]).stem if c.isdigit()))
        for top in range(0, PICTURE, TILE):
            for left in range(0, PICTURE, TILE):
                pixels.append(small[:, top : top + TILE, left : left + TILE])
                labels.append(int(row["label"]))
                groups.append(1000 * int(row["label"]) + number // _NEIGHBOURS)
    classes = dict(sorted({int(row["label"]): row["class"] for row in table}.items()))
    if list(classes) != list(range(len(classes))):
        raise InputError("the labels of the split table are not 0, 1, 2 …", found=list(classes))
    present = np.array([band in image.bands for band in bands])
    n = len(pixels)
    return LabelledTiles(
        np.stack(pixels),
        np.broadcast_to(present, (n, len(bands))).copy(),
        np.ones((n, TILE, TILE), np.bool_),
        np.array(labels, np.int64),
        np.array(groups, np.int64),
        tuple(classes.values()),
    )
