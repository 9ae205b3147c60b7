"""Unlabelled pictures of any size as training tiles: MillionAID, and every other folder of pictures.

MillionAID is a folder of some 990,000 pictures without classes (`test/`) and 10,000 in folders of classes three levels deep
(`train/`), RGB, from 110 pixels a side. Training needs no classes: every picture below a folder is taken, whatever lies
between. A picture is opened when a step asks for it.

A training view is the published crop: a fifth to all of the picture's area, sides 3:4 to 4:3, bicubic to the tile; the flip
is that of all samples. What is measured on is the largest square in the middle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from codec.data.picture_files import PICTURE_SUFFIXES, PictureRule, read_picture
from codec.data.raster import Raster
from codec.errors import InputError
from codec.types import FloatArray

AREA = (0.2, 1.0)  # of the picture; torchvision's RandomResizedCrop as the published code calls it
ASPECT = (3 / 4, 4 / 3)
_ATTEMPTS = 10
_RULE = PictureRule(bands=("red", "green", "blue"), sensor="rgb")


@dataclass(frozen=True)
class Pictures:
    """Pictures of one kind, and the bands and tile that they are shown in."""

    paths: tuple[Path, ...]
    root: Path
    tile: int
    rule: PictureRule = _RULE

    @property
    def bands_of(self) -> tuple[str, ...]:
        """Names of the B bands."""
        assert self.rule.bands is not None
        return self.rule.bands

    @cached_property
    def bands(self) -> npt.NDArray[np.uint8]:
        """N×B: every picture has all."""
        return np.ones((len(self.paths), len(self.bands_of)), np.uint8)

    @cached_property
    def image(self) -> npt.NDArray[np.int32]:
        """N: each is an image of its own."""
        return np.arange(len(self.paths), dtype=np.int32)

    @cached_property
    def identity(self) -> bytes:
        """SHA-256 of names and sizes of the files: what a run's data are known by, without opening a million of them."""
        digest = hashlib.sha256(f"{self.tile} {self.bands_of}".encode())
        for path in self.paths:
            digest.update(f"{path.relative_to(self.root).as_posix()} {path.stat().st_size}\n".encode())
        return digest.digest()

    def shown(self, index: npt.NDArray[np.int64], rng: np.random.Generator | None) -> FloatArray:
        """n×B×T×T reflectance of some pictures: random crops, or without a generator the middle."""
        return np.stack([self._one(self.paths[i], rng) for i in index])

    def _one(self, path: Path, rng: np.random.Generator | None) -> FloatArray:
        picture = read_picture(path, self.root.name, path.name, self.rule)
        if not picture.validity.all():
            raise InputError(
                "the picture has pixels that were not measured", path=path, fix="leave it out of the folder"
            )
        row, col, height, width = middle(picture) if rng is None else crop(picture, rng)
        x = torch.from_numpy(picture.reflectance(row, col, height, width))[None]
        size = (self.tile, self.tile)
        y = F.interpolate(x, size=size, mode="bicubic", align_corners=False, antialias=True)
        return np.asarray(y[0].numpy(), np.float32)


def pictures_below(root: Path, tile: int, rule: PictureRule = _RULE) -> Pictures:
    """Every picture in any folder below `root`, by path. Raises InputError for a folder that is not there or holds none."""
    root = Path(root)
    if not root.is_dir():
        raise InputError("there is no such folder", path=root, fix="name a folder of pictures")
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file())
    if not paths:
        raise InputError(
            "no folder below holds a picture", path=root, expected=", ".join(sorted(PICTURE_SUFFIXES))
        )
    return Pictures(tuple(paths), root, tile, rule)


def crop(picture: Raster, rng: np.random.Generator) -> Sequence[int]:
    """Row, column, height and width of a random crop; where none fits in ten draws, the middle."""
    area = picture.height * picture.width
    for _ in range(_ATTEMPTS):
        wanted = area * rng.uniform(*AREA)
        aspect = float(np.exp(rng.uniform(*np.log(ASPECT))))
        height, width = round((wanted / aspect) ** 0.5), round((wanted * aspect) ** 0.5)
        if 0 < height <= picture.height and 0 < width <= picture.width:
            row = int(rng.integers(picture.height - height + 1))
            return row, int(rng.integers(picture.width - width + 1)), height, width
    return middle(picture)


def middle(picture: Raster) -> Sequence[int]:
    """Of the largest square."""
    side = min(picture.height, picture.width)
    return (picture.height - side) // 2, (picture.width - side) // 2, side, side
