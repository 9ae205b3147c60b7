"""k nearest neighbours by cosine: the head without a choice to make, hence the one to watch a regression with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.heads.training_set import TrainingSet
from codec.types import FloatArray

K_WEIGHTED, TEMPERATURE = 20, 0.07  # Wu et al. 2018, as Caron et al. 2021 use them
K_PLAIN = 5
FLOOR = 1e-6  # share of the votes of a class that got none, so that its log is finite
_ROWS = 1024  # samples compared at once


@dataclass(frozen=True, slots=True)
class NeighbourHead:
    """The training set itself: standardised to `mean` and `spread`, each vector of length 1."""

    bank: FloatArray  # M×F
    votes: FloatArray  # M×K, the sample's weight in the column of its class
    mean: FloatArray  # F
    spread: FloatArray  # F
    k: int
    temperature: float | None  # None: every neighbour's vote counts the same

    def directions(self, x: FloatArray) -> FloatArray:
        """Vectors n×F, standardised and of length 1."""
        z = (x.astype(np.float32) - self.mean) / self.spread
        return np.asarray(z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12), np.float32)

    def shares(self, x: FloatArray) -> FloatArray:
        """Share of the votes of each class, n×K."""
        found = []
        for start in range(0, len(x), _ROWS):
            near = self.directions(x[start : start + _ROWS]) @ self.bank.T  # cosines n×M
            order = np.argsort(-near, axis=1, kind="stable")[:, : self.k]
            cosine = np.take_along_axis(near, order, axis=1)
            voice = (
                np.ones_like(cosine)
                if self.temperature is None
                else np.exp((cosine - cosine[:, :1]) / self.temperature)
            )
            found.append((voice[:, :, None] * self.votes[order]).sum(1))
        total = np.concatenate(found)
        return np.asarray(total / total.sum(1, keepdims=True), np.float32)

    def logits(self, x: FloatArray) -> FloatArray:
        """Log of the shares, none below log(1e-6), n×K."""
        return np.asarray(np.log(np.maximum(self.shares(x), FLOOR)), np.float32)

    def predict(self, x: FloatArray) -> npt.NDArray[np.int64]:
        return np.asarray(self.shares(x).argmax(1), np.int64)


def fit_neighbours(
    train: TrainingSet, n_classes: int, *, k: int = K_WEIGHTED, temperature: float | None = TEMPERATURE
) -> NeighbourHead:
    """A head that votes by the k nearest tiles of `train` (vectors n×F, classes n), exp(cosine / temperature) each.

    Where tiles are there at several rates, k grows by the mean number of rates: the votes still come from k tiles' worth.
    A set smaller than k votes as a whole. Raises InputError as `TrainingSet.require_classes`, and for k below 1.
    """
    if k < 1 or (temperature is not None and not temperature > 0):
        raise InputError("k is at least 1 and the temperature above 0", found=(k, temperature))
    if train.x.ndim != 2 or train.y.ndim != 1:
        raise InputError("neighbours are vectors with one class each", found=(train.x.shape, train.y.shape))
    train.require_classes(n_classes)
    share = train.weight / train.weight.sum()
    mean = share @ train.x.astype(np.float64)
    spread = np.sqrt(share @ (train.x - mean) ** 2) + 1e-6
    votes = np.zeros((len(train), n_classes), np.float32)
    votes[np.arange(len(train)), train.y] = train.weight / train.weight.max()
    copies = len(train) / len(np.unique(train.tile))
    head = NeighbourHead(
        bank=np.zeros((0, train.x.shape[1]), np.float32),
        votes=votes,
        mean=mean.astype(np.float32),
        spread=spread.astype(np.float32),
        k=min(round(k * copies), len(train)),
        temperature=temperature,
    )
    return replace(head, bank=head.directions(train.x))
