"""Splits are data: the collection's own CSV files say what may be trained on."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from codec.errors import InputError

SPLITS = ("train", "val", "test", "cloudy")


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a file that belongs to one split."""

    file: str
    row: int
    col: int
    height: int
    width: int


def rows(root: Path, table: str, split: str) -> list[dict[str, str]]:
    """Rows of `splits/<table>.csv` with that split, in file order."""
    if split not in SPLITS:
        raise InputError(f"there is no split {split}", expected=", ".join(SPLITS), found=split)
    path = Path(root) / "splits" / f"{table}.csv"
    try:
        with open(path, newline="") as file:
            found = [row for row in csv.DictReader(file) if row["split"] == split]
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", path=path, fix="point --data at the collection"
        ) from error
    if not found:
        raise InputError(f"the table has no rows of split {split}", path=path)
    return found


def windows(root: Path, data_set: str, split: str) -> list[Window]:
    """Windows of `data_set` in `splits/windows.csv`."""
    found = [
        Window(r["file"], int(r["row_off"]), int(r["col_off"]), int(r["height"]), int(r["width"]))
        for r in rows(root, "windows", split)
        if r["set"] == data_set
    ]
    if not found:
        raise InputError(f"{data_set} has no {split} window", path=Path(root) / "splits" / "windows.csv")
    return found
