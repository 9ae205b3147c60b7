"""The linear probe: softmax regression on one vector per tile or token, its penalty chosen on validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codec.errors import InputError
from codec.heads.linear import LinearHead
from codec.heads.softmax_path import ProbePath, best_penalty, fit_path, grouped_folds
from codec.heads.training_set import TrainingSet, require_apart

# Half decades. Wide features on few tiles (512 random filters, 258 tiles) want the strongest, tokens the weakest.
PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)


def fit_probe(
    train: TrainingSet,
    validation: TrainingSet | None,
    n_classes: int,
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
    seed: int = 0,
) -> LinearHead:
    """The probe of `train` with the penalty (1/C) of the smallest weighted log-loss on `validation`.

    Vectors n×F, classes n. Without a validation set the penalty is chosen by folds of `train` that hold out whole groups.
    Tested on nothing here: what scores the head must be in neither. Raises InputError for a single class, labels outside
    0 … n_classes−1, groups on both sides, and a single group where folds are needed.
    """
    train.require_classes(n_classes)
    if validation is not None:
        require_apart(train, validation)
        path = ProbePath(train.x, _classes(train), n_classes, train.weight)
        parts = [(path, validation.x, _classes(validation), validation.weight)]
    else:
        fold = grouped_folds(train.groups, folds, seed)
        if len(np.unique(fold)) < 2:
            raise InputError(
                "all samples are of one group: there is nothing to choose the penalty on",
                fix="give a validation set",
            )
        parts = []
        for k in np.unique(fold):
            fit, held = train.only(fold != k), train.only(fold == k)
            parts.append(
                (
                    ProbePath(fit.x, _classes(fit), n_classes, fit.weight),
                    held.x,
                    _classes(held),
                    held.weight,
                )
            )
    penalty = best_penalty(parts, penalties)
    return fit_path(train.x, _classes(train), n_classes, [penalty], train.weight)[0]


def _classes(samples: TrainingSet) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if samples.x.ndim != 2 or samples.y.ndim != 1:
        raise InputError(
            "a probe takes one vector and one class per sample",
            found=(samples.x.shape, samples.y.shape),
            fix="pool the tokens (`pooled`) or take them one by one (`by_token`)",
        )
    return samples.y.astype(np.int64)
