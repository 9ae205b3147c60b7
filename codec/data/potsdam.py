"""ISPRS Potsdam: 38 true orthophotos of 6000×6000 pixels at 5 cm with six classes, as colours.

The contest's own page could not be read; the layout is confirmed by two readers of it that agree: microsoft/torchgeo
`torchgeo/datasets/potsdam.py` (commit 0798ea8: names, colours, split) and open-mmlab/mmsegmentation
`tools/dataset_converters/potsdam.py` (50546da: names, colours, split).
- `top_potsdam_<row>_<col>_RGB|IRRG|RGBIR.tif`, bytes; labels `top_potsdam_<row>_<col>_label.tif` in RGB colours, and
  `…_label_noBoundary.tif`, where borders of objects are black and do not count.
- 24 tiles were given with labels to participants (train), 14 were held back (test). There is no official validation part.

Colours are read by which half of 0–255 each channel lies in, not exactly: two published label files are off the palette
(4_12 a lossy copy, 6_7 with cars of 252, 255, 0), and an exact comparison loses their pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from codec.data.labelled import UNLABELLED
from codec.data.picture_files import PictureRule, read_indices, read_picture
from codec.data.samples import IntArray, Sample, SampleSet
from codec.errors import InputError

Product = Literal["RGB", "IRRG", "RGBIR"]
GSD_M = 0.05
CLASSES = ("impervious surface", "building", "low vegetation", "tree", "car", "clutter")
COLOURS = ((255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0))
BANDS: Mapping[str, tuple[str, ...]] = {
    "RGB": ("red", "green", "blue"),
    "IRRG": ("nir", "red", "green"),
    "RGBIR": ("red", "green", "blue", "nir"),
}
# Bytes of a camera without calibration; the convention of sensor "rgb" (docs/sensors.md), for the infrared too.
SCALING = (0.3 / 255, 0.0)
TRAIN = (
    *(f"{row}_{col}" for row in (2, 3, 4, 5) for col in (10, 11, 12)),
    *(f"{row}_{col}" for row in (6, 7) for col in (7, 8, 9, 10, 11, 12)),
)
TEST = (
    *("2_13", "2_14", "3_13", "3_14", "4_13", "4_14", "4_15"),
    *("5_13", "5_14", "5_15", "6_13", "6_14", "6_15", "7_13"),
)
_NAME = re.compile(r"top_potsdam_0*(\d+)_0*(\d+)_(RGB|IRRG|RGBIR|label|label_noBoundary)", re.IGNORECASE)
_MIDDLE = 128
_BLACK = 0


def decode_colours(rgb: npt.NDArray[np.int64], path: object = None) -> IntArray:
    """3×H×W colours → H×W classes; black is no class. A colour of no class raises InputError."""
    corner = (rgb >= _MIDDLE).astype(np.int64)
    code = corner[0] * 4 + corner[1] * 2 + corner[2]
    table = np.full(8, -2, np.int64)
    table[_BLACK] = UNLABELLED
    for index, colour in enumerate(COLOURS):
        r, g, b = (int(v >= _MIDDLE) for v in colour)
        table[r * 4 + g * 2 + b] = index
    classes = table[code]
    if (classes == -2).any():
        where = np.argwhere(classes == -2)[0]
        raise InputError(
            "the label has a colour of no class",
            path=path,
            found=tuple(int(v) for v in rgb[:, where[0], where[1]]),
            fix="use the label files of the contest",
        )
    return classes


def _files(root: Path) -> tuple[dict[tuple[str, str], Path], tuple[str, ...]]:
    """(tile, product or label) → file, below `root`; of copies the first by path, and notes on the others."""
    found: dict[tuple[str, str], Path] = {}
    copies = []
    for path in sorted(Path(root).rglob("*.tif")):
        name = _NAME.fullmatch(path.stem)
        if name is None:
            continue
        key = (f"{name[1]}_{name[2]}", name[3].lower())
        if key in found:
            copies.append(path)
        found.setdefault(key, path)
    notes = (
        (f"{len(copies)} files are there twice, the first copy is used: {copies[0].name}",) if copies else ()
    )
    return found, notes


def potsdam(
    root: Path,
    split: Literal["train", "test"] | tuple[str, ...],
    *,
    product: Product = "RGB",
    no_boundary: bool = False,
) -> SampleSet:
    """Tiles below `root`, in any folders, whole: one tile at a time is in memory (0.1 to 0.3 GB with its labels).

    `split`: an official one, or names of tiles such as `2_10`. `no_boundary`: the labels without borders of objects, which
    the contest scored on. Raises InputError for a tile without its label or picture, and for colours of no class.
    """
    files, notes = _files(Path(root))
    if not any(kind == product.lower() for _, kind in files):
        raise InputError(
            f"no tile of Potsdam as {product}",
            path=root,
            fix=f"unpack the ortho photos: top_potsdam_2_10_{product}.tif …",
        )
    tiles = {"train": TRAIN, "test": TEST}[split] if isinstance(split, str) else split
    label = "label_noboundary" if no_boundary else "label"
    for tile in tiles:
        for kind in (product.lower(), label):
            if (tile, kind) not in files:
                raise InputError(
                    f"tile {tile} has no {kind}",
                    path=root,
                    fix="unpack the missing archive, or name the tiles to read",
                )
    rule = PictureRule(bands=BANDS[product], scaling=SCALING, max_window=512)

    def read(index: int) -> Sample:
        tile = tiles[index]
        image = read_picture(files[tile, product.lower()], "potsdam", tile, rule)
        path = files[tile, label]
        return Sample(image, decode_colours(read_indices(path, colours=True), path), tile)

    return SampleSet("potsdam", "mask", CLASSES, tuple(tiles), read, notes=notes)
