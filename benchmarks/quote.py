"""Documents quote measured numbers by script: `python -m benchmarks.quote [--check]`.

In a Markdown file a line `<!-- quote suite:SUITE case:REGEX metric:REGEX rival:REGEX -->` (no spaces in a REGEX, write
a dot; rival may be left out) is followed by a table that this script writes, up to `<!-- end quote -->`. `grid` in the place
of `quote` (and `<!-- end grid -->`) makes a table of two sides: the case's first group names the column, its second group,
or else the rival, the line; where the metric has a group, that names the column and the case's first group the line. Groups
called `line` and `column` come in either order. `machines` makes such a table for each machine that has rows, and says so
where none has. `<!-- targets suite:REGEX -->` lists what was asked of suites, `not measured` included.
With --check nothing is written and a document that differs from the results fails (exit 1).
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from benchmarks.numbers import Target, judge, load_targets
from benchmarks.results import Row, load_all

ROOT = Path(__file__).resolve().parent.parent
# What a unit says of a value that is an end of a curve, and how a cell says it.
BOUNDS = {"at least": ">", "at most": "≤"}
MARK = re.compile(
    r"(<!-- (quote|grid|machines) suite:(\S+) case:(\S+) metric:(\S+)(?: rival:(\S+))? -->\n)(.*?)(<!-- end \2 -->)",
    re.S,
)
ASKED = re.compile(r"(<!-- targets suite:(\S+) -->\n)(.*?)(<!-- end targets -->)", re.S)


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


def machines(rows: list[Row], case: str, metric: str) -> str:
    """A grid for each machine, by name, with its units below; numbers of two machines never share one."""
    if not rows:
        return "Not measured.\n"
    parts = []
    for name in sorted({row.hardware for row in rows}):
        own = sorted((row for row in rows if row.hardware == name), key=_by_number)
        units = "; ".join(dict.fromkeys(row.unit for row in own if row.unit))
        parts.append(grid(own, case, metric) + (f"\nUnit: {units}.\n" if units else ""))
    return "\n".join(parts)


def _by_number(row: Row) -> list[str | int]:
    """Batches of 8 come before those of 32."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", row.case)]


def asked(targets: list[Target], rows: list[Row]) -> str:
    """Markdown table of targets and every measured row of each."""
    lines = ["| what | against | asked | measured | where | |", "|---|---|---|---|---|---|"]
    for target, row, verdict in judge(targets, rows):
        measured = where = ""
        if row is not None:
            measured = f"{_cell(row)} {row.unit}".strip()
            where = f"{row.hardware}, {row.date}, {row.commit}"
        lines.append(
            f"| {target.case}: {target.metric} | {target.rival} | {target.op} {_number(target.value)} | {measured} "
            f"| {where} | {verdict} |"
        )
    return "\n".join(lines) + "\n"


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


def render(text: str, rows: list[Row], targets: list[Target] | None = None) -> str:
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
        if not chosen and kind != "machines":
            raise SystemExit(
                f"error: no results for suite {suite}, case {case}, metric {metric}; measure them first"
            )
        if kind == "quote":
            return head + table(chosen) + end
        return head + (grid if kind == "grid" else machines)(chosen, case, metric) + end

    def list_targets(match: re.Match[str]) -> str:
        head, suite, _, end = match.groups()
        known = load_targets() if targets is None else targets
        chosen = [target for target in known if re.fullmatch(suite, target.suite)]
        if not chosen:
            raise SystemExit(f"error: no targets for suite {suite}")
        return head + asked(chosen, rows) + end

    return ASKED.sub(list_targets, MARK.sub(fill, text))


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
