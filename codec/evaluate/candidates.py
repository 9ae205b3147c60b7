"""What was tried, as a table: the rows of suite `candidates`, seeds put together, written into a document between marks.

A candidate's rows have cases `<name>/seed-<number>[/<place>]`. Its value is the mean over seeds. The interval joins two
things that a mean over seeds does not know: the tiles (half-width of each seed's own interval, which all seeds share) and
the seeds (1.96 standard errors): √(tiles² + seeds²) on either side.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec.atomic import write_atomic
from codec.errors import InputError
from codec.evaluate.rows import Row, load

SUITE = "candidates"
SEED = re.compile(r"(?P<name>.+)/seed-(?P<seed>\d+)(?:/(?P<place>[^/]+))?")
MARK = re.compile(r"(<!-- candidates -->\n)(.*?)(<!-- end candidates -->)", re.S)
COLUMNS = (  # heading, place, metric, rival, digits
    ("12 bands, %", "12-bands", "accuracy", "", 1),
    ("4 bands, %", "4-bands", "accuracy", "", 1),
    ("RGB, %", "3-bands", "accuracy", "", 1),
    ("12 bands − pixel statistics", "12-bands", "accuracy-difference", "pixel-statistics", 1),
    ("12 bands, val alone, %", "12-bands", "accuracy-on-val", "", 1),
    ("12 bands, log-loss", "12-bands", "log-loss", "", 3),
    ("12 bands, 10 nearest, %", "12-bands", "knn10", "", 1),
    ("UC Merced val, %", "ucmerced-val", "probe-accuracy", "", 1),
)


@dataclass(frozen=True, slots=True)
class Pooled:
    """One quantity of one candidate over its seeds."""

    value: float
    low: float
    high: float
    seeds: int


def pool(rows: Sequence[Row]) -> Pooled:
    """Mean over the seeds' rows of one quantity, with the interval of tiles and seeds together."""
    values = np.array([row.value for row in rows], np.float64)
    tiles = [(row.hi - row.lo) / 2 for row in rows if row.lo is not None and row.hi is not None]
    seeds = 1.96 * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    half = float(np.hypot(np.mean(tiles) if tiles else 0.0, seeds))
    return Pooled(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half, len(values))


def gather(rows: Sequence[Row]) -> dict[str, dict[tuple[str, str, str], Pooled]]:
    """Candidate → (place, metric, rival) → pooled; place is empty for what belongs to the whole run."""
    found: dict[str, dict[tuple[str, str, str], list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        match = SEED.fullmatch(row.case)
        if row.suite != SUITE or match is None:
            continue
        found[match["name"]][match["place"] or "", row.metric, row.rival].append(row)
    return {name: {key: pool(same) for key, same in of.items()} for name, of in found.items()}


def _cell(found: Pooled | None, digits: int) -> str:
    if found is None:
        return "–"
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _plain(found: Pooled | None) -> str:
    return "–" if found is None else f"{found.value:,.0f}"


def table(rows: Sequence[Row]) -> str:
    """Markdown: one line a candidate, the most accurate with 12 bands (or, without them, RGB) first."""
    found = gather(rows)
    if not found:
        return "\nNo candidate has been measured.\n\n"
    shown = [c for c in COLUMNS if any((c[1], c[2], c[3]) in of for of in found.values())]
    head = ["candidate", "seeds", "samples seen", "CPU-seconds", *(c[0] for c in shown)]
    lines = ["", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]

    def rank(name: str) -> tuple[float, str]:
        of = found[name]
        best = of.get(("12-bands", "accuracy", "")) or of.get(("3-bands", "accuracy", ""))
        return (-best.value if best else 0.0, name)

    for name in sorted(found, key=rank):
        of = found[name]
        seeds = max(p.seeds for p in of.values())
        cells = [_cell(of.get((place, metric, rival)), digits) for _, place, metric, rival, digits in shown]
        costs = [_plain(of.get(("", metric, ""))) for metric in ("samples-seen", "cpu-seconds")]
        lines.append("| " + " | ".join([name, str(seeds), *costs, *cells]) + " |")
    return "\n".join(lines) + "\n\n"


def fill(document: Path, results: Path, *, check: bool) -> bool:
    """Write the table between the document's marks; with `check` only compare. True where it is up to date."""
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=document) from error
    if not MARK.search(text):
        raise InputError(
            "has no place for the candidates",
            path=document,
            expected="<!-- candidates --> … <!-- end candidates -->",
        )
    rows = load(results) if results.exists() else []
    fresh = MARK.sub(lambda match: match[1] + table(rows) + match[3], text)
    if fresh != text and not check:
        write_atomic(document, fresh.encode())
    return fresh == text
