"""Dense tasks on 8×8-pixel tokens: land use, water, cloud/land/water. Blocked folds, linear probe.

Pixels saturate these scenes: a token's own statistics (log mean, std, min, max per band) are the rival to stay level
with, and the claim is "not worse", never "better". `val` reads train and val windows; `unseen` adds the test windows.
Pretraining saw the pixels of the train windows, without labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.data import masks
from codec.data.labelled import LULC_CLASSES, UNLABELLED, WATER_CLASSES, token_labels
from codec.data.raster import Raster
from codec.errors import InputError
from codec.evaluate.bank import Bank
from codec.evaluate.features import teacher_tokens, tokens, tokens_and_spectra, without_position
from codec.evaluate.folds import quick_held_out_logits
from codec.evaluate.intervals import (
    FloatVector,
    accuracy_of,
    confusion_sums,
    macro_f1_of,
    mean_iou_of,
)
from codec.evaluate.measured import Metric, compared, difference_rows
from codec.evaluate.rows import Row
from codec.evaluate.scenes import HELD_OUT, eurosat
from codec.evaluate.token_maps import Picture, coarser, token_map
from codec.types import FloatArray

PATCH, TILE = 8, 64
GRID = (1e-4, 1e-3, 1e-2, 1e-1)  # thousands of tokens need less penalty than hundreds of tiles
SKY_CLASSES = ("land", "water", "cloud")
CONTEXT = "pixels-with-context"
_UNIT = "% [95% bootstrap over blocks and seeds]"
METRICS = (
    Metric("accuracy", _UNIT, 100.0, accuracy_of),
    Metric("macro-f1", _UNIT, 100.0, macro_f1_of),
    Metric("mean-iou", _UNIT, 100.0, mean_iou_of),
)
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture and the class and block of each of its tokens; −1: no class."""

    picture: Picture
    labels: IntArray  # h×w
    blocks: IntArray  # h×w


def blocks_of(shape: tuple[int, int], side: int, place: int) -> IntArray:
    """Number of the side×side-token block that each token lies in, apart from those of other places."""
    row, col = np.mgrid[0 : shape[0], 0 : shape[1]] // side
    return np.asarray(1_000_000 * place + 1000 * row + col, np.int64)


def _labelled(image: Raster, mask: IntArray, side: int, place: int) -> Labelled:
    pixels = image.reflectance(0, 0, image.height, image.width)
    picture = Picture(pixels, image.bands, image.validity).cropped(PATCH)
    labels = token_labels(np.where(picture.validity, mask[tuple(map(slice, picture.validity.shape))], -1))
    height, width = labels.shape
    whole = picture.validity.reshape(height, PATCH, width, PATCH).all(axis=(1, 3))
    return Labelled(picture, np.where(whole, labels, UNLABELLED), blocks_of((height, width), side, place))


def landuse(data: Path, splits: Sequence[str]) -> list[Labelled]:
    """Land use of the TerraMind places, level 1C; blocks of 56 pixels. The snow place of test has one class alone."""
    found = [products[0] for split in splits for _, products in masks.landuse(data, split)]
    return [_labelled(image, mask, 7, number) for number, (image, mask) in enumerate(found)]


def water(data: Path, splits: Sequence[str]) -> list[Labelled]:
    """Water of the flood chip; blocks of 64 pixels. The splits are neighbouring columns of one chip."""
    found = [one for split in splits for one in masks.flood(data, split)]
    return [_labelled(image, mask, 8, number) for number, (image, mask) in enumerate(found)]


def sky(data: Path, splits: Sequence[str]) -> list[Labelled]:
    """Cloud, land, water of the coastal series; a block is 64 pixels of the place on all dates."""
    found = [one for split in splits for one in masks.coast(data, split, masks.LAND_WATER_CLOUD)]
    return [_labelled(image, mask, 8, 0) for image, mask in found]


TASKS: Mapping[str, tuple[Callable[[Path, Sequence[str]], list[Labelled]], tuple[str, ...]]] = {
    "landuse": (landuse, tuple(LULC_CLASSES.values())),
    "water": (water, WATER_CLASSES),
    "sky": (sky, SKY_CLASSES),
}


