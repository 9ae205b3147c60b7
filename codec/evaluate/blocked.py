"""EuroSAT, five folds of whole 1-degree cells, three repeats, counted on the tiles that pretraining did not see.

The stricter of the two: the fixed split flatters encoders, because pixel statistics gain most from more labels. With
`val` it reads train and val alone and counts val (choices); with `unseen` all 401 tiles, counting val and test (a release).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codec.evaluate import scenes as sets
from codec.evaluate.bank import Bank
from codec.evaluate.folds import held_out_logits
from codec.evaluate.intervals import mean_sums
from codec.evaluate.measured import Metric, compared
from codec.evaluate.rows import Row
from codec.types import FloatArray

REPEATS = 3
CASES = ("12", "4", "3")
METRIC = Metric("probe-accuracy", "% [95% bootstrap over cells and seeds]", 100.0)


def accuracy(x: FloatArray, scenes: sets.Scenes, repeats: int = REPEATS) -> npt.NDArray[np.float64]:
    """Share of the repeats in which each tile is named rightly by a probe that saw no tile of its cell, N."""
    right = np.zeros(len(x))
    for seed in range(repeats):
        logits = held_out_logits(x, scenes.labels, scenes.groups, scenes.n_classes, seed=seed)
        right += logits.argmax(1) == scenes.labels
    return right / repeats


def rows(bank: Bank, split: str) -> list[Row]:
    """`eurosat-blocked-<split>/<n>-bands/<feature>`."""
    splits = ("train", *sets.HELD_OUT[split])
    tiles = sets.eurosat(bank.data, splits)
    counted = np.isin(tiles.split, list(sets.HELD_OUT[split]))
    out = []
    for case, keep in bank.cases(CASES).items():
        sums = {
            feature: mean_sums(
                np.stack([accuracy(x, tiles)[counted] for x in bank.eurosat(feature, splits, keep)]),
                tiles.groups[counted],
            )
            for feature in bank.functions
        }
        out += compared(bank.subject, f"eurosat-blocked-{split}/{case}", METRIC, sums, int(counted.sum()))
    return out
