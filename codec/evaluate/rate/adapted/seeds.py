"""Seeds and tasks of the share rows in one number each: `python -m codec.evaluate.rate.adapted.seeds FILE.csv`.

Methods of further seeds are called `NAME seed S`. Of each task the ratios of all seeds become one row: their geometric mean,
from the lowest end of an interval to the highest. Of all tasks of a kind (heads on means, heads on tokens) there is one row
too: the geometric mean over tasks and seeds, from the smallest seed to the largest. Ratios that are bounds count with their
bound, and their number is said; a task of which a seed says nothing counts for no seed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from codec.errors import InputError, SwathpackError
from codec.evaluate.rate.adapted.shares import AT_LEAST, AT_MOST
from codec.evaluate.rows import Row, as_text, load, merge

_SEED = re.compile(r" seed (\d+)$")
_KINDS = {"tokens mean": "mean-token", "tokens+spectral": "dense", "tokens": "dense"}  # by what our head sees
BD = "BD-rate"


def seed_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows, from those of single seeds and tasks. Raises InputError where there is none."""
    each = [row for row in rows if row.metric == BD or row.metric.startswith("times fewer bytes at")]
    each = [row for row in each if not row.unit.startswith(_OVER)]
    if not each:
        raise InputError("no row compares trained points with ours", fix="run the harness with --brief")
    return [*_of_tasks(each), *_of_kinds(each)]


_OVER = "over "


def _stem(row: Row) -> tuple[str, int]:
    found = _SEED.search(row.rival)
    return _SEED.sub("", row.rival), int(found[1]) if found else 0


def _ratio(row: Row, value: float) -> float:
    """As something to take geometric means of."""
    return 1 + value / 100 if row.metric == BD else value


def _said(metric: str, ratio: float) -> float:
    return 100 * (ratio - 1) if metric == BD else ratio


def _of_tasks(rows: Sequence[Row]) -> Iterator[Row]:
    groups: dict[tuple[str, str, str, str], dict[int, Row]] = defaultdict(dict)
    for row in rows:
        stem, seed = _stem(row)
        groups[row.suite, row.case, row.metric, stem][seed] = row
    for (suite, case, metric, stem), of in groups.items():
        if len(of) < 2:
            continue
        value = _said(metric, _mean([_ratio(row, row.value) for row in of.values()]))
        ends = [
            [end for row in of.values() if (end := getattr(row, name)) is not None] for name in ("lo", "hi")
        ]
        whole = all(len(one) == len(of) for one in ends)
        yield Row(
            suite, case, metric, value, min(ends[0]) if whole else None, max(ends[1]) if whole else None,
            f"{_OVER}{len(of)} seeds: geometric mean [lowest and highest end of their 95% intervals]{_bounds(of.values())}",
            f"{stem}, all seeds", len(of), ",".join(map(str, sorted(of))),
        )  # fmt: skip


def _of_kinds(rows: Sequence[Row]) -> Iterator[Row]:
    groups: dict[tuple[str, str, str, str], dict[int, dict[str, Row]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for row in rows:
        encoder, *task, _, view, regime = row.case.split("/")
        stem, seed = _stem(row)
        case = f"{encoder}/{_KINDS[view]} tasks/{regime}"
        groups[row.suite, case, row.metric, stem][seed]["/".join(task)] = row
    for (suite, case, metric, stem), of in groups.items():
        tasks = set.intersection(*(set(one) for one in of.values()))
        if not tasks:
            continue
        used = [one[task] for one in of.values() for task in sorted(tasks)]
        means = [_mean([_ratio(one[task], one[task].value) for task in sorted(tasks)]) for one in of.values()]
        yield Row(
            suite, case, metric, _said(metric, _mean(means)), _said(metric, min(means)), _said(metric, max(means)),
            f"{_OVER}{len(tasks)} tasks and {len(of)} seeds: geometric mean [smallest and largest seed]{_bounds(used)}",
            f"{stem}, all tasks", len(tasks), ",".join(map(str, sorted(of))),
        )  # fmt: skip


def _bounds(rows: Collection[Row]) -> str:
    """How many of the ratios are bounds, for curves end."""
    counts = {name: sum(f"{name}: not reached" in row.unit for row in rows) for name in (AT_LEAST, AT_MOST)}
    said = [f"{count} of {len(rows)} {name}" for name, count in counts.items() if count]
    return "; " + ", ".join(said) if said else ""


def _mean(ratios: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def main(arguments: Sequence[str] | None = None) -> int:
    """Merge them into the file that they were made of."""
    parser = argparse.ArgumentParser(prog="python -m codec.evaluate.rate.adapted.seeds", description=__doc__)
    parser.add_argument("results", type=Path)
    options = parser.parse_args(arguments)
    try:
        found = seed_rows(load(options.results))
        merge(options.results, _stamped(found, load(options.results)), per_machine=False)
        print(as_text(found))
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


def _stamped(found: Sequence[Row], of: Sequence[Row]) -> list[Row]:
    """With the hardware, versions, commit and date of the newest row that they were made of."""
    from dataclasses import replace

    newest = max(of, key=lambda row: row.date)
    names = ("hardware", "versions", "commit", "date")
    return [replace(row, **{name: getattr(newest, name) for name in names}) for row in found]


if __name__ == "__main__":
    sys.exit(main())
