"""Maps asked of decoded planes: mixed-rate linear heads, and what they say as sums that ways of sending are compared by.

Intervals are those of `codec.evaluate.rate.curve_intervals`: places are drawn for all ways together, and encoders of several
seeds take the place of its resamples of the training set. Heads of one encoder are fitted on several resamples of the
training places, whose answers are pooled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from codec.evaluate.intervals import confusion_sums, mean_iou_of, mean_of
from codec.evaluate.rate.curve_intervals import Bootstrap, Measured, size_sums
from codec.evaluate.rate.curves import curve, utility_at
from codec.evaluate.rate.protocol import Fold
from codec.evaluate.rate.scoring import Answers, answers, choose_penalty
from codec.evaluate.rate.targets import Samples
from codec.evaluate.rate.types import FloatVector, IntArray
from codec.heads.regimes import UNCOMPRESSED
from codec.types import BoolArray, FloatArray

DRAWS = 400


@dataclass(frozen=True)
class Task:
    """What is asked: a class per cell of a grid, or per tile (a grid of one cell)."""

    name: str
    labels: IntArray  # N×H×W, −1 none
    classes: tuple[str, ...]
    groups: IntArray  # N, places
    folds: Sequence[Fold]

    @property
    def known(self) -> BoolArray:
        return np.asarray(self.labels >= 0, np.bool_)

    @property
    def samples(self) -> Samples:
        tile = np.nonzero(self.known)[0].astype(np.int64)
        return Samples(self.labels[self.known], self.groups[tile], tile)

    @property
    def sides(self) -> list[tuple[BoolArray, BoolArray]]:
        """Of every fold the samples to fit on and those to score."""
        tile = self.samples.tile
        return [(f.fit[tile], f.held[tile]) for f in self.folds if f.held[tile].any()]

    @property
    def scored(self) -> BoolArray:
        """N: tiles with a scored sample."""
        held = np.any([fold.held for fold in self.folds], axis=0)
        return np.asarray(held & self.known.any(axis=(1, 2)), np.bool_)

    @property
    def how(self) -> Bootstrap:
        statistic = mean_of if self.labels.shape[1:] == (1, 1) else mean_iou_of
        return replace(Bootstrap(), draws=DRAWS, statistic=statistic)


def training_places(held_out: Sequence[Fold], split: npt.NDArray[np.str_]) -> list[Fold]:
    """Folds inside the training part alone, for choices: neither side holds a tile of another part."""
    train = np.asarray(split == "train")
    found = [Fold(fold.fit & train, fold.held & train) for fold in held_out]
    return [fold for fold in found if fold.held.any() and fold.fit.any()]


def sums(
    task: Task,
    uncompressed: FloatArray,
    settings: Mapping[str, FloatArray],
    sizes: Mapping[str, FloatVector],
    resamples: int,
) -> FloatVector:
    """(1 + S)×G×F: `uncompressed` N×H×W×F by a head that saw nothing else, then every setting by one mixed-rate head."""
    samples, sides, known = task.samples, task.sides, task.known
    features = {UNCOMPRESSED: uncompressed[known], **{name: x[known] for name, x in settings.items()}}
    n_classes = len(task.classes)
    penalties = [
        choose_penalty(features[UNCOMPRESSED][fit], samples.part(fit), n_classes) for fit, _ in sides
    ]
    mean = {name: float(size.mean()) for name, size in sizes.items()}
    found = []
    for regime, seen in (("one", {UNCOMPRESSED: features[UNCOMPRESSED]}), ("mixed", features)):
        said = answers(
            seen, mean, samples, sides, n_classes, regime, n_resamples=resamples, penalties=penalties  # type: ignore[arg-type]
        )  # fmt: skip
        found += [_sums(task, samples, said, s) for s in range(len(seen)) if regime == "one" or s > 0]
    return np.stack(found)


def _sums(task: Task, samples: Samples, said: Answers, setting: int) -> FloatVector:
    """G×F of one setting, over all resamples."""
    held = np.isfinite(said.loss[0, 0])
    y, groups = np.asarray(samples.y[held], np.int64), samples.groups[held]
    predicted = said.predicted[:, setting, held].astype(np.int64)
    if task.labels.shape[1:] != (1, 1):
        return np.asarray(confusion_sums(y, predicted, groups, len(task.classes)).sum(0), np.float64)
    names, index = np.unique(groups, return_inverse=True)
    right = np.bincount(index, (predicted == y).sum(0), len(names))
    return np.stack([right, np.bincount(index, minlength=len(names)) * float(len(predicted))], axis=1)


@dataclass(frozen=True)
class Way:
    """One way of sending, as all encoders together found it."""

    uncompressed: FloatVector  # E×G×F
    measured: Measured  # sums E×S×G×F, sizes S×G×2

    @classmethod
    def of(cls, task: Task, found: Sequence[FloatVector], sizes: Sequence[FloatVector]) -> Way:
        """`found`: `sums` of each encoder; `sizes`: S×N bytes of each, in the same order of settings."""
        table, scored = np.stack(found), task.scored
        mean = np.mean(sizes, axis=0)[:, scored]
        return cls(table[:, 0], Measured(table[:, 1:], size_sums(mean, task.groups[scored])))


def equal_bytes_score(task: Task, found: FloatVector, sizes: FloatVector, at: Sequence[float]) -> float:
    """Mean score of one encoder over some sizes inside the curve, for choices."""
    way = Way.of(task, [found], [sizes])
    totals = way.measured.sizes.sum(1)
    utility = task.how.statistic(way.measured.sums[0].sum(1))
    return float(np.nanmean(utility_at(curve(totals[:, 0] / totals[:, 1], utility), at)))
