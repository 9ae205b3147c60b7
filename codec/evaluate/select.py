"""The fast protocol for choosing among candidates: train + val by blocked folds, never a test file.

332 EuroSAT tiles, five folds of whole 1-degree cells, linear probe and nearest neighbours with 12, 4 and 3 bands. The
tiles of train were seen (without labels) in pretraining, those of val were not: `…-on-val` counts val alone, which is
fairer but has 74 tiles; all 332 tell smaller differences apart. The same folds for every candidate, so differences are
paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.evaluate import scenes as sets
from codec.evaluate.features import pixel_statistics, pooled
from codec.evaluate.folds import held_out_neighbours, quick_held_out_logits
from codec.evaluate.intervals import Interval, bootstrap, mean_sums
from codec.evaluate.probes import cross_entropy
from codec.evaluate.rows import Row
from codec.models.vit import Encoder
from codec.types import FloatArray

SUITE = "candidates"
SPLITS = ("train", "val")
BAND_CASES = ("12", "4", "3")
REPEATS = 2
RIVAL = "pixel-statistics"
_UNITS = {
    "accuracy": (100.0, "% [95% bootstrap over cells]"),
    "log-loss": (1.0, "nats [95% bootstrap over cells]"),
    "knn10": (100.0, "% [95% bootstrap over cells]"),
}


@dataclass(frozen=True, slots=True)
class TileScores:
    """Scores of each tile under one band case, mean over the repeats; metric → N."""

    values: dict[str, npt.NDArray[np.float64]]
    groups: npt.NDArray[np.int64]  # N, 1-degree cell
    on_val: npt.NDArray[np.bool_]  # N


def score(x: FloatArray, scenes: sets.Scenes, *, repeats: int = REPEATS) -> TileScores:
    """Blocked folds on features N×F of these tiles."""
    y, groups, n = scenes.labels, scenes.groups, scenes.n_classes
    total = {name: np.zeros(len(y)) for name in _UNITS}
    for seed in range(repeats):
        logits = quick_held_out_logits(x, y, groups, n, seed=seed)
        total["accuracy"] += logits.argmax(1) == y
        total["log-loss"] += cross_entropy(logits, y)
        total["knn10"] += held_out_neighbours(x, y, groups, seed=seed)
    return TileScores({k: v / repeats for k, v in total.items()}, groups, scenes.split == "val")


def select_scores(encoder: Encoder, data: Path) -> dict[str, TileScores]:
    """Band case → scores of each tile."""
    tiles = sets.eurosat(Path(data), SPLITS)
    return {
        case: score(pooled(encoder, tiles.with_bands(keep)), tiles)
        for case, keep in sets.band_cases(encoder.config.bands, BAND_CASES).items()
    }


@lru_cache(maxsize=8)
def _statistics(data: Path, keep: tuple[str, ...]) -> TileScores:
    tiles = sets.eurosat(data, SPLITS)
    return score(pixel_statistics(tiles.with_bands(keep)), tiles)


def select_rows(encoder: Encoder, data: Path, case_prefix: str, *, seeds: str = "") -> list[Row]:
    """Rows of suite `candidates` for one trained encoder: `<case_prefix>/<n>-bands`, some seconds.

    Metrics accuracy, log-loss and knn10, each over all tiles and `-on-val`, and `-difference` to pixel statistics. End
    the prefix in `/seed-<number>` and `codec.evaluate.candidates` puts the seeds of a candidate together.
    """
    keeps = sets.band_cases(encoder.config.bands, BAND_CASES)
    out: list[Row] = []
    for case, ours in select_scores(encoder, data).items():
        rival = _statistics(Path(data), keeps[case])
        out += _rows(f"{case_prefix}/{case}", ours, rival, seeds)
    return out


def _rows(case: str, ours: TileScores, rival: TileScores, seeds: str) -> list[Row]:
    out = []
    for metric, (factor, unit) in _UNITS.items():
        for name, keep in ((metric, np.ones(len(ours.groups), np.bool_)), (f"{metric}-on-val", ours.on_val)):
            groups = ours.groups[keep]
            a = mean_sums(ours.values[metric][keep], groups)
            b = mean_sums(rival.values[metric][keep], groups)
            alone, paired = bootstrap(a).scaled(factor), bootstrap(a, b).scaled(factor)
            n = int(keep.sum())
            out.append(Row(SUITE, case, name, alone.value, alone.low, alone.high, unit, n=n, seeds=seeds))
            out.append(
                Row(
                    SUITE, case, f"{name}-difference", paired.value, paired.low, paired.high, unit, RIVAL, n, seeds
                )
            )  # fmt: skip
    return out


def compare(
    ours: Sequence[dict[str, TileScores]], rival: Sequence[dict[str, TileScores]], case: str, metric: str
) -> Interval:
    """Difference of two candidates, several seeds each, with its paired 95 % interval; in the metric's unit."""
    groups = ours[0][case].groups
    a, b = (mean_sums(np.stack([s[case].values[metric] for s in side]), groups) for side in (ours, rival))
    return bootstrap(a, b).scaled(_UNITS[metric][0])


def compare_rows(
    ours: tuple[str, Sequence[Encoder]], rival: tuple[str, Sequence[Encoder]], data: Path
) -> list[Row]:
    """`<ours>/<n>-bands`, `<metric>-difference` to the rival candidate, intervals over cells and seeds."""
    a, b = ([select_scores(encoder, data) for encoder in encoders] for _, encoders in (ours, rival))
    out = []
    for case in a[0]:
        for metric, (_, unit) in _UNITS.items():
            found = compare(a, b, case, metric)
            n, seeds = len(a[0][case].groups), ",".join(str(i) for i in range(len(a)))
            text = unit.replace("cells", "cells and seeds")
            out.append(
                Row(
                    SUITE,
                    f"{ours[0]}/{case}",
                    f"{metric}-difference",
                    round(found.value, 9),  # what cancels leaves 1e-16
                    round(found.low, 9) + 0.0,
                    round(found.high, 9) + 0.0,
                    text,
                    rival[0],
                    n,
                    seeds,
                )
            )
    return out
