"""Ridge regression: closed form for a whole grid of penalties, one chosen per target on validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.heads.linear import LinearHead
from codec.heads.softmax_path import grouped_folds
from codec.heads.training_set import TrainingSet, require_apart

Matrix = npt.NDArray[np.float64]
PENALTIES = tuple(float(p) for p in np.geomspace(1e-4, 1e2, 13))


class RidgePath:
    """All ridge solutions of one training set.

    Minimises the weighted mean squared error + penalty · |w|² per target, over features standardised by their weighted
    mean and spread, bias free. One decomposition serves every penalty and every target.
    """

    def __init__(self, train: TrainingSet) -> None:
        x, y = _matrices(train)
        share = train.weight / train.weight.sum()
        self._mean, self._level = share @ x, share @ y
        self._spread = np.sqrt(share @ (x - self._mean) ** 2) + 1e-6
        root = np.sqrt(share)[:, None]
        z, rest = root * (x - self._mean) / self._spread, root * (y - self._level)
        # Many samples: the products are ten times as quick as the decomposition of z itself, and penalties are far above
        # what squaring loses.
        if len(z) > z.shape[1]:
            squares, self._right = np.linalg.eigh(z.T @ z)
            self._squares, self._along = np.maximum(squares, 0), self._right.T @ (z.T @ rest)
        else:
            left, values, right = np.linalg.svd(z, full_matrices=False)
            self._squares, self._right, self._along = values**2, right.T, values[:, None] * (left.T @ rest)

    def fit(self, penalties: npt.NDArray[np.float64]) -> LinearHead:
        """Values = x @ weight + bias for one penalty per target."""
        weight = self._right @ (self._along / (self._squares[:, None] + penalties[None, :]))
        weight /= self._spread[:, None]
        return LinearHead(weight.astype(np.float32), (self._level - self._mean @ weight).astype(np.float32))


def fit_ridge(
    train: TrainingSet,
    validation: TrainingSet | None,
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
    seed: int = 0,
) -> LinearHead:
    """A linear map n×F → n×V whose penalty, one per target, has the smallest weighted squared error on `validation`.

    `LinearHead.logits` gives the values. Without a validation set, folds of `train` that hold out whole groups choose.
    Raises InputError as `TrainingSet`, for groups on both sides, and for a target that is constant in training.
    """
    _, y = _matrices(train)
    if (flat := np.flatnonzero(np.ptp(y, axis=0) == 0)).size:
        raise InputError(f"target {flat[0]} has one value in all of training", fix="leave it out")
    if validation is not None:
        require_apart(train, validation)
        parts = [(RidgePath(train), validation)]
    else:
        fold = grouped_folds(train.groups, folds, seed)
        numbers = np.unique(fold)
        if len(numbers) < 2:
            raise InputError(
                "all samples are of one group: there is nothing to choose the penalty on",
                fix="give a validation set",
            )
        parts = [(RidgePath(train.only(fold != k)), train.only(fold == k)) for k in numbers]
    loss = np.zeros((len(penalties), y.shape[1]))
    for path, held in parts:
        x, truth = _matrices(held)
        for row, penalty in enumerate(penalties):
            head = path.fit(np.full(y.shape[1], penalty))
            loss[row] += held.weight @ (x @ head.weight + head.bias - truth) ** 2
    return RidgePath(train).fit(np.asarray(penalties, np.float64)[loss.argmin(0)])


def _matrices(samples: TrainingSet) -> tuple[Matrix, Matrix]:
    if samples.x.ndim != 2 or samples.y.ndim > 2:
        raise InputError("ridge takes vectors and values", found=(samples.x.shape, samples.y.shape))
    y = np.asarray(samples.y, np.float64)
    return samples.x.astype(np.float64), y[:, None] if y.ndim == 1 else y
