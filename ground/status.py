"""What a station knows, as one JSON-able value; readable while the daemon runs."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from codec.errors import InputError
from ground.ledger import ledger_refusals
from ground.station import ledger_path


def status(station: Path) -> dict[str, Any]:
    """Files with state, link counts and current version; refusals by kind. Times are microseconds since 1970.

    Raises InputError when there is no station, Corrupt when its ledger is damaged.
    """
    path = ledger_path(station)
    if not path.is_file():
        raise InputError(
            "no station has worked here", path=station, fix="start `swathpack ground serve` on it"
        )
    with ledger_refusals(path):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            db.execute("BEGIN")  # one view of all tables
            return {
                "files": [_file(db, station, row) for row in _rows(db, _FILES)],
                "refusals": _rows(db, _REFUSALS),
            }
        finally:
            db.close()


_FILES = "SELECT file_id, state, detail, link, first_us, last_us FROM files ORDER BY file_id"
_REFUSALS = "SELECT kind, what, source, times, first_us, last_us FROM refusals ORDER BY kind, what, source"
_VERSIONS = "SELECT number, inputs, complete, published_us FROM versions WHERE file_id = ? ORDER BY number"


def _file(db: sqlite3.Connection, station: Path, row: dict[str, Any]) -> dict[str, Any]:
    versions = _rows(db, _VERSIONS, row["file_id"])
    for version in versions:
        version["complete"] = bool(version["complete"])
    duplicates = db.execute(
        "SELECT COALESCE(SUM(copies - 1), 0) FROM pieces WHERE file_id = ?", (row["file_id"],)
    ).fetchone()[0]
    folder = station / "products" / row["file_id"] / "current"
    return {
        **row,
        "link": json.loads(row["link"]),
        "duplicates": duplicates,
        "versions": versions,
        "products": str(folder) if folder.is_dir() else None,
    }


def _rows(db: sqlite3.Connection, query: str, *values: str) -> list[dict[str, Any]]:
    cursor = db.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
