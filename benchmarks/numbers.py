"""`make numbers`: what was asked for against what was measured, misses and unmeasured ones included.

Targets stand in `benchmarks/targets.toml` as `[[target]]` with suite, case, metric, op, value and a few words.
Exit 0 always: it reports; judging is the reader's.
"""

from __future__ import annotations

import operator
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import FOLDER, Row, load_all

OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}
TARGETS = Path(__file__).resolve().parent / "targets.toml"


@dataclass(frozen=True, slots=True)
class Target:
    """One number that was asked for."""

    suite: str
    case: str
    metric: str
    op: str
    value: float
    what: str = ""
    rival: str = ""

    def matches(self, row: Row) -> bool:
        return (row.suite, row.case, row.metric) == (self.suite, self.case, self.metric) and (
            not self.rival or row.rival == self.rival
        )


def load_targets(path: Path = TARGETS) -> list[Target]:
    """All targets; a wrong key or operator stops at once."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    entries: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8")).get("target", [])
    targets = [Target(**entry) for entry in entries]
    for target in targets:
        if target.op not in OPERATORS:
            raise SystemExit(f"error: {path.name}: operator {target.op!r}; use one of {' '.join(OPERATORS)}")
    return targets


def judge(targets: list[Target], rows: list[Row]) -> list[tuple[Target, Row | None, str]]:
    """Each target with every measured row of it, and met, MISSED or not measured."""
    out: list[tuple[Target, Row | None, str]] = []
    for target in targets:
        found = [row for row in rows if target.matches(row)]
        if not found:
            out.append((target, None, "not measured"))
        out += [
            (t, r, "met" if OPERATORS[t.op](r.value, t.value) else "MISSED")
            for t, r in ((target, r) for r in found)
        ]
    return out


def main() -> int:
    """Print the table."""
    for target, row, verdict in judge(load_targets(), load_all(FOLDER)):
        name = f"{target.suite}/{target.case}/{target.metric}"
        measured = "-" if row is None else f"{row.value:.4g} {row.unit}".strip()
        where = "" if row is None else f"  [{row.hardware}; {row.commit}; {row.date}]"
        print(f"{verdict:12} {name:58} {target.op} {target.value:<8g} measured {measured}{where}")
        if target.what:
            print(f"{'':12} {target.what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
