"""What a comparison of adapters says: scores, paired differences, spreads, and what DEFLECT is held to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist

import numpy as np

from benchmarks.adapter_tasks import Answered, Task
from benchmarks.results import Row
from codec.evaluate.intervals import Interval, drawn_values

SUITE = "adapters"
OURS, NATIVE, RGB_ONLY = "deflect", "native", "rgb only"
# What DEFLECT is held against learns at most a tenth of the base; `native` is another encoder and no rival.
MOST = 0.10


def rows_of(
    part: str,
    tasks: Sequence[Task],
    found: Mapping[tuple[str, str], list[Answered]],
    *,
    beside: Mapping[str, str] | None = None,
    averaged: bool = True,
    at_once: bool = False,
) -> Iterator[Row]:
    """Scores of each task and arm, differences to the arm `beside` it (DEFLECT, or the first, where none is named), and both
    for the average of the tasks, if they are all that it should stand for. With `at_once` the average's differences have
    an interval besides that holds for all of them together.
    """
    arms = list(dict.fromkeys(arm for arm, _ in found))
    usual = OURS if OURS in arms else arms[0]
    sums = {
        (arm, task.name): task.sums(np.stack([one.answers for one in found[arm, task.name]]))
        for arm in arms
        for task in tasks
    }
    for arm in arms:
        first = found[arm, tasks[0].name][0]
        yield Row(
            SUITE, f"{part}/{arm}", "trained parameters", first.trained, unit="numbers, without the head"
        )
        yield Row(
            SUITE, f"{part}/{arm}", "trained share", 100 * first.trained / first.base, unit="% of the base"
        )
        for rival in (None, (beside or {}).get(arm) or usual):
            if rival == arm:
                continue
            values, draws = [], []
            for number, task in enumerate(tasks):
                name, statistic = task.score
                other = None if rival is None else sums[rival, task.name]
                value, drawn = drawn_values(sums[arm, task.name], other, statistic=statistic, seed=number)
                values.append(value)
                draws.append(drawn)
                yield _row(
                    f"{part}/{task.name}/{arm}",
                    name,
                    value,
                    drawn,
                    rival,
                    task.places,
                    found[arm, task.name],
                )
            if not averaged:
                continue
            yield _row(
                f"{part}/average/{arm}", "score", float(np.mean(values)), np.mean(draws, axis=0), rival,
                sum(task.places for task in tasks), found[arm, tasks[0].name],
            )  # fmt: skip
            if rival is not None and at_once:
                value, draws_of_mean = float(np.mean(values)), np.mean(draws, axis=0)
                half = together(draws_of_mean, len(arms) - 1)
                yield Row(
                    SUITE, f"{part}/average/{arm}", "score, difference, all at once", 100 * value,
                    100 * (value - half), 100 * (value + half),
                    f"points [95% interval for all {len(arms) - 1} together, normal, paired]", rival,
                    sum(task.places for task in tasks),
                )  # fmt: skip
        if not averaged:
            continue
        seeds = np.stack([task.score[1](sums[arm, task.name].sum(1)) for task in tasks])
        spread, low, high = spread_of(seeds)
        yield Row(
            SUITE, f"{part}/average/{arm}", "spread of seeds", 100 * spread, 100 * low, 100 * high,
            f"points: standard deviation over {seeds.shape[1]} seeds, mean of {len(tasks)} tasks [95% interval, normal]",
        )  # fmt: skip


def together(drawn: np.ndarray, asked: int) -> float:
    """Half the width of an interval of a normal value with the spread of `drawn` that holds with probability 95 % in all of
    `asked` comparisons (Bonferroni): so far out 2,000 draws have no percentiles.
    """
    return NormalDist().inv_cdf(1 - 0.025 / asked) * float(np.nanstd(drawn, ddof=1))


def spread_of(scores: np.ndarray) -> tuple[float, float, float]:
    """Mean over T tasks of the standard deviation of S seeds, scores T×S, with its 95 % interval: of normal scores, each
    task's (S − 1) s² / σ² is χ² with S − 1 degrees of freedom.
    """
    tasks, seeds = scores.shape
    found = np.std(scores, axis=1, ddof=1)
    chi2 = np.random.default_rng(0).chisquare(seeds - 1, (100_000, tasks))
    low, high = np.percentile((found * np.sqrt((seeds - 1) / chi2)).mean(1), (2.5, 97.5))
    return float(found.mean()), float(low), float(high)


def _row(
    case: str,
    metric: str,
    value: float,
    drawn: np.ndarray,
    rival: str | None,
    n: int,
    seeds: Sequence[Answered],
) -> Row:
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    found = Interval(100 * value, 100 * float(low), 100 * float(high))
    numbers = ",".join(str(seed) for seed in range(len(seeds)))
    unit = "points [95% interval over places and seeds" + (", paired]" if rival else "]")
    return Row(
        SUITE, case, metric if rival is None else f"{metric}, difference", found.value, found.low, found.high,
        unit, rival or "", n, numbers,
    )  # fmt: skip


def summary(
    part: str, rows: Sequence[Row], tasks: Sequence[Task], found: Mapping[tuple[str, str], list[Answered]]
) -> Iterator[Row]:
    """What the methods are held to: DEFLECT less the best rival of at most a tenth, its numbers beside LoRA's, and the share
    of the gap it closes.
    """
    value = {(r.case, r.metric): r for r in rows}
    share = {r.case.split("/")[1]: r.value for r in rows if r.metric == "trained share"}
    rivals = [
        arm for arm, of in share.items() if of <= 100 * MOST and not arm.startswith(OURS) and arm != NATIVE
    ]
    best = max(rivals, key=lambda arm: value[f"{part}/average/{arm}", "score"].value)
    row = value[f"{part}/average/{best}", "score, difference"]
    assert row.lo is not None
    assert row.hi is not None
    # The row is the rival less DEFLECT.
    yield Row(
        SUITE, f"{part}/average", "difference to the best rival of at most a tenth", -row.value, -row.hi, -row.lo,
        row.unit, best, row.n, row.seeds,
    )  # fmt: skip
    half = (row.hi - row.lo) / 2
    if -row.hi < -3 < -row.value:
        # Of as many places of the same kind: half a width falls with the root of their number.
        needed = math.ceil((row.n or 0) * (half / (3 - row.value)) ** 2)
        yield Row(
            SUITE, f"{part}/average", "places for a lower bound of -3 points", needed,
            unit="places, at this difference", rival=best,
        )  # fmt: skip
    trained = {r.case.split("/")[1]: r.value for r in rows if r.metric == "trained parameters"}
    for arm in trained:
        if arm.startswith("lora"):
            yield Row(
                SUITE, f"{part}/{OURS}", "trained parameters, share", trained[OURS] / trained[arm], rival=arm
            )
    (only, of_only), (native, of_native), (ours, of_ours) = (
        _average(arm, tasks, found) for arm in (RGB_ONLY, NATIVE, OURS)
    )
    yield Row(
        SUITE, f"{part}/average", "share of the gap from rgb only to native", (ours - only) / (native - only),
        unit=f"of {100 * (native - only):.1f} points",
    )  # fmt: skip
    # Not the interval of a quotient whose denominator may be nearly 0: how far beyond the middle of the gap.
    beyond, drawn = ours - (only + native) / 2, of_ours - (of_only + of_native) / 2
    yield _row(
        f"{part}/average", "points beyond half of the gap", beyond, drawn, None,
        sum(task.places for task in tasks), found[OURS, tasks[0].name],
    )  # fmt: skip


def _average(
    arm: str, tasks: Sequence[Task], found: Mapping[tuple[str, str], list[Answered]]
) -> tuple[float, np.ndarray]:
    """Mean score of all tasks, and that of each draw; draws of all arms are of the same places."""
    values, draws = [], []
    for number, task in enumerate(tasks):
        sums = task.sums(np.stack([one.answers for one in found[arm, task.name]]))
        value, drawn = drawn_values(sums, statistic=task.score[1], seed=number)
        values.append(value)
        draws.append(drawn)
    return float(np.mean(values)), np.asarray(np.mean(draws, axis=0))
