"""Entries and labels as the challenge writes them.

Embeddings: a CSV with a column `id` and one column per dimension, named 0, 1, 2 … (their order is that of the numbers;
where no column is named by digits, all but `id` in file order), or a numpy `.npz` with `embeddings` N×D and `ids` or
`filenames`. Ids lose a trailing `.zarr.zip` or `.zarr`. Labels: a folder of `<task>__<type>.csv` with columns `id` and
`label`, type `regression` (`regr`) or `classification` (`cls`); rows without a label are left out.

Sources: embed2scale/NeuCo-Bench `benchmark/data/embeddings.py` @ 209d157, `benchmark/data/labels.py` @ 58d20da; the arrays
of a `.npz` as isaaccorley/embed2scale-challenge-solution-4th-place `solution.ipynb` @ 9894607 saves them.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codec.errors import InputError
from codec.evaluate.neuco.protocol import CAP, KINDS, Entry, Task
from codec.types import FloatArray

_SUFFIXES = (".zarr.zip", ".zarr")


def plain_id(name: str) -> str:
    """An item's id without the suffix of the file it came from."""
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def read_entries(paths: Sequence[Path]) -> list[Entry]:
    """One entry per file; of a folder all its `.csv` and `.npz`. The name of an entry is that of its file."""
    files: list[Path] = []
    for path in paths:
        found = sorted(p for p in path.iterdir() if p.suffix in (".csv", ".npz")) if path.is_dir() else [path]
        if not found:
            raise InputError("the folder holds no .csv or .npz of embeddings", path=path)
        files += found
    entries = [_read(path) for path in files]
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names):
        raise InputError("two entries have the same name", found=names, fix="rename one of the files")
    return entries


def _read(path: Path) -> Entry:
    if not path.is_file():
        raise InputError("there is no such file of embeddings", path=path)
    if path.suffix == ".npz":
        ids, vectors = _from_npz(path)
    elif path.suffix == ".csv":
        ids, vectors = _from_csv(path)
    else:
        raise InputError("embeddings are a .csv or a .npz", path=path, found=path.suffix)
    try:
        return Entry(path.stem, tuple(plain_id(name) for name in ids), vectors)
    except InputError as error:
        raise InputError(
            error.what, path=path, expected=error.expected, found=error.found, fix=error.fix
        ) from error


def _from_npz(path: Path) -> tuple[list[str], FloatArray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            key = next((name for name in ("ids", "filenames", "id") if name in file.files), None)
            if key is None or "embeddings" not in file.files:
                raise InputError(
                    "embeddings and their ids were not found",
                    path=path,
                    expected="embeddings and ids",
                    found=file.files,
                )
            ids, vectors = [str(name) for name in file[key].tolist()], np.asarray(file["embeddings"])
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"not a numpy archive: {error}", path=path) from error
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise InputError(
            "embeddings are numbers, items × dimensions", path=path, found=f"{vectors.dtype} {vectors.shape}"
        )
    return ids, vectors.astype(np.float32)


def _from_csv(path: Path) -> tuple[list[str], FloatArray]:
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        head = next(reader, [])
        if "id" not in head:
            raise InputError("a table of embeddings needs a column id", path=path, found=head[:5])
        key = head.index("id")
        numbered = sorted((int(name), i) for i, name in enumerate(head) if name.isdecimal())
        columns = [i for _, i in numbered] or [i for i in range(len(head)) if i != key]
        if len(columns) > CAP:
            raise InputError(
                f"the vectors are above the cap of {CAP} floats",
                path=path,
                expected=f"at most {CAP}",
                found=len(columns),
            )
        ids, rows = [], []
        for line, row in enumerate(reader, start=2):
            if len(row) != len(head):
                raise InputError(
                    f"line {line} has another number of fields", path=path, expected=len(head), found=len(row)
                )
            try:
                rows.append(np.array([row[i] for i in columns], np.float32))
            except ValueError as error:
                raise InputError(
                    f"line {line} holds something else than numbers: {error}", path=path
                ) from error
            ids.append(row[key])
    if not rows:
        raise InputError("the table of embeddings has no rows", path=path)
    return ids, np.stack(rows)


def read_labels(folder: Path) -> list[Task]:
    """Tasks of a folder, by name. Raises InputError for a file whose name is none, or whose labels are none."""
    if not folder.is_dir():
        raise InputError("there is no such folder of labels", path=folder)
    tasks = [_task(path) for path in sorted(folder.glob("*.csv"))]
    if not tasks:
        raise InputError("the folder holds no labels", path=folder, expected="<task>__<type>.csv")
    return tasks


def _task(path: Path) -> Task:
    name, _, kind = path.stem.partition("__")
    if kind not in KINDS:
        raise InputError(
            "the file's name does not say its type",
            path=path,
            expected=f"<task>__{'|'.join(KINDS)}.csv",
            found=path.name,
        )
    ids, labels = [], []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if not {"id", "label"} <= set(reader.fieldnames or ()):
            raise InputError(
                "a table of labels needs columns id and label", path=path, found=reader.fieldnames
            )
        for row in reader:
            if not row["label"]:
                continue
            try:
                labels.append(float(row["label"]))
            except ValueError as error:
                raise InputError(
                    f"line {reader.line_num} has no number as label", path=path, found=row["label"]
                ) from error
            ids.append(plain_id(row["id"]))
    try:
        return Task(name, KINDS[kind], tuple(ids), np.array(labels, np.float64))
    except InputError as error:
        raise InputError(
            error.what, path=path, expected=error.expected, found=error.found, fix=error.fix
        ) from error


def read_groups(path: Path, ids: Sequence[str]) -> np.ndarray:
    """Group number of each item from a CSV with columns `id` and `group`: items that must not be torn apart."""
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if not {"id", "group"} <= set(reader.fieldnames or ()):
            raise InputError(
                "a table of groups needs columns id and group", path=path, found=reader.fieldnames
            )
        found = {plain_id(row["id"]): row["group"] for row in reader}
    missing = [name for name in ids if name not in found]
    if missing:
        raise InputError(f"{len(missing)} items have no group, first {missing[0]}", path=path)
    return np.unique([found[name] for name in ids], return_inverse=True)[1].astype(np.int64)
