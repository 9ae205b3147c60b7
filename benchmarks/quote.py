"""Documents quote measured numbers by script: `python -m benchmarks.quote [--check]`.

In a Markdown file a line `<!-- quote suite:SUITE case:REGEX metric:REGEX rival:REGEX -->` (no spaces in a REGEX, write
a dot; rival may be left out) is followed by a table that this script writes, up to `<!-- end quote -->`. `grid` in the place
of `quote` (and `<!-- end grid -->`) makes a table of two sides: the case's first group names the column, its second group,
or else the rival, the line; where the metric has a group, that names the column and the case's first group the line. Groups
called `line` and `column` come in either order.
With --check nothing is written and a document that differs from the results fails (exit 1).
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from benchmarks.results import Row, load_all

ROOT = Path(__file__).resolve().parent.parent
# What a unit says of a value that is an end of a curve, and how a cell says it.
BOUNDS = {"at least": ">", "at most": "≤"}
MARK = re.compile(
    r"(<!-- (quote|grid) suite:(\S+) case:(\S+) metric:(\S+)(?: rival:(\S+))? -->\n)(.*?)(<!-- end \2 -->)",
    re.S,
)


def table(rows: list[Row]) -> str:
    """Markdown table of rows, in their order; columns that are empty are left out, what all rows share stands below."""
    columns = {
        "case": [row.case for row in rows],
        "metric": [row.metric for row in rows],
        "value": [f"{_number(row.value)} {row.unit}".strip() for row in rows],
        "interval": [
            "" if row.lo is None or row.hi is None else f"{_number(row.lo)} … {_number(row.hi)}"
            for row in rows
        ],
        "n": [str(row.n or "") for row in rows],
        "against": [row.rival for row in rows],
        "measured on": [f"{row.hardware}, {row.date}, {row.commit}" for row in rows],
    }
    common = {name: cells[0] for name, cells in columns.items() if len(set(cells)) == 1 and cells[0]}
    shown = {name: cells for name, cells in columns.items() if name not in common and any(cells)}
    lines = ["| " + " | ".join(shown) + " |", "|" + "---|" * len(shown)]
    lines += ["| " + " | ".join(cells) + " |" for cells in zip(*shown.values(), strict=True)]
    if common:
        lines += ["", "All rows: " + "; ".join(f"{name} {value}" for name, value in common.items()) + "."]
    return "\n".join(lines) + "\n"


def grid(rows: list[Row], case: str, metric: str) -> str:
    """Markdown table of lines × columns; cells are `value [interval]`, with ≤, > or ≥ where a curve ended before."""
    cells: dict[str, dict[str, str]] = {}
    columns: list[str] = []
    for row in rows:
        places, measures = re.fullmatch(case, row.case), re.fullmatch(metric, row.metric)
        assert places is not None  # rows were chosen by these
        assert measures is not None
        column, *line = (*measures.groups(), *places.groups())
        named = places.groupdict()
        column = named.get("column", column)
        name = named.get("line", line[0] if line else row.rival)
        columns += [column] if column not in columns else []
        cells.setdefault(name, {})[column] = _cell(row)
    lines = ["| | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
    lines += [
        f"| {name} | " + " | ".join(of.get(column, "–") for column in columns) + " |"
        for name, of in cells.items()
    ]
    same = {f"{row.hardware}, {row.date}, {row.commit}" for row in rows}
    return "\n".join(lines) + f"\n\nMeasured on {'; '.join(sorted(same))}.\n"


def _cell(row: Row) -> str:
    """Value and interval; where a curve ended before, which way the truth lies from its end."""
    value = _number(row.value)
    if row.lo is None or row.hi is None:
        return value
    if "not reached" in row.unit:
        sign = next((sign for said, sign in BOUNDS.items() if f"{said}: not reached" in row.unit), None)
        if sign is None and row.unit.startswith("ratio"):
            return "outside a curve"
        if sign is None:  # rows from before the unit said which
            below = abs(row.value - row.lo) <= abs(row.hi - row.value) if _open(row, "high") else True
            sign = "≤" if _open(row, "low") and below else ">"
        value = f"{sign} {value}"
    low = ("≤ " if _open(row, "low") else "") + _number(row.lo)
    high = ("≥ " if _open(row, "high") else "") + _number(row.hi)
    return f"{value} [{low}, {high}]"


def _open(row: Row, end: str) -> bool:
    return f"{end} end open" in row.unit


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def render(text: str, rows: list[Row]) -> str:
    """The document with every quoted table made anew. An empty selection is an error: a quote of nothing."""

    def fill(match: re.Match[str]) -> str:
        head, kind, suite, case, metric, rival, _, end = match.groups()
        chosen = [
            r
            for r in rows
            if r.suite == suite
            and re.fullmatch(case, r.case)
            and re.fullmatch(metric, r.metric)
            and re.fullmatch(rival or ".*", r.rival)
        ]
        if not chosen:
            raise SystemExit(
                f"error: no results for suite {suite}, case {case}, metric {metric}; measure them first"
            )
        return head + (grid(chosen, case, metric) if kind == "grid" else table(chosen)) + end

    return MARK.sub(fill, text)


def main(arguments: list[str] | None = None) -> int:
    """Write, or with --check compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quote", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail where a document differs from the results")
    options = parser.parse_args(arguments)
    rows, stale = load_all(), []
    for path in [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted(ROOT.glob("models/*/card.md")),
    ]:
        text = path.read_text(encoding="utf-8")
        fresh = render(text, rows)
        if fresh != text:
            stale.append(path.name)
            if not options.check:
                path.write_text(fresh, encoding="utf-8")
    if options.check and stale:
        print(
            f"error: {', '.join(stale)} quote other numbers than the results; run python -m benchmarks.quote",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
