"""One long-form CSV schema for every measurement: `benchmarks/results/<suite>.csv`.

A row is one number with what is needed to judge it. `lo` and `hi` are a 95 % interval or minimum and maximum; `unit` says
which. A ratio names its rival. A new measurement replaces the old rows of the same suite, case, metric and rival: of speeds
those of the same hardware, of accuracies (`per_machine=False`) those of any. Others stay, but for those that a run answers
for as a whole (`instead_of`): what it no longer measures is gone.

This is the only writer of results: benchmarks and evaluation share it. No torch here.
"""

from __future__ import annotations

import csv
import io
import os
import platform
import subprocess
from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from codec.atomic import write_atomic
from codec.errors import InputError

NOT_MEASURED_CODE = ":(top,exclude)benchmarks/results"  # what a measurement itself changes


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number."""

    suite: str
    case: str
    metric: str
    value: float
    lo: float | None = None
    hi: float | None = None
    unit: str = ""
    rival: str = ""
    n: int | None = None
    seeds: str = ""
    hardware: str = ""
    isa_or_device: str = ""
    threads: int | None = None
    versions: str = ""
    commit: str = ""
    date: str = ""

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        return self.suite, self.case, self.metric, self.rival, self.hardware

    @property
    def quantity(self) -> tuple[str, str, str, str]:
        """What was measured, wherever."""
        return self.suite, self.case, self.metric, self.rival


FIELDS = tuple(field.name for field in fields(Row))


def hardware() -> str:
    """Processor and cores of this machine, as a row names it."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores"


def versions(packages: Sequence[str] = ("swathpack", "numpy")) -> str:
    """`name version` of the packages a number depends on."""
    parts = [f"python {platform.python_version()}"]
    for name in packages:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"{name} absent")
    return "; ".join(parts)


def commit() -> str:
    """Short hash of the checkout, with + when it has changes; `unknown` outside git."""
    here = Path(__file__).resolve().parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no", "--", NOT_MEASURED_CODE],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if dirty.strip() else "")


def save(
    rows: Iterable[Row],
    folder: Path,
    packages: Sequence[str] = ("swathpack", "numpy"),
    *,
    per_machine: bool = True,
    instead_of: Container[Row] = (),
) -> list[Path]:
    """Merge rows into their suites' files, filling in hardware, versions, commit and date where they are empty.

    `per_machine` False: the numbers do not depend on the machine, so a row replaces its like from any of them.
    `instead_of`: old rows that go even where nothing new is of the same quantity.
    """
    common = {
        "hardware": hardware(),
        "versions": versions(packages),
        "commit": commit(),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
    by_suite: dict[str, list[Row]] = {}
    for row in rows:
        given = {name: value for name, value in asdict(row).items() if value not in ("", None)}
        by_suite.setdefault(row.suite, []).append(Row(**{**common, **given}))
    paths = []
    for suite, fresh in by_suite.items():
        path = folder / f"{suite}.csv"
        merge(path, fresh, per_machine=per_machine, instead_of=instead_of)
        paths.append(path)
    return paths


def merge(
    path: Path, fresh: Sequence[Row], *, per_machine: bool = True, instead_of: Container[Row] = ()
) -> None:
    """Write `fresh` into one file beside the rows that they do not replace; whole or not at all."""
    old = [row for row in load(path) if row not in instead_of] if path.exists() else []
    if per_machine:
        keys = {row.key for row in fresh}
        kept = [row for row in old if row.key not in keys]
    else:
        quantities = {row.quantity for row in fresh}
        kept = [row for row in old if row.quantity not in quantities]
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in sorted([*kept, *fresh], key=lambda r: r.key):
        writer.writerow({k: _text(v) for k, v in asdict(row).items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, out.getvalue().encode())


def load(path: Path) -> list[Row]:
    """Rows of one file. Raises InputError for a file of another schema."""
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != FIELDS:
            raise InputError(
                "not a results file", path=path, expected=",".join(FIELDS), found=reader.fieldnames
            )
        return [_row(record) for record in reader]


def load_all(folder: Path) -> list[Row]:
    """Rows of all suites, by file name."""
    return [row for path in sorted(folder.glob("*.csv")) for row in load(path)]


def _row(record: dict[str, str]) -> Row:
    number = {name: float(record[name]) if record[name] else None for name in ("lo", "hi")}
    whole = {name: int(float(record[name])) if record[name] else None for name in ("n", "threads")}
    rest = {name: record[name] for name in FIELDS if name not in ("value", "lo", "hi", "n", "threads")}
    return Row(value=float(record["value"]), **number, **whole, **rest)  # type: ignore[arg-type]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))  # a count, which a file keeps however often it is merged
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def as_text(rows: Iterable[Row]) -> str:
    """The rows as aligned lines for a terminal."""
    lines = []
    for row in rows:
        span = "" if row.lo is None or row.hi is None else f" [{row.lo:.3g}, {row.hi:.3g}]"
        rival = f" against {row.rival}" if row.rival else ""
        lines.append(f"{row.case:44} {row.metric:34} {row.value:10.4g}{span}{rival} {row.unit}".rstrip())
    return "\n".join(lines)
