"""`make numbers`: what was asked for against what was measured, misses and unmeasured ones included.

Targets stand in `benchmarks/targets.toml` as `[[target]]` with suite, case, metric, op, value and a few words. `part`
says which end is judged: value (default), or lo or hi of the interval ("within 2 points" means that the interval reaches
−2: hi >= −2). `seeds`: a mean over fewer trainings is not judged.
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
    part: str = "value"
    seeds: int = 1

    def verdict(self, row: Row) -> str:
        """met, MISSED, not shown (a bound that lies on the wrong side), or why the row does not say."""
        if self.seeds > 1 and len([s for s in row.seeds.split(",") if s]) < self.seeds:
            return "too few seeds"
        found = getattr(row, self.part)
        if found is None:
            return "no interval"
        met = OPERATORS[self.op](found, self.value)
        if self.part == "value" and "not reached" in row.unit:
            # An end of a curve: the truth lies beyond it, and the row says on which side where it can.
            higher = "at least: not reached" in row.unit
            lower = "at most: not reached" in row.unit
            known = (higher and met == self.op.startswith(">")) or (lower and met == self.op.startswith("<"))
            if not known:
                return "not shown"
        return "met" if met else "MISSED"

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
        if target.part not in ("value", "lo", "hi"):
            raise SystemExit(f"error: {path.name}: part {target.part!r}; use value, lo or hi")
        if target.op not in OPERATORS:
            raise SystemExit(f"error: {path.name}: operator {target.op!r}; use one of {' '.join(OPERATORS)}")
    return targets


def judge(targets: list[Target], rows: list[Row]) -> list[tuple[Target, Row | None, str]]:
    """Each target with every measured row of it, and met, MISSED, not measured or why the row does not say."""
    out: list[tuple[Target, Row | None, str]] = []
    for target in targets:
        found = [row for row in rows if target.matches(row)]
        if not found:
            out.append((target, None, "not measured"))
        out += [(target, row, target.verdict(row)) for row in found]
    return out


def main() -> int:
    """Print the table."""
    for target, row, verdict in judge(load_targets(), load_all(FOLDER)):
        name = f"{target.suite}/{target.case}/{target.metric}"
        name += f" against {target.rival}" if target.rival else ""
        name += f" ({target.part})" if target.part != "value" else ""
        measured = "-" if row is None else f"{row.value:.4g} {row.unit}".strip()
        if row is not None and row.lo is not None and row.hi is not None:
            measured += f", {row.lo:.4g} … {row.hi:.4g}"
        where = "" if row is None else f"  [{row.hardware}; {row.commit}; {row.date}]"
        print(f"{verdict:13} {name:58} {target.op} {target.value:<8g} measured {measured}{where}")
        if target.what:
            print(f"{'':13} {target.what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
