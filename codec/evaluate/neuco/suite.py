"""The whole suite: entries × ways to send × tasks, as rows and as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codec.errors import InputError
from codec.evaluate.intervals import Interval
from codec.evaluate.neuco.byte_axis import BUDGETS, Sent, methods_for, sent
from codec.evaluate.neuco.leaderboard import Place, leaderboard
from codec.evaluate.neuco.overlap import corrected, corrected_difference
from codec.evaluate.neuco.probe import Scores, probe
from codec.evaluate.neuco.protocol import (
    Entry,
    Protocol,
    Splits,
    Standardised,
    Task,
    quality,
    splits_of,
    standardised,
)
from codec.evaluate.rate.types import EmbeddingMethod, FloatVector, IntArray
from codec.evaluate.rows import Row

SUITE = "neuco"
EXACT = "float32"
_UNIT = "[95% corrected resampled t]"


@dataclass(frozen=True, slots=True)
class Result:
    """One entry sent in one way, scored on every task."""

    entry: str
    way: str
    bytes_per_item: float
    shared_bytes: int | None
    scores: Mapping[str, Scores]
    ratios: Mapping[str, float]  # held-out to training items, by task

    @property
    def q(self) -> dict[str, float]:
        """By task, as published."""
        return {task: quality(scores.published) for task, scores in self.scores.items()}

    @property
    def mean_q(self) -> float:
        return float(np.mean(list(self.q.values())))

    def plain(self, task: str) -> Interval:
        """Mean of the last epochs with its interval."""
        return corrected(self.scores[task].plain, self.ratios[task])

    @property
    def over_tasks(self) -> FloatVector:
        """Mean over the tasks of each split's plain score, S."""
        return np.asarray(np.nanmean([s.plain for s in self.scores.values()], axis=0), np.float64)

    @property
    def ratio(self) -> float:
        return max(self.ratios.values())


@dataclass(frozen=True, slots=True)
class _Batch:
    """Tasks that label the same items."""

    tasks: tuple[Task, ...]
    rows: IntArray  # of the items
    splits: Splits


def _batches(
    tasks: Sequence[Task], items: Sequence[str], protocol: Protocol, groups: IntArray | None
) -> list[_Batch]:
    where = {name: i for i, name in enumerate(items)}
    same: dict[tuple[str, ...], list[Task]] = {}
    for task in tasks:
        same.setdefault(task.ids, []).append(task)
    found = []
    for ids, members in same.items():
        rows = np.array([where[name] for name in ids], np.int64)
        splits = splits_of(len(ids), protocol, None if groups is None else groups[rows])
        found.append(_Batch(tuple(members), rows, splits))
    return found


def items_of(tasks: Sequence[Task]) -> tuple[str, ...]:
    """All labelled items, in the order in which the tasks name them first."""
    return tuple(dict.fromkeys(name for task in tasks for name in task.ids))


def evaluate(
    entries: Sequence[Entry],
    tasks: Sequence[Task],
    protocol: Protocol,
    *,
    groups: IntArray | None = None,
    blocked: bool = False,
    budgets: Sequence[int] = BUDGETS,
    methods: Sequence[EmbeddingMethod] | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Result]:
    """Every entry, sent in every way, on every task.

    `groups`: of each of `items_of(tasks)`; the halves that methods are fitted on keep them whole, and with `blocked` the
    splits do, too (the published ones do not). `methods`: instead of the usual ones.
    """
    if not entries or not tasks or len({t.name for t in tasks}) != len(tasks):
        raise InputError("entries, and tasks of different names, are needed", found=[t.name for t in tasks])
    if blocked and groups is None:
        raise InputError("blocked splits need groups")
    items = items_of(tasks)
    batches = _batches(tasks, items, protocol, groups if blocked else None)
    results = []
    for entry in entries:
        vectors = entry.of(items)
        for way in sent(vectors, methods or methods_for(vectors.shape[1], budgets), groups, progress):
            results.append(_scored(entry.name, way, batches, tasks, protocol))
            progress(
                f"{entry.name}, {way.name}: {way.bytes_per_item:.1f} bytes, mean Q {results[-1].mean_q:.2f}"
            )
    return results


def _scored(
    entry: str, way: Sent, batches: Sequence[_Batch], tasks: Sequence[Task], protocol: Protocol
) -> Result:
    x = standardised(way.vectors)
    scores: dict[str, Scores] = {}
    ratios: dict[str, float] = {}
    for batch in batches:
        part = Standardised(x.values[batch.rows], x.padding, x.constant)
        for found in probe(part, batch.tasks, batch.splits, protocol):
            if np.isfinite(found.plain).sum() < 2:
                raise InputError(
                    f"fewer than two splits of task {found.task!r} hold out what its score needs",
                    fix="leave the task out, or draw more splits",
                )
            scores[found.task], ratios[found.task] = found, batch.splits.ratio
    return Result(
        entry, way.name, way.bytes_per_item, way.shared_bytes,
        {t.name: scores[t.name] for t in tasks}, {t.name: ratios[t.name] for t in tasks},
    )  # fmt: skip


