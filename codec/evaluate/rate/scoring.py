"""Heads on decoded features, in three regimes, over resamples of the training set: what each says of every held-out sample.

The regimes are those of `codec.heads.regimes`. The penalty is chosen on uncompressed features, by groups inside the training
part, once for all regimes and resamples: no regime is tuned better than another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.evaluate.probes import PENALTIES, cross_entropy, grouped_folds
from codec.evaluate.rate.protocol import resamples
from codec.evaluate.rate.targets import Samples
from codec.heads.linear import LinearHead
from codec.heads.regimes import UNCOMPRESSED, Regime, head_for, rates_to_mix, training_sets
from codec.heads.ridge import PENALTIES as RIDGE_PENALTIES
from codec.heads.ridge import RidgePath
from codec.heads.softmax_path import ProbePath
from codec.heads.training_set import TrainingSet
from codec.types import BoolArray, FloatArray

_TOKEN_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # thousands of tokens need less than hundreds of tiles
_MANY = 2000
Labels = npt.NDArray[np.int64] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answers:
    """What R resampled heads said of n held-out samples at each of S settings; NaN where a sample was in no held part."""

    settings: tuple[str, ...]  # `uncompressed` first
    predicted: npt.NDArray[np.float32]  # R×S×n: class number, or the (first) number itself
    loss: npt.NDArray[np.float32]  # R×S×n: log-loss in nats, or mean squared error

    @property
    def n(self) -> int:
        return int(self.predicted.shape[2])


def choose_penalty(x: FloatArray, samples: Samples, n_classes: int, seed: int = 0) -> float:
    """The penalty of the smallest held-out loss over grouped folds; n_classes 0 is a regression."""
    grid = RIDGE_PENALTIES if not n_classes else _TOKEN_PENALTIES if len(x) > _MANY else PENALTIES
    fold = grouped_folds(samples.groups, 5, seed)
    if len(np.unique(fold)) < 2:
        raise InputError(
            "all samples to fit on are of one place: there is nothing to choose the penalty on",
            fix="use more places, or fewer folds",
        )
    total = np.zeros(len(grid))
    for k in np.unique(fold):
        held = fold == k
        rest = samples.part(~held)
        (of,) = training_sets("one", {UNCOMPRESSED: x[~held]}, _labels(rest, n_classes), rest.groups).values()
        for i, head in enumerate(_path(of, n_classes, grid)):
            total[i] += head.answer(x[held], samples.y[held])[1].sum()
    return float(grid[int(total.argmin())])


class _Head(Protocol):
    def answer(self, x: FloatArray, y: Labels) -> tuple[FloatArray, FloatArray]:
        """What the head says of n samples, and its loss at each."""


@dataclass(frozen=True)
class _Classes:
    head: LinearHead

    def answer(self, x: FloatArray, y: Labels) -> tuple[FloatArray, FloatArray]:
        logits = self.head.logits(x)
        loss = cross_entropy(logits, np.asarray(y, np.int64))
        return logits.argmax(1).astype(np.float32), loss.astype(np.float32)


@dataclass(frozen=True)
class _Numbers:
    head: LinearHead

    def answer(self, x: FloatArray, y: Labels) -> tuple[FloatArray, FloatArray]:
        found = self.head.logits(x)
        loss = np.square(found - y.reshape(found.shape)).mean(1)
        return found[:, 0].astype(np.float32), loss.astype(np.float32)


def _labels(samples: Samples, n_classes: int) -> npt.NDArray[np.int64] | FloatArray:
    return np.asarray(samples.y, np.int64) if n_classes else np.asarray(samples.y, np.float32)


def _path(of: TrainingSet, n_classes: int, penalties: Sequence[float]) -> list[_Head]:
    """One head per penalty."""
    if not n_classes:
        ridge = RidgePath(of)
        return [_Numbers(ridge.fit(np.array([penalty]))) for penalty in penalties]
    path = ProbePath(of.x, np.asarray(of.y, np.int64), n_classes, of.weight)
    fitted = {penalty: path.fit(penalty) for penalty in sorted(penalties, reverse=True)}
    return [_Classes(fitted[penalty]) for penalty in penalties]


def answers(
    features: Mapping[str, FloatArray],
    bytes_per_tile: Mapping[str, float],
    samples: Samples,
    folds: Sequence[tuple[BoolArray, BoolArray]],
    n_classes: int,
    regime: Regime,
    *,
    n_resamples: int = 5,
    seed: int = 0,
    penalties: Sequence[float] | None = None,
) -> Answers:
    """Heads of one regime, for every fold and resample, asked at every setting.

    `features`: setting → n×F, `uncompressed` among them; `bytes_per_tile` of the others, which says what a mix takes;
    `folds`: (fit, held) over the n samples; `penalties`: one per fold (None: chosen here). Raises InputError for features
    that are not finite, a fold that fits on a single class, and a missing `uncompressed`.
    """
    _check(features, samples, folds, n_classes)
    y = _labels(samples, n_classes)
    settings = (UNCOMPRESSED, *(s for s in features if s != UNCOMPRESSED))
    seen = dict(features)
    if regime == "mixed":
        seen = {name: features[name] for name in (UNCOMPRESSED, *rates_to_mix(bytes_per_tile))}
    predicted = np.full((n_resamples, len(settings), len(samples.y)), np.nan, np.float32)
    loss = np.full_like(predicted, np.nan)
    for number, (fit, held) in enumerate(folds):
        if penalties is None:
            chosen = choose_penalty(features[UNCOMPRESSED][fit], samples.part(fit), n_classes, seed)
        else:
            chosen = penalties[number]
        for r, kept in enumerate(resamples(samples.groups[fit], n_resamples, seed)):
            use = np.flatnonzero(fit)[kept]
            sets = training_sets(
                regime, {name: x[use] for name, x in seen.items()}, y[use], samples.groups[use]
            )
            heads = {name: _path(of, n_classes, [chosen])[0] for name, of in sets.items()}
            for s, setting in enumerate(settings):
                head = heads[head_for(regime, setting)]
                predicted[r, s, held], loss[r, s, held] = head.answer(
                    features[setting][held], samples.y[held]
                )
    return Answers(settings, predicted, loss)


def _check(
    features: Mapping[str, FloatArray],
    samples: Samples,
    folds: Sequence[tuple[BoolArray, BoolArray]],
    n_classes: int,
) -> None:
    if UNCOMPRESSED not in features:
        raise InputError("heads need the uncompressed features", expected=UNCOMPRESSED, found=list(features))
    for setting, x in features.items():
        if x.shape[0] != len(samples.y):
            raise InputError(
                f"features at {setting!r} are not those of the samples",
                expected=len(samples.y),
                found=x.shape,
            )
        if not np.isfinite(x).all():
            raise InputError(f"features at {setting!r} are not finite")
    for fit, held in folds:
        if (fit & held).any():
            raise InputError("a sample is both fitted on and scored", found=int((fit & held).sum()))
        if n_classes and len(np.unique(samples.y[fit])) < 2:
            raise InputError("the training part of a fold holds a single class", fix="use fewer folds")
