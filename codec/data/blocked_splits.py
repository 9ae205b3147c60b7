"""Spatially blocked splits as data: whole cells of the ground, or of a scene, go to train, val or test.

Neighbouring tiles look alike, so a random split scores memory. Cells are squares of degrees (of coordinates) or of pixels
(of windows in files). Which cell goes where depends on the seed and on the cell, not on the order of the samples or on a
library's generator. A split is written as CSV and read back; what is in the file counts.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.atomic import write_atomic
from codec.data.splits import Window
from codec.errors import InputError

SPLITS = ("train", "val", "test")
SHARES = (0.7, 0.15, 0.15)
Cell = tuple[str, int, int]  # file (empty: the globe), row, column


@dataclass(frozen=True, slots=True)
class Assigned:
    """One sample and its split."""

    name: str
    split: str
    cell: Cell
    label: str = ""  # class, where there is one
    window: Window | None = None


def _order(seed: int, cell: Cell) -> bytes:
    return hashlib.sha256(f"{seed}/{cell[0]}/{cell[1]}/{cell[2]}".encode()).digest()


def assign_cells(
    members: Mapping[Cell, Sequence[str]], seed: int, shares: tuple[float, float, float] = SHARES
) -> dict[Cell, str]:
    """Split of each cell. `members`: the labels of its samples ("" where there are none).

    Cells come in the order of a hash of seed and cell; each goes to the split that lacks most samples for its share.
    Before that every class gets a cell in train, those in the fewest cells first: a class that lies in one cell alone is
    learnt and not scored.
    """
    if len(shares) != 3 or min(shares) <= 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise InputError("shares of train, val and test are above 0 and add up to 1", found=shares)
    if len(members) < len(SPLITS):
        raise InputError(
            f"{len(members)} cells cannot fill three splits", fix="choose smaller cells or add places"
        )
    order = sorted(members, key=lambda cell: _order(seed, cell))
    total = sum(len(labels) for labels in members.values())
    chosen: dict[Cell, str] = {}
    cells_of: dict[str, list[Cell]] = defaultdict(list)
    for cell in order:
        for label in sorted(set(members[cell])):
            cells_of[label].append(cell)
    learnt: set[str] = set()
    for label in sorted(cells_of, key=lambda name: (len(cells_of[name]), name)):
        if label and label not in learnt:
            chosen[cells_of[label][0]] = "train"
            learnt.update(members[cells_of[label][0]])
    filled = Counter(dict.fromkeys(SPLITS, 0))
    for cell in chosen:
        filled["train"] += len(members[cell])
    for cell in order:
        if cell not in chosen:
            lack = [share * total - filled[split] for split, share in zip(SPLITS, shares, strict=True)]
            chosen[cell] = SPLITS[lack.index(max(lack))]
            filled[chosen[cell]] += len(members[cell])
    return chosen


def check(found: Sequence[Assigned], path: object = None) -> None:
    """Raises InputError for an empty split, a class absent from train, a cell in two splits, a name twice."""
    counts = Counter(sample.split for sample in found)
    for split in SPLITS:
        if not counts[split]:
            raise InputError(
                f"split {split} is empty", path=path, fix="choose smaller cells, another seed or other shares"
            )
    strange = sorted(set(counts) - set(SPLITS))
    if strange:
        raise InputError(f"there is no split {strange[0]}", path=path, expected=", ".join(SPLITS))
    learnt = {sample.label for sample in found if sample.split == "train"}
    for sample in found:
        if sample.label not in learnt:
            raise InputError(
                f"class {sample.label!r} is absent from train",
                path=path,
                found=f"{sample.name} in {sample.split}",
                fix="choose smaller cells or another seed, or leave the class out",
            )
    where: dict[Cell, str] = {}
    for sample in found:
        if where.setdefault(sample.cell, sample.split) != sample.split:
            raise InputError(
                "a cell lies in two splits", path=path, found=sample.cell, fix="make the split anew"
            )
    if len({sample.name for sample in found}) != len(found):
        raise InputError("two samples have one name", path=path, fix="name them apart")


def _assigned(
    names: Sequence[str],
    cells: Sequence[Cell],
    labels: Sequence[str] | None,
    seed: int,
    shares: tuple[float, float, float],
    windows: Sequence[Window] | None = None,
) -> list[Assigned]:
    texts = [""] * len(names) if labels is None else [str(label) for label in labels]
    if not len(names) == len(cells) == len(texts):
        raise InputError(
            "every sample needs a place and a label", expected=len(names), found=(len(cells), len(texts))
        )
    members: dict[Cell, list[str]] = defaultdict(list)
    for cell, label in zip(cells, texts, strict=True):
        members[cell].append(label)
    chosen = assign_cells(members, seed, shares)
    found = [
        Assigned(name, chosen[cell], cell, label, windows[i] if windows else None)
        for i, (name, cell, label) in enumerate(zip(names, cells, texts, strict=True))
    ]
    check(found)
    return found


def by_degrees(
    names: Sequence[str],
    latitude: Sequence[float],
    longitude: Sequence[float],
    *,
    cell_deg: float,
    seed: int,
    labels: Sequence[str] | None = None,
    shares: tuple[float, float, float] = SHARES,
) -> list[Assigned]:
    """Samples at coordinates (degrees) in cells of `cell_deg`, whose corners lie on multiples of it.

    Near a pole cells are narrow; the distance between splits is nowhere guaranteed, only that no cell is torn.
    """
    if not cell_deg > 0 or cell_deg > 90:
        raise InputError("a cell has between 0 and 90 degrees", found=cell_deg)
    if not len(names) == len(latitude) == len(longitude):
        raise InputError("every sample needs a latitude and a longitude", expected=len(names))
    cells: list[Cell] = []
    for name, lat, lon in zip(names, latitude, longitude, strict=True):
        if not (math.isfinite(lat) and math.isfinite(lon) and -90 <= lat <= 90 and -360 <= lon <= 360):
            raise InputError(
                f"sample {name!r} lies nowhere on Earth", found=(lat, lon), fix="give degrees, latitude first"
            )
        east = (lon + 180) % 360 - 180  # 359° and −1° are one place
        cells.append(("", math.floor(lat / cell_deg), math.floor(east / cell_deg)))
    return _assigned(names, cells, labels, seed, shares)


def by_pixels(
    windows: Sequence[Window],
    *,
    cell_px: int,
    seed: int,
    labels: Sequence[str] | None = None,
    shares: tuple[float, float, float] = SHARES,
) -> tuple[list[Assigned], list[Window]]:
    """Windows in square cells of their file, and the windows that are left out because they cross a border of cells."""
    if cell_px < 1:
        raise InputError("a cell has at least one pixel", found=cell_px)
    if labels is not None and len(labels) != len(windows):
        raise InputError("every window needs a label", expected=len(windows), found=len(labels))
    names, cells, kept, texts, out = [], [], [], [], []
    for i, w in enumerate(windows):
        first = (w.row // cell_px, w.col // cell_px)
        if first != ((w.row + w.height - 1) // cell_px, (w.col + w.width - 1) // cell_px):
            out.append(w)
            continue
        names.append(f"{w.file}/{w.row}/{w.col}")
        cells.append((w.file, *first))
        kept.append(w)
        texts.append(labels[i] if labels is not None else "")
    if not kept:
        raise InputError(
            "every window crosses a border of cells",
            found=f"{len(windows)} windows",
            fix="choose larger cells",
        )
    return _assigned(names, cells, texts, seed, shares, kept), out


_POINTS = ("split", "name", "cell_row", "cell_col", "label")
_WINDOWS = ("set", "file", "split", "row_off", "col_off", "height", "width", "cell_row", "cell_col", "label")


def write_splits(path: Path, found: Sequence[Assigned], data_set: str = "") -> None:
    """CSV, whole or not at all. Windows have the columns of the collection's `windows.csv` first, so that
    `codec.data.splits.windows` reads them; `data_set` is the name in their first column."""
    check(found, path)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    windows = [sample.window is not None for sample in found]
    if any(windows) != all(windows):
        raise InputError("windows and points do not go into one table", path=path)
    writer.writerow(_WINDOWS if windows[0] else _POINTS)
    for s in found:
        if s.window is not None:
            w = s.window
            place = (data_set, w.file, s.split, w.row, w.col, w.height, w.width)
            writer.writerow((*place, s.cell[1], s.cell[2], s.label))
        else:
            writer.writerow((s.split, s.name, s.cell[1], s.cell[2], s.label))
    write_atomic(Path(path), text.getvalue().encode())


def read_splits(path: Path) -> list[Assigned]:
    """What `write_splits` wrote, checked as when it was made. Anything else raises InputError."""
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            header = tuple(reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"not a split table: {error}", path=path, fix="make it with write_splits") from error
    if header not in (_POINTS, _WINDOWS):
        raise InputError("not a split table", path=path, expected=_POINTS, found=header)
    found = []
    for line, row in enumerate(rows, start=2):
        try:
            place = int(row["cell_row"]), int(row["cell_col"])
            if header == _POINTS:
                found.append(Assigned(row["name"], row["split"], ("", *place), row["label"]))
                continue
            w = Window(row["file"], *(int(row[key]) for key in ("row_off", "col_off", "height", "width")))
        except (TypeError, ValueError) as error:
            raise InputError(f"line {line} is no row of a split table", path=path, found=row) from error
        name = f"{w.file}/{w.row}/{w.col}"
        found.append(Assigned(name, row["split"], (w.file, *place), row["label"], w))
    if not found:
        raise InputError("the split table has no rows", path=path, fix="make it with write_splits")
    check(found, path)
    return found
