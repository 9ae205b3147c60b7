"""A folder of one's own as the one evidence set of a run.

Pictures are cut into tiles of 64 pixels from their first row and column, side by side in a scene; what fills no tile is left
out. Bands and reflectance come from the files or from the caller (`PictureRule`), else the picture is refused, with one
assumption: 8-bit numbers without a scale, in files that name their own bands, are a display export, scaled as sensor `rgb`
(`docs/sensors.md`). The scaling that was taken is printed. Splits are the folder's, those of a table, or chosen by
`own_split`, which writes a table of what it chose.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import parent_process
from pathlib import Path

import numpy as np

from codec.data.image_folder import SPLIT_FOLDERS
from codec.data.labelled import place_bands, token_labels
from codec.data.picture_files import grid_of
from codec.data.raster import Raster
from codec.errors import InputError, LimitExceeded
from codec.evaluate.rate.own_folder import OwnFolder, Part, parts
from codec.evaluate.rate.own_split import (
    Bounds,
    Unit,
    cells_of,
    choose,
    given,
    groups_of,
    refuse_shared_ground,
    refuse_twins,
)
from codec.evaluate.rate.protocol import folds
from codec.evaluate.rate.sets import PATCH, TILE
from codec.evaluate.rate.targets import Evidence, Level, Target
from codec.evaluate.rate.types import UNLABELLED, IntArray, TileSet
from codec.models.bands import REFLECTANCE_MEAN
from codec.types import BoolArray, FloatArray

MOST_BYTES = 1 << 29  # of a set's pixels: a pixel rival holds them once more for each of its settings
DARKEST = -0.1  # atmospheric correction of dark water goes a little below 0
BRIGHTEST = 2.0  # median reflectance of a band; fresh snow and clouds stay below 1.2
_SAME_PIXEL = 0.01  # of the pixel size: grids closer than this have one


def own_evidence(folder: OwnFolder, bands: tuple[str, ...] | None, out: Path, split: str) -> Evidence:
    """The folder's tiles in `bands` (None: its own), with its labels and its splits; `split` is what will be scored.

    A split that is chosen here is written to `<out>/<name>-splits.csv`. Raises InputError for a folder of neither form,
    pictures of several sizes or bands, none of the bands asked for, numbers that are no reflectance, a class with one
    picture, a picture on both sides and an empty split; LimitExceeded for more pixels than a run can hold.
    """
    found = _Reader(folder, bands).read()
    units = found.units
    splits = [unit.split for unit in units]
    if folder.splits is not None:
        splits = given(units, folder.splits)
    elif not all(splits):
        splits = choose(units, Path(out) / f"{folder.name}-splits.csv", folder.name)
        refuse_shared_ground(
            units, splits
        )  # where a user says the splits, dates of one place may be on both sides
    refuse_twins(units, splits)
    known = {unit.label for unit, part in zip(units, splits, strict=True) if part == "train"}
    if not found.dense and len(known) < 2:
        raise InputError(
            "the training part holds fewer than two classes: there is nothing to learn",
            path=folder.path,
            found=", ".join(sorted(known)) or "none",
            fix="add pictures of another class, or give --splits",
        )
    evidence = found.evidence(folder.name, splits, groups_of(cells_of(units), splits))
    folds(evidence, split)  # an empty side is said before anything is computed
    if parent_process() is None:  # every worker reads the folder for itself: it is said once
        n_each = ", ".join(f"{splits.count(name)} {name}" for name in SPLIT_FOLDERS)
        n_places = len(np.unique(evidence.tiles.groups))
        said = f"{found.said()}; {len(evidence.tiles)} tiles in {n_places} places; {n_each}"
        print(f"{folder.name}: {said}", file=sys.stderr)
    return evidence


@dataclass
class _Reader:
    """Collects the tiles of pictures one after another."""

    folder: OwnFolder
    bands: tuple[str, ...] | None
    units: list[Unit] = field(default_factory=list)
    pixels: list[FloatArray] = field(default_factory=list)
    validity: list[BoolArray] = field(default_factory=list)
    labels: list[IntArray] = field(default_factory=list)
    scene: list[int] = field(default_factory=list)
    place: list[tuple[int, int]] = field(default_factory=list)
    unit: list[int] = field(default_factory=list)  # of each tile
    first: Raster | None = None
    sizes: list[float | None] = field(default_factory=list)  # of pixels, metres
    classes: tuple[str, ...] = ()
    dense: bool = False
    notes: list[str] = field(default_factory=list)

    def read(self) -> _Reader:
        number = 0
        for part in parts(self.folder):
            self.dense, self.classes = part.samples.task == "mask", part.samples.classes
            self.notes += part.samples.notes
            for index, sample in enumerate(part.samples):
                self._take(part, part.paths[index], sample.image, sample.target, sample.place, number)
                number += 1
        if not self.units:
            raise InputError(
                "no tile has a label", path=self.folder.path, fix="check the masks and their numbers"
            )
        self._check_brightness()
        return self

    def _take(self, part: Part, path: Path, image: Raster, target: IntArray, key: str, number: int) -> None:
        if self.first is None:
            self.first = image
            self._choose_bands(image, path)
        self._check_like_first(image, path)
        assert self.bands is not None
        name = f"{part.split}/{key}" if part.split else key
        n_rows, n_cols = image.height // TILE, image.width // TILE
        crs, affine = grid_of(path)
        metres = crs is not None and crs.is_projected and crs.linear_units_factor[1] == 1.0
        # The side of a square of a pixel's area: grids may be rotated.
        self.sizes.append(float(abs(affine.determinant)) ** 0.5 if metres else None)
        digest = hashlib.sha256(str(image.native.shape).encode() + image.native.tobytes()).hexdigest()
        if not self.dense:
            box = _bounds(crs, affine, (0, 0, image.height, image.width))
            self.units.append(Unit(name, part.split, self.classes[int(target)], digest, *_placed(box)))
        for row in range(n_rows):
            for col in range(n_cols):
                cut = np.s_[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
                valid = image.validity[cut]
                label = np.asarray(target, np.int64)
                if self.dense:
                    whole = valid.reshape(TILE // PATCH, PATCH, TILE // PATCH, PATCH).all(axis=(1, 3))
                    label = np.where(
                        whole, token_labels(np.where(valid, target[cut], UNLABELLED), PATCH), UNLABELLED
                    )
                    if (label == UNLABELLED).all():
                        continue
                    most = int(np.bincount(label[label != UNLABELLED]).argmax())
                    corner = (row * TILE, col * TILE)
                    box = _bounds(crs, affine, (*corner, corner[0] + TILE, corner[1] + TILE))
                    self.units.append(
                        Unit(name, part.split, self.classes[most], digest, *_placed(box), corner)
                    )
                known = np.where(valid, image.reflectance(row * TILE, col * TILE, TILE, TILE), np.float32(0))
                self.pixels.append(place_bands(known, image.bands, self.bands)[0])
                self.validity.append(valid)
                self.labels.append(label)
                self.scene.append(number)
                self.place.append((row, col))
                self.unit.append(len(self.units) - 1)
        if self.pixels and len(self.pixels) * self.pixels[0].nbytes > MOST_BYTES:
            raise LimitExceeded(
                f"more than {MOST_BYTES // self.pixels[0].nbytes} tiles of {len(self.bands)} bands",
                path=self.folder.path,
                fix="give a part of the folder",
            )

    def _choose_bands(self, image: Raster, path: Path) -> None:
        """Those asked for; without, the folder's own, known ones in the order of the encoders."""
        if self.bands is None:
            known = [band for band in REFLECTANCE_MEAN if band in image.bands]
            wanted: Sequence[str] = tuple(REFLECTANCE_MEAN)
            self.bands = (*known, *(band for band in image.bands if band not in known))
        else:
            wanted = self.bands
            known = [band for band in wanted if band in image.bands]
        if not known:
            raise InputError(
                "no band that the encoder knows",
                path=path,
                expected=", ".join(wanted),
                found=", ".join(image.bands),
                fix="name the bands of the files in their order with --bands, or choose an encoder of these bands",
            )

    def _check_like_first(self, image: Raster, path: Path) -> None:
        assert self.first is not None
        if image.bands != self.first.bands:
            raise InputError(
                "the picture has other bands than the first",
                path=path,
                expected=", ".join(self.first.bands),
                found=", ".join(image.bands),
                fix="make a folder for each kind of picture, or name the bands with --bands",
            )
        if min(image.height, image.width) < TILE:
            raise InputError(
                f"the picture is smaller than a tile of {TILE} pixels",
                path=path,
                found=f"{image.height}×{image.width}",
                fix="cut larger pictures, or leave this one out",
            )
        grids = [(one.height // TILE, one.width // TILE) for one in (self.first, image)]
        if not self.dense and grids[0] != grids[1]:
            # A picture of more tiles has larger maxima: a head would learn the size of a class's pictures.
            raise InputError(
                "pictures of classes differ in size, in whole tiles",
                path=path,
                expected=f"about {self.first.height}×{self.first.width}",
                found=f"{image.height}×{image.width}",
                fix="cut all to one size",
            )
        if not image.validity.any():
            raise InputError("the picture has no measured pixel", path=path, fix="leave it out")

    def _check_brightness(self) -> None:
        assert self.bands is not None
        assert self.first is not None
        for index, name in enumerate(self.bands):
            if name not in self.first.bands:
                continue
            values = np.concatenate([x[index][v] for x, v in zip(self.pixels, self.validity, strict=True)])
            if len(values) and not DARKEST <= float(np.median(values)) <= BRIGHTEST:
                raise InputError(
                    f"numbers of band {name} are no reflectance, their median is {float(np.median(values)):.4g}",
                    path=self.folder.path,
                    fix="say how they become reflectance, e.g. --scaling 1e-4,0",
                )

    def evidence(self, name: str, splits: Sequence[str], groups: IntArray) -> Evidence:
        """What was read, with a split and a group for each unit."""
        assert self.bands is not None
        assert self.first is not None
        unit, n = np.array(self.unit), len(self.pixels)
        present = np.array([band in self.first.bands for band in self.bands])
        tiles = TileSet(
            name, self.bands, np.stack(self.pixels), np.tile(present, (n, 1)), np.stack(self.validity),
            np.array(self.scene), np.array(self.place), groups[unit], self._gsd(),
        )  # fmt: skip
        lone = len(np.unique(tiles.scene)) == n
        level: Level = "token" if self.dense else "tile" if lone else "scene"
        target = Target("mask" if self.dense else "class", level, np.stack(self.labels), self.classes)
        return Evidence(tiles, (target,), np.array(splits)[unit], keeps_split=True)

    def _gsd(self) -> float | None:
        sizes = [size for size in self.sizes if size is not None]
        one = len(sizes) == len(self.sizes) and max(sizes) < (1 + _SAME_PIXEL) * min(sizes)
        return sizes[0] if one else None

    def said(self) -> str:
        """What was read, so that nobody need guess it."""
        assert self.first is not None
        i = self.first
        rule = f"reflectance = {i.scale:g} · number + {i.offset:g}"
        return "; ".join([f"{len(self.sizes)} pictures of {', '.join(i.bands)}", rule, *self.notes])


def _bounds(crs: object, affine: object, box: tuple[int, int, int, int]) -> Bounds | None:
    """On the ground, of rows and columns [row, column, end row, end column]; None where the file is on no map."""
    if crs is None:
        return None
    from rasterio.warp import transform

    rows, cols = (box[0], box[0], box[2], box[2]), (box[1], box[3], box[1], box[3])
    points = [affine * (col, row) for row, col in zip(rows, cols, strict=True)]  # type: ignore[operator]
    xs, ys = zip(*points, strict=True)
    lon, lat = transform(crs, "EPSG:4326", xs, ys)
    return min(lat), min(lon), max(lat), max(lon)


def _placed(box: Bounds | None) -> tuple[tuple[float, float] | None, Bounds | None]:
    """Centre and bounds."""
    return (None, None) if box is None else (((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), box)
