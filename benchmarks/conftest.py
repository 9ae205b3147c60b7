"""Benchmarks check their answers, then measure, then write rows into `benchmarks/results/`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.results import Row, save

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def record() -> Iterator[Callable[[Row], None]]:
    """Collects rows; they are written when the session ends, all together."""
    rows: list[Row] = []
    yield rows.append
    if rows:
        save(rows, packages=("swathpack", "numpy", "onnxruntime"))


@pytest.fixture(scope="session")
def sample_scenes() -> Path:
    """Where `make setup` unpacked the packages with real scenes."""
    folder = ROOT / ".demo-data"
    if not (folder / ".stamp").is_file():
        pytest.skip("the sample scenes are not installed: make setup")
    return folder
