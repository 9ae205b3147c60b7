"""The demo's table as rows of `benchmarks/results/demo.csv`: `python -m benchmarks.demo_rows demo-out/demo.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.results import Row, save
from codec.errors import InputError


def rows(path: Path) -> list[Row]:
    """One row per numeric value of every scene. Raises InputError for another document."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        settings, scenes = document["settings"], document["scenes"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"not the demo's report ({error})", path=path, fix="run make demo first") from error
    case = "loss {loss}, bursts of {burst}, payload {payload}".format(**settings)
    out = []
    for name, scene in scenes.items():
        for metric, entry in scene["values"].items():
            if isinstance(entry["value"], (int, float)):
                seeds = str(settings["seed"])
                out.append(
                    Row(
                        "demo",
                        f"{name}: {case}",
                        metric,
                        float(entry["value"]),
                        unit=entry["unit"],
                        seeds=seeds,
                    )
                )
    return out


def main() -> int:
    """Write the rows."""
    if len(sys.argv) != 2:
        print("usage: python -m benchmarks.demo_rows demo-out/demo.json", file=sys.stderr)
        return 2
    try:
        for path in save(rows(Path(sys.argv[1]))):
            print(path)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
