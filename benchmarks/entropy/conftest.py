"""Jobs run in processes of their own; their rows are kept here. What is missing is a skip that says how to get it.

SWATHPACK_BENCH_QUICK=1 measures just enough to see that everything runs. SWATHPACK_BENCH_ISAS names the back ends to be
measured against the rivals (comma-separated). SWATHPACK_BENCH_RESULTS is another folder for the rows.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.entropy import child
from benchmarks.entropy.missing import Missing
from benchmarks.results import FOLDER, Row, save
from codec.evaluate.rows import as_text

ROOT = Path(__file__).resolve().parents[2]
Bench = Callable[..., list[Row]]


@pytest.fixture(scope="session")
def keep() -> Callable[[Sequence[Row]], None]:
    """Prints rows and writes them at once: a session of many minutes that is cut short has not measured for nothing."""
    folder = Path(os.environ.get("SWATHPACK_BENCH_RESULTS", FOLDER))

    def add(fresh: Sequence[Row]) -> None:
        assert fresh, "a job gave no rows"
        for row in fresh:
            assert math.isfinite(row.value), f"{row.case}, {row.metric} is {row.value}"
        print("\n" + as_text(fresh))
        save(fresh, folder)

    return add


@pytest.fixture(scope="session")
def bench(keep: Callable[[Sequence[Row]], None]) -> Bench:
    """Runs a job on a back end and keeps its rows."""

    def run(isa: str, job: str, **arguments: Any) -> list[Row]:
        try:
            rows = child.run(isa, job, **arguments)
        except Missing as reason:
            pytest.skip(str(reason))
        keep(rows)
        return rows

    return run


@pytest.fixture(scope="session")
def eurosat_folder() -> Path:
    """The data collection."""
    folder = Path(os.environ.get("SWATHPACK_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "manifest.csv").is_file():
        pytest.skip(f"the data collection is not at {folder}; set SWATHPACK_SHARED_DATA")
    return folder