def exact_of(result: Result, results: Sequence[Result]) -> Result | None:
    """The same entry uncompressed, where it was scored."""
    return next((r for r in results if r.entry == result.entry and r.way == EXACT), None)


def boards(results: Sequence[Result]) -> dict[str, list[Place]]:
    """A leaderboard for every way that all entries were sent in."""
    entries = {r.entry for r in results}
    ways = dict.fromkeys(r.way for r in results)
    found = {way: {r.entry: r.q for r in results if r.way == way} for way in ways}
    return {way: leaderboard(q) for way, q in found.items() if set(q) == entries}


def rows(results: Sequence[Result], tasks: Sequence[Task], set_name: str, protocol: Protocol) -> list[Row]:
    """`<set>/<entry>/<way>[/<task>]`; a difference names its rival, the same entry uncompressed."""
    kinds = {task.name: ("F1" if task.kind == "classification" else "R²", len(task.ids)) for task in tasks}
    seeds = f"{protocol.splits} splits of {protocol.seed}"
    out: list[Row] = []
    for r in results:
        case, exact = f"{set_name}/{r.entry}/{r.way}", exact_of(r, results)
        rival = f"{r.entry}/{EXACT}"
        n = max(count for _, count in kinds.values())
        out.append(Row(SUITE, case, "bytes", r.bytes_per_item, unit="bytes per item", n=n))
        if r.shared_bytes is not None:
            out.append(Row(SUITE, case, "shared-bytes", float(r.shared_bytes), unit="bytes once", n=n))
        out.append(Row(SUITE, case, "mean-q", r.mean_q, unit="Q", n=n, seeds=seeds))
        score = corrected(r.over_tasks, r.ratio)
        out.append(_row(case, "mean-score", score, f"R² and F1 {_UNIT}", n, seeds))
        if exact is not None and exact is not r:
            change = corrected_difference(r.over_tasks, exact.over_tasks, r.ratio)
            out.append(_row(case, "mean-difference", change, f"R² and F1 {_UNIT}", n, seeds, rival))
        for task, scores in r.scores.items():
            place, (measure, n) = f"{case}/{task}", kinds[task]
            out.append(Row(SUITE, place, "q", r.q[task], unit="Q", n=n, seeds=seeds))
            best = float(np.nanmean(scores.published))
            unit = f"{measure}, epoch chosen on test"
            out.append(Row(SUITE, place, "score-best-epoch", best, unit=unit, n=n, seeds=seeds))
            out.append(_row(place, "score", r.plain(task), f"{measure} {_UNIT}", n, seeds))
            if exact is not None and exact is not r:
                change = corrected_difference(scores.plain, exact.scores[task].plain, r.ratios[task])
                out.append(_row(place, "difference", change, f"{measure} {_UNIT}", n, seeds, rival))
    for way, places in boards(results).items():
        for p in places:
            case = f"{set_name}/{p.entry}/{way}"
            out.append(Row(SUITE, case, "place", float(p.place), unit=f"of {len(places)}"))
            out.append(Row(SUITE, case, "weighted-rank", p.weighted_rank, unit="rank"))
    return out


def _row(case: str, metric: str, value: Interval, unit: str, n: int, seeds: str, rival: str = "") -> Row:
    return Row(SUITE, case, metric, value.value, value.low, value.high, unit, rival, n, seeds)


def table(results: Sequence[Result]) -> str:
    """Markdown: every entry and way by falling bytes, with the smallest difference that its splits can show."""
    lines = [
        "| entry | sent as | bytes per item | shared bytes | mean Q | Q per byte | mean score | change | shows from |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in sorted(results, key=lambda r: (r.entry, -r.bytes_per_item)):
        exact, score = exact_of(r, results), corrected(r.over_tasks, r.ratio)
        change, least = "", ""
        if exact is not None and exact is not r:
            d = corrected_difference(r.over_tasks, exact.over_tasks, r.ratio)
            change, least = f"{d.value:+.4f} [{d.low:+.4f}, {d.high:+.4f}]", f"{d.half_width:.4f}"
        shared = "" if r.shared_bytes is None else f"{r.shared_bytes}"
        lines.append(
            f"| {r.entry} | {r.way} | {r.bytes_per_item:.1f} | {shared} | {r.mean_q:.2f} | "
            f"{r.mean_q / r.bytes_per_item:.4f} | {score.value:.3f} [{score.low:.3f}, {score.high:.3f}] | "
            f"{change} | {least} |"
        )
    for way, places in boards(results).items():
        if way != EXACT:
            continue
        lines += ["", f"| place ({way}) | entry | weighted rank | mean Q |", "|---:|---|---:|---:|"]
        lines += [f"| {p.place} | {p.entry} | {p.weighted_rank:.3f} | {p.mean_q:.2f} |" for p in places]
    return "\n".join(lines) + "\n"
