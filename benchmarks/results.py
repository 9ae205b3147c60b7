"""Where the measurements of this folder stand: `benchmarks/results/<suite>.csv`, rows as `codec.evaluate.rows` has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from codec.evaluate import rows as schema
from codec.evaluate.rows import Row, commit, hardware, load, versions

__all__ = ["FOLDER", "Row", "commit", "hardware", "load", "load_all", "save", "versions"]

FOLDER = Path(__file__).resolve().parent / "results"


def save(
    rows: Iterable[Row], folder: Path = FOLDER, packages: Sequence[str] = ("swathpack", "numpy")
) -> list[Path]:
    """Merge rows into their suites' files."""
    return schema.save(rows, folder, packages)


def load_all(folder: Path = FOLDER) -> list[Row]:
    """Rows of all suites, by file name."""
    return schema.load_all(folder)
