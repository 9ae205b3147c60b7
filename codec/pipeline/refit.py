"""A package with new tables, made from received files alone (`codec.transform.refit` says how)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codec.atomic import write_atomic
from codec.bitstream.core import TableSet
from codec.errors import InputError
from codec.package import Package, files, refresh
from codec.package.files import MANIFEST, MAX_FILE_BYTES
from codec.package.manifest import TABLES
from codec.pipeline.received import ReceivedSymbols
from codec.transform.refit import PlaneSymbolSet, Refitted, refit

_MARK = "+refit."  # before the codec id that a version was made from
_LISTED = 64  # file ids that the manifest names


def refit_tables(package: Package, received: Sequence[ReceivedSymbols]) -> Refitted:
    """New tables for what was received of a package. Order does not matter; a file given twice counts once.

    Raises InputError where a plane has too few wholly valid tiles (saying how many are needed) or holds integers, for
    files that carry tables of their own, and for copies of a file that differ (`codec.pipeline.received.merged` is what
    makes one of them).
    """
    if package.refining:
        raise InputError(
            f"package {package.name!r} has planes that refine others, whose tables received symbols do not make",
            fix="fit it again from embeddings",
        )
    by_id: dict[bytes, ReceivedSymbols] = {}
    for file in received:
        if not by_id.setdefault(file.header.file_id, file).says_as(file):
            raise InputError(
                "a file is given twice, and not the same was received of it",
                found=file.header.file_id.hex(),
                fix="put the records of both together",
            )
    for file in by_id.values():
        if file.header.embeds_tables:
            raise InputError(
                "a file with tables of its own says nothing about the package's",
                found=file.header.file_id.hex(),
                fix="leave it out",
            )
    return refit(
        package.table_file,
        (
            PlaneSymbolSet(plane.plane, file.header.ladder_index, plane.symbols, plane.layers, plane.offsets)
            for _, file in sorted(by_id.items())
            for plane in file.planes
        ),
    )


def write_refitted(
    package: Package, fitted: Refitted, received: Sequence[ReceivedSymbols], folder: Path
) -> Package:
    """Write the package with its new tables into `folder`, which is there and empty; load it.

    All other files are copied and checked on the way, the signature is not: it was for other tables. Space ids stay,
    the codec id is new. Raises InputError where the tables come out as they were, and what loading a package raises.
    """
    data = fitted.tables.encode()
    TableSet(data)  # the core's own validation
    old = (package.folder / TABLES).read_bytes()
    if data == old:
        raise InputError(
            "the tables fit what was received: a refit changes nothing",
            path=package.folder,
            fix="keep the package",
        )
    for name, entry in package.manifest.files.items():
        if name != TABLES:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(place, files.read_checked(package.folder, name, entry, MAX_FILE_BYTES))
    write_atomic(folder / TABLES, old)  # the manifest is legal before and after the exchange
    write_atomic(folder / MANIFEST, _manifest(package, fitted, received))
    write_atomic(folder / TABLES, data)
    return refresh(folder)


def _manifest(package: Package, fitted: Refitted, received: Sequence[ReceivedSymbols]) -> bytes:
    raw: dict[str, Any] = dict(package.manifest.raw)
    ids = sorted({file.header.file_id.hex() for file in received})
    raw["version"] = raw["version"].partition(_MARK)[0] + _MARK + package.codec_id.hex()
    raw["notes"] = {
        **raw.get("notes", {}),
        "refit": {
            "from_codec_id": package.codec_id.hex(),
            "files": len(ids),
            "file_ids": ids[:_LISTED],
            "tiles": max(fitted.tiles),
            "measured": "cards and rate tables of this package were measured with the tables before",
        },
    }
    return json.dumps(raw, ensure_ascii=False, sort_keys=True, indent=1).encode() + b"\n"
