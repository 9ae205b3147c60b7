"""Labelled pictures of any size, read one at a time: what every reader of a foreign layout returns.

    folder or file ──reader──▶ SampleSet ──batches──▶ Samples ──tiles──▶ LabelledTiles

A set knows its names and, where the layout says so without opening pictures, its labels; pixels are read when asked for, so
a set may be larger than memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from codec.data.labelled import UNLABELLED, LabelledTiles, place_bands, token_labels
from codec.data.raster import Raster
from codec.errors import InputError
from codec.types import BoolArray, FloatArray

IntArray = npt.NDArray[np.int64]
Task = Literal["class", "labels", "mask"]  # one class; 0/1 for each class; a class per pixel


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and what is asked of it."""

    image: Raster
    target: IntArray  # () class, (L,) 0 or 1 of each class, or H×W class per pixel; −1: none
    place: str  # samples of one place belong to one split

    def __post_init__(self) -> None:
        if self.target.ndim == 2 and self.target.shape != self.image.validity.shape:
            raise InputError(
                "mask and picture differ in size",
                path=self.image.name,
                expected=self.image.validity.shape,
                found=self.target.shape,
                fix="resample the mask to the grid of its picture, or leave the pair out",
            )


@dataclass(frozen=True, slots=True)
class SampleSet(Sequence[Sample]):
    """Samples by number. `read` opens one; nothing else touches pixels."""

    name: str
    task: Task
    classes: tuple[str, ...]
    names: tuple[str, ...]  # of the samples, unique
    read: Callable[[int], Sample]
    labels: IntArray | None = None  # N, where the task is `class` and known without opening pictures
    notes: tuple[str, ...] = ()  # what the layout held that was not read, said once

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError(f"set {self.name!r} has no samples", fix="check the folder and the split")
        if len(set(self.names)) != len(self.names):
            twice = Counter(self.names).most_common(1)[0][0]
            raise InputError(f"set {self.name!r} has two samples of one name", found=twice, fix="rename one")
        if self.labels is not None and self.labels.shape != (len(self.names),):
            raise InputError(
                f"set {self.name!r} needs one label per sample",
                expected=len(self.names),
                found=self.labels.shape,
            )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.read(index % len(self))

    def __iter__(self) -> Iterator[Sample]:
        return (self.read(i) for i in range(len(self)))

    def only(self, names: Iterable[str]) -> SampleSet:
        """The samples with these names, in that order. A name that is not there raises InputError."""
        where = {name: i for i, name in enumerate(self.names)}
        wanted = tuple(names)
        for name in wanted:
            if name not in where:
                raise InputError(
                    f"set {self.name!r} has no sample {name!r}",
                    fix="make the split table from this set, or restore the file",
                )
        index = [where[name] for name in wanted]
        labels = None if self.labels is None else self.labels[index]
        read = self.read
        return replace(self, names=wanted, labels=labels, read=lambda i: read(index[i]))

    def batches(self, size: int) -> Iterator[list[Sample]]:
        """Samples in order, `size` at a time; only one batch is in memory."""
        if size < 1:
            raise InputError("a batch has at least one sample", found=size)
        for start in range(0, len(self), size):
            yield [self.read(i) for i in range(start, min(start + size, len(self)))]


def require_two_of_each(labels: IntArray, classes: tuple[str, ...], path: object) -> None:
    """A class needs a sample to learn from and one to be scored on; fewer raises InputError."""
    counts = np.bincount(labels, minlength=len(classes))
    few = [f"{classes[i]} ({counts[i]})" for i in np.nonzero(counts < 2)[0]]
    if few:
        raise InputError(
            f"a class needs two samples or more: {', '.join(few[:5])}",
            path=path,
            fix="add pictures to the class or remove its folder",
        )


def _starts(length: int, tile: int, name: str) -> range:
    """First pixels of the tiles along one side: as many as fit, centred."""
    n = length // tile
    if n == 0:
        raise InputError(
            f"the picture is smaller than a tile of {tile} pixels",
            path=name,
            found=length,
            fix="ask for a smaller tile",
        )
    first = (length - n * tile) // 2
    return range(first, first + n * tile, tile)


def tiles(
    samples: Iterable[Sample],
    classes: tuple[str, ...],
    bands: tuple[str, ...],
    tile: int = 64,
    patch: int = 8,
) -> LabelledTiles:
    """All whole tiles of the samples, centred in each picture; bands in the order asked for, absent ones 0.

    A tile has the class of its picture (task `class`) or a class per `patch` pixels (task `mask`; tiles without any
    are left out). A group is one place: tiles of a place are never split between fitting and scoring. Raises InputError
    where a picture is smaller than a tile, has none of the bands, or where nothing is left.
    """
    if tile < 1 or tile % patch:
        raise InputError("a tile is a whole number of patches", expected=f"a multiple of {patch}", found=tile)
    pixels: list[FloatArray] = []
    present: list[BoolArray] = []
    validity: list[BoolArray] = []
    labels: list[IntArray] = []
    groups: list[int] = []
    places: dict[str, int] = {}
    for sample in samples:
        image, place = sample.image, places.setdefault(sample.place, len(places))
        if not set(image.bands) & set(bands):
            raise InputError(
                "the picture has none of the bands asked for",
                path=image.name,
                expected=bands,
                found=image.bands,
                fix="name its bands, or choose an encoder of those bands",
            )
        if sample.target.ndim == 1:
            raise InputError("a vector of labels belongs to a picture, not to its tiles", path=image.name)
        for row in _starts(image.height, tile, image.name):
            for col in _starts(image.width, tile, image.name):
                window = np.s_[row : row + tile, col : col + tile]
                label = sample.target
                if label.ndim == 2:
                    label = token_labels(np.where(image.validity[window], label[window], UNLABELLED), patch)
                    if (label == UNLABELLED).all():
                        continue
                placed, there = place_bands(image.reflectance(row, col, tile, tile), image.bands, bands)
                pixels.append(placed)
                present.append(there)
                validity.append(image.validity[window])
                labels.append(label)
                groups.append(place)
    if not pixels:
        raise InputError("no labelled tile was found", fix="check the masks and their values")
    return LabelledTiles(
        np.stack(pixels),
        np.stack(present),
        np.stack(validity),
        np.stack(labels).astype(np.int64),
        np.array(groups, np.int64),
        classes,
    )
