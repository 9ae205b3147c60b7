"""EuroSAT with 1 or 5 labelled tiles a class: the mean of 20 draws from train, the same draws for every feature.

So few labels cannot choose a penalty by folds; it is the one that serves the drawn probes best on the tiles of train
that were not drawn, by the same rule for every feature. Intervals are over cells and seeds; the mean over the draws is
kept per tile.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codec.evaluate import scenes as sets
from codec.evaluate.bank import Bank
from codec.evaluate.fixed import ALL_BANDS
from codec.evaluate.intervals import mean_sums
from codec.evaluate.measured import Metric, compared
from codec.evaluate.probes import fit_path
from codec.evaluate.rows import Row
from codec.types import BoolArray, FloatArray

LABELS = (1, 5)
DRAWS = 20
GRID = (1e-2, 1e-1, 1.0)
_UNIT = "% [95% bootstrap over cells and seeds, mean of 20 draws]"


def draws(
    labels: npt.NDArray[np.int64], per_class: int, count: int = DRAWS, seed: int = 0
) -> list[BoolArray]:
    """`count` masks over the samples, each with `per_class` of every class."""
    rng = np.random.default_rng([seed, per_class])
    found = []
    for _ in range(count):
        mask = np.zeros(len(labels), np.bool_)
        for label in np.unique(labels):
            mask[rng.choice(np.flatnonzero(labels == label), per_class, replace=False)] = True
        found.append(mask)
    return found


def accuracy(
    x: FloatArray, y: npt.NDArray[np.int64], z: FloatArray, truth: npt.NDArray[np.int64], per_class: int
) -> npt.NDArray[np.float64]:
    """Share of the draws whose probe names each held-out sample rightly, N."""
    n_classes, chosen = int(y.max()) + 1, draws(y, per_class)
    rest = np.zeros(len(GRID))
    right = np.zeros((len(GRID), len(z)))
    for mask in chosen:
        for p, head in enumerate(fit_path(x[mask], y[mask], n_classes, GRID)):
            rest[p] += (head.predict(x[~mask]) == y[~mask]).mean()
            right[p] += head.predict(z) == truth
    return np.asarray(right[int(rest.argmax())] / len(chosen), np.float64)


def rows(bank: Bank, split: str) -> list[Row]:
    """`eurosat-<split>/<n>-bands/<feature>`, metrics `1-label-accuracy` and `5-label-accuracy`; most and RGB bands."""
    fit, held = sets.eurosat(bank.data, ("train",)), sets.eurosat(bank.data, sets.HELD_OUT[split])
    out = []
    for case, keep in bank.cases((ALL_BANDS.split("-")[0], "3")).items():
        for per_class in LABELS:
            metric = Metric(f"{per_class}-label-accuracy", _UNIT, 100.0)
            sums = {}
            for feature in bank.functions:
                x = bank.eurosat(feature, ("train",), keep)
                z = bank.eurosat(feature, sets.HELD_OUT[split], keep)
                right = [
                    accuracy(a, fit.labels, b, held.labels, per_class) for a, b in zip(x, z, strict=True)
                ]
                sums[feature] = mean_sums(np.stack(right), held.groups)
            out += compared(bank.subject, f"eurosat-{split}/{case}", metric, sums, len(held.labels))
    return out
