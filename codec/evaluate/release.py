"""A release is scored on unseen tiles once: its rows carry the encoders' hash, and another encoder's are not overwritten.

Looking twice at the same tiles and keeping the better model is choosing on them; `--again` says that this is wanted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from codec.errors import InputError
from codec.evaluate.measured import Subject
from codec.evaluate.rows import Row, load, versions

PACKAGES = ("swathpack", "torch", "numpy")
RELEASE_SPLITS = ("unseen", "test")
_MARK = "encoders "


def identity(paths: Sequence[Path]) -> str:
    """Twelve hexadecimal digits of the encoder files, whatever their order and names."""
    try:
        digests = sorted(hashlib.sha256(path.read_bytes()).digest() for path in paths)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=error.filename) from error
    return hashlib.sha256(b"".join(digests)).hexdigest()[:12]


def stamp(found: str) -> str:
    """The `versions` of a row, with the encoders it belongs to."""
    return f"{versions(PACKAGES)}; {_MARK}{found}"


def measured_on_release_splits(row: Row, subject: Subject) -> bool:
    """Is this a number of the subject on tiles that choices must not see?"""
    place, _, owner = row.case.rpartition("/")
    return (
        row.suite == subject.suite
        and owner == subject.name
        and any(f"-{split}" in f"{place}/" for split in RELEASE_SPLITS)
    )


def refuse_another(results: Path, subject: Subject, found: str, *, again: bool) -> None:
    """Raises InputError where the file has release rows of other encoders under this name, unless `again`."""
    if again or not results.exists():
        return
    for row in load(results):
        if measured_on_release_splits(row, subject) and not row.versions.endswith(_MARK + found):
            other = row.versions.rpartition(_MARK)[2] if _MARK in row.versions else "an unknown encoder"
            raise InputError(
                f"{subject.name} was scored on unseen tiles before, with other weights",
                path=results,
                expected=other,
                found=found,
                fix="choose on --split val; --again replaces the rows of a release",
            )
