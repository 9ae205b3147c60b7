"""The linear probe of the evaluation: softmax regression, its penalty chosen by folds that hold out whole places.

The solver is `codec.heads.softmax_path`; heads with a validation set of their own use `codec.heads.probe`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codec.heads.linear import LinearHead
from codec.heads.softmax_path import (
    IntArray,
    ProbePath,
    best_penalty,
    cross_entropy,
    fit_path,
    grouped_folds,
    principal_axes,
)
from codec.types import FloatArray

__all__ = ["PENALTIES", "cross_entropy", "fit_path", "fit_probe", "grouped_folds", "principal_axes"]

# Reaches further than the heads' own grid: wide rivals (512 random filters on 258 tiles) want the strongest.
PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)


def fit_probe(
    x: FloatArray,
    y: IntArray,
    groups: IntArray,
    n_classes: int,
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
    seed: int = 0,
) -> LinearHead:
    """A probe on N×F features, with the penalty of the smallest log-loss over grouped folds of these samples.

    From the strongest on; when two in a row did worse than the best, weaker ones are left out.
    """
    fold = grouped_folds(groups, folds, seed)
    parts = [
        (ProbePath(x[fold != k], y[fold != k], n_classes), x[fold == k], y[fold == k], None)
        for k in np.unique(fold)
        if (fold != k).any()
    ]
    return fit_path(x, y, n_classes, [best_penalty(parts, penalties)])[0]
