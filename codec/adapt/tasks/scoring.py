"""The metrics of the published tasks, over a whole split: from one confusion matrix (row: truth, column: answer)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from codec.adapt.adapted import Adapted
from codec.adapt.tasks.recipe import PaperTask
from codec.adapt.tasks.tiling import Cut, cut, joined, tiles_of_picture
from codec.adapt.training import NO_CLASS, Labelled, LinearTokenHead, logits
from codec.data.samples import Sample, SampleSet
from codec.errors import InputError

FloatVector = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_AT_A_TIME = 64  # tiles


def confusion(truth: IntArray, found: IntArray, classes: int) -> IntArray:
    """K×K; what has no class in the truth does not count."""
    known = truth != NO_CLASS
    flat = truth[known] * classes + found[known]
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def f1_of(matrix: IntArray) -> FloatVector:
    """2·hits / (truth + found) of each class; NaN for a class that does not occur in the truth."""
    return _of_classes(matrix, 2.0, 0.0)


def iou_of(matrix: IntArray) -> FloatVector:
    """hits / (truth + found − hits) of each class; NaN for a class that does not occur in the truth."""
    return _of_classes(matrix, 1.0, 1.0)


def _of_classes(matrix: IntArray, times: float, less: float) -> FloatVector:
    hits, truth = np.diag(matrix).astype(np.float64), matrix.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = times * hits / (truth + matrix.sum(0) - less * hits)
    return np.where(truth > 0, share, np.nan)


def score_of(matrix: IntArray, task: PaperTask) -> tuple[float, FloatVector]:
    """The task's metric in per cent, and what it is made of class by class. InputError: the class scored does not occur."""
    of_classes = 100 * (f1_of(matrix) if task.metric == "macro F1" else iou_of(matrix))
    counted = of_classes if task.scored_class is None else of_classes[[task.scored_class]]
    if np.isnan(counted).all():
        raise InputError("no label of the test split can be scored", fix="check the masks and the recipe")
    return float(np.nanmean(counted)), of_classes


def scored(
    adapted: Adapted, head: LinearTokenHead, samples: SampleSet, task: PaperTask, tile: int
) -> IntArray:
    """Confusion matrix of a split: of pictures, or of pixels. A few pictures are in memory at a time."""
    matrix = np.zeros((task.classes, task.classes), np.int64)
    for batch in samples.batches(max(1, _AT_A_TIME // tiles_of_picture(task, tile))):
        cuts = [cut(sample, task, tile) for sample in batch]
        answers = logits(adapted, head, _unlabelled(cuts, samples.classes))
        at = 0
        for sample, tiles in zip(batch, cuts, strict=True):
            own = answers[at : at + len(tiles.corners)]
            at += len(tiles.corners)
            found = _of_picture(own) if own.ndim == 2 else _of_pixels(own, sample, tiles)
            matrix += confusion(np.atleast_1d(sample.target), found, task.classes)
    return matrix


def _unlabelled(cuts: list[Cut], classes: tuple[str, ...]) -> Labelled:
    pixels = np.concatenate([c.pixels for c in cuts])
    validity = np.concatenate([c.validity for c in cuts])
    nothing = np.full(len(pixels), NO_CLASS, np.int64)
    return Labelled(pixels, np.ones(pixels.shape[:2], np.bool_), validity, nothing, classes)


def _of_picture(answers: npt.NDArray[np.float32]) -> IntArray:
    """n×K of the tiles of a picture → its class: the largest mean probability."""
    shares = torch.from_numpy(answers).softmax(-1).mean(0)
    return np.array([int(shares.argmax())], np.int64)


def _of_pixels(answers: npt.NDArray[np.float32], sample: Sample, tiles: Cut) -> IntArray:
    """n×h×w×K of the tokens of a picture → H×W classes; logits are interpolated linearly between the tokens' centres."""
    side = tiles.pixels.shape[-1]
    fine = F.interpolate(torch.from_numpy(answers).permute(0, 3, 1, 2), size=(side, side), mode="bilinear")
    whole = joined(fine.permute(0, 2, 3, 1).numpy(), tiles.corners, *sample.target.shape)
    return whole.argmax(-1).astype(np.int64)
