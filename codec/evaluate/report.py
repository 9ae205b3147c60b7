"""Rows of `benchmarks/results/model.csv`, in the one long-form schema of all benchmarks."""

from __future__ import annotations

import csv
import io
import math
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from codec.atomic import write_atomic

COLUMNS = (
    "suite",
    "case",
    "metric",
    "value",
    "lo",
    "hi",
    "unit",
    "rival",
    "n",
    "seeds",
    "hardware",
    "isa_or_device",
    "threads",
    "versions",
    "commit",
    "date",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number; lo and hi NaN where there is no interval."""

    case: str
    metric: str
    value: float
    lo: float
    hi: float
    unit: str
    rival: str
    n: int


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _hardware() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


def write_rows(path: Path, suite: str, rows: Iterable[Row], *, seeds: str, threads: int) -> None:
    """Write the rows; rows of the same (suite, case, metric, rival) that stand in the file are replaced,
    others kept.
    """
    fixed = {
        "suite": suite,
        "seeds": seeds,
        "hardware": _hardware(),
        "isa_or_device": platform.machine(),
        "threads": str(threads),
        "versions": f"python {sys.version.split()[0]}; torch {version('torch')}; numpy {version('numpy')}",
        "commit": _commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }
    kept: dict[tuple[str, str, str, str], dict[str, str]] = {}
    if path.exists():
        with open(path, newline="") as file:
            for old in csv.DictReader(file):
                kept[_key(old)] = old
    for row in rows:
        new = {
            **fixed,
            "case": row.case,
            "metric": row.metric,
            "value": _number(row.value),
            "lo": _number(row.lo),
            "hi": _number(row.hi),
            "unit": row.unit,
            "rival": row.rival,
            "n": str(row.n),
        }
        kept[_key(new)] = new
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept.values())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.getvalue().encode())


def _key(row: dict[str, str]) -> tuple[str, str, str, str]:
    return row["suite"], row["case"], row["metric"], row["rival"]


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    lines = []
    for row in rows:
        span = "" if math.isnan(row.lo) else f" [{row.lo:.3g}, {row.hi:.3g}]"
        rival = f" against {row.rival}" if row.rival else ""
        lines.append(f"{row.case:40} {row.metric:28} {row.value:8.3f}{span}{rival} {row.unit}")
    return "\n".join(lines)