def patch_statistics(picture: Picture, *, context: bool) -> FloatArray:
    """Per token the log mean of each band, h×w×B; with `context` also log std, min and max, h×w×4B."""
    bands, height, width = picture.pixels.shape
    x = picture.pixels.reshape(bands, height // PATCH, PATCH, width // PATCH, PATCH)
    parts = [np.log(np.maximum(x.mean((2, 4)), 1e-4))]
    if context:
        parts += [np.log(x.std((2, 4)) + 1e-4), x.min((2, 4)), x.max((2, 4))]
    return np.concatenate(parts).transpose(1, 2, 0).astype(np.float32)


def gathered(maps: Sequence[FloatArray], images: Sequence[Labelled]) -> FloatArray:
    """Features of all labelled tokens, N×F."""
    return np.concatenate([m[i.labels != UNLABELLED] for m, i in zip(maps, images, strict=True)])


def token_features(bank: Bank, images: Sequence[Labelled]) -> dict[str, list[FloatArray]]:
    """Feature name → one N×F per seed."""
    config = bank.encoders[0].config
    if config.tile != TILE or PATCH % config.patch:
        raise InputError(
            "dense tasks are laid out for 64-pixel tiles and patches that divide 8",
            found=(config.tile, config.patch),
        )

    def of(function: Callable[..., FloatArray], patch: int = config.patch) -> FloatArray:
        laid = (token_map(function, i.picture, tile=TILE, patch=patch, margin=bank.margin)[0] for i in images)
        return gathered([coarser(m, PATCH // patch) for m in laid], images)

    spectra = gathered([patch_statistics(i.picture, context=False) for i in images], images)
    context = gathered([patch_statistics(i.picture, context=True) for i in images], images)
    ours = [of(partial(tokens, encoder)) for encoder in bank.encoders]
    name = bank.subject.name
    found = {
        "pixel-spectra": [spectra],
        CONTEXT: [context],
        "random-twin": [of(partial(tokens, twin)) for twin in bank.twins],
        name: ours,
        f"{name}+spectral": [of(partial(tokens_and_spectra, encoder)) for encoder in bank.encoders],
        f"{name}+pixels": [np.concatenate([x, context], axis=1) for x in ours],
    }
    if "teacher" in bank.functions:
        pool_of = eurosat(bank.data, ("train",)).with_bands(images[0].picture.bands)
        pool = teacher_tokens(bank.teacher, pool_of)
        found["teacher"] = [of(lambda s: without_position(teacher_tokens(bank.teacher, s), pool), PATCH)]
    return {feature: seeds for feature, seeds in found.items() if seeds}


def scored(
    features: Mapping[str, Sequence[FloatArray]], labels: IntArray, blocks: IntArray, n_classes: int
) -> dict[str, FloatVector]:
    """Feature → confusion sums S×G×K·K of probes that saw no token of the same block."""
    return {
        feature: confusion_sums(
            labels,
            np.stack(
                [quick_held_out_logits(x, labels, blocks, n_classes, grid=GRID).argmax(1) for x in seeds]
            ),
            blocks,
            n_classes,
        )
        for feature, seeds in features.items()
    }


def task_rows(bank: Bank, place: str, sums: Mapping[str, FloatVector], n: int) -> list[Row]:
    """All features and metrics of one task: the subject against each; with its spectral plane (`+spectral`, everything
    that is sent) and with full pixels beside it (`+pixels`) against pixels with context.
    """
    name, out = bank.subject.name, []
    for metric in METRICS:
        out += compared(bank.subject, place, metric, sums, n)
        for more in (f"{name}+spectral", f"{name}+pixels"):
            out += difference_rows(
                bank.subject, f"{place}/{more}", metric, sums[more], (CONTEXT, sums[CONTEXT]), n
            )
    return out


def rows(bank: Bank, split: str) -> list[Row]:
    """`dense-<split>/<task>/<feature>`, metrics accuracy, macro-f1 and mean-iou."""
    out = []
    for task, (read, classes) in TASKS.items():
        images = [
            replace(i, picture=i.picture.only(bank.bands))
            for i in read(bank.data, ("train", *HELD_OUT[split]))
        ]
        labels = np.concatenate([i.labels[i.labels != UNLABELLED] for i in images])
        blocks = np.concatenate([i.blocks[i.labels != UNLABELLED] for i in images])
        sums = scored(token_features(bank, images), labels, blocks, len(classes))
        out += task_rows(bank, f"dense-{split}/{task}", sums, len(labels))
    return out
