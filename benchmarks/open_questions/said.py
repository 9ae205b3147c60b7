"""Rows of what ways of sending reached, and of what two ways say of each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.open_questions.evidence import SUITE
from benchmarks.open_questions.heads import Task, Way
from codec.evaluate.rate.curve_intervals import (
    bytes_interval,
    point_intervals,
    utility_intervals,
    without_bytes,
)
from codec.evaluate.rate.types import FloatVector
from codec.evaluate.rows import Row

LOSS = {"token": 0.06, "tile": 0.03}  # of the uncompressed score, at which bytes are asked
_MAP = "mean IoU"


def chosen_row(case: str, setting: str, score: float, *, chosen: bool) -> Row:
    """What was tried inside the training part before anything was reported."""
    return Row(
        SUITE,
        case,
        f"score, {setting}",
        score,
        unit="inside the training part" + (", chosen" if chosen else ""),
    )


def way_rows(
    case: str,
    way: Way,
    rival: Way | None,
    reference: FloatVector,
    task: Task,
    sizes: Sequence[float],
    rival_name: str,
) -> Iterator[Row]:
    """Uncompressed score, bytes at a loss against `reference` (E×G×F, uncompressed), and against a rival: the difference of
    scores at equal bytes and how many times fewer bytes. Intervals of 95 % over places and encoders.
    """
    tile = task.labels.shape[1:] == (1, 1)
    name, how = ("accuracy" if tile else _MAP), task.how
    n, seeds = int(task.scored.sum()), ",".join(map(str, range(len(way.uncompressed))))
    (plain,) = point_intervals(without_bytes(way.uncompressed), how)
    unit = "share [95% over places and encoders]"
    yield Row(
        SUITE, case, f"{name}, uncompressed", plain.value, plain.low, plain.high, unit, n=n, seeds=seeds
    )
    for size, found in zip(sizes, utility_intervals(way.measured, None, sizes, how), strict=True):
        if np.isfinite((found.value, found.low, found.high)).all():
            yield Row(
                SUITE, case, f"{name} at {size:g} B", found.value, found.low, found.high, unit, n=n, seeds=seeds
            )  # fmt: skip
    loss = LOSS["tile" if tile else "token"]
    at = bytes_interval(way.measured, None, -loss, how, reference=reference)
    label = f"bytes at −{100 * loss:g}"
    yield Row(
        SUITE, case, label, at.value, at.low, at.high, f"B/tile [{at.note}]", n=n, seeds=seeds
    )  # fmt: skip
    if rival is None:
        return
    pairs = utility_intervals(way.measured, rival.measured, sizes, how)
    for size, found in zip(sizes, pairs, strict=True):
        if np.isfinite((found.value, found.low, found.high)).all():
            yield Row(
                SUITE, case, f"{name}-difference at {size:g} B", found.value, found.low, found.high,
                "share [95% over places and encoders, paired]", rival_name, n, seeds,
            )  # fmt: skip
    ratio = bytes_interval(way.measured, rival.measured, -loss, how, reference=reference)
    yield Row(
        SUITE, case, f"times fewer {label}", ratio.value, ratio.low, ratio.high, f"ratio [{ratio.note}]", rival_name, n,
        seeds,
    )  # fmt: skip
