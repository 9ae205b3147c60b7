"""What a card says of bytes and energy: bytes that a use takes, from the harness's rows; energy, from the manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from codec.evaluate.rows import Row

# Tasks of whole tiles read layer 0 alone; maps read everything.
_SHIPPED = re.compile(
    r"(?P<of>[^/]+)/(?P<set>[^/]+)/(?P<task>[^/]+)/"
    r"(?:shipped mean \+ spectral/tokens mean|shipped \+ spectral/tokens\+spectral)/mixed"
)
_BOUNDS = {"at least: not reached": "> ", "at most: not reached": "≤ "}


def rates(rows: Sequence[Row], name: str) -> str:
    """The section on bytes of one package, from rows of suite `utility`; empty where there are none."""
    lines = []
    for row in rows:
        found = _SHIPPED.fullmatch(row.case)
        if found and found["of"] == name and not row.rival and row.metric.startswith("bytes at "):
            lines.append(f"| {found['set']} | {found['task']} | {row.metric[9:]} | {_cell(row)} |")
    if not lines:
        return ""
    head = (
        "\n## Bytes for a use\n\n"
        "Bytes a tile, complete records, at which one head for all rates is so far below uncompressed embeddings (points;\n"
        "of regressions, percent of the variance explained), on tiles that neither encoder, codec nor heads saw. In\n"
        "brackets the 95 % interval. What rivals need: docs/benchmark.md.\n\n"
        "| set | task | at | bytes |\n|---|---|---|---|\n"
    )
    return head + "\n".join(sorted(lines)) + "\n"


def _cell(row: Row) -> str:
    bound = next((sign for said, sign in _BOUNDS.items() if said in row.unit), "")
    if row.lo is None or row.hi is None:
        return f"{bound}{row.value:.0f}"
    low = "≤ " if "low end open" in row.unit else ""
    high = "≥ " if "high end open" in row.unit else ""
    return f"{bound}{row.value:.0f} [{low}{row.lo:.0f}, {high}{row.hi:.0f}]"


def energy(facts: Mapping[str, Any]) -> str:
    """What training took, in a sentence; empty where the manifest does not say."""
    if not facts:
        return ""
    return (
        f"\nTraining took {facts['milliwatt_hours'] / 1000:.1f} Wh and {facts['milligrams_co2e'] / 1000:.1f} g of CO₂e at "
        f"{facts['grams_co2e_per_kwh']} g/kWh ({facts['samples']:,} samples on {facts['device']}, "
        f"{facts['cpu_seconds']:,} s of processor time; {facts['basis']}).\n"
    )
