"""A fitted package's folder: it appears whole or not at all, and replaces another only when that is asked for."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codec.atomic import fsync_folder
from codec.errors import InputError, LimitExceeded
from codec.package.files import MANIFEST
from codec.package.manifest import TABLES, TRANSFORM

_FITTED = frozenset({MANIFEST, TABLES, TRANSFORM})


def check_place(folder: Path, *, again: bool) -> None:
    """Raise InputError where a package must not be put: before anything is computed, and once more before it is moved.

    With `again` a package that was fitted may be replaced; a folder with anything else in it never is.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError("there is something else than a folder", path=folder, fix="name a new folder")
    found = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
    if found and not again:
        raise InputError(
            "the package's folder is not empty", path=folder,
            fix="name a new folder; fitting replaces a fitted package if asked to (--force, again=True)",
        )  # fmt: skip
    if found and not (MANIFEST in found and found <= _FITTED):
        raise InputError(
            "the folder holds more than a fitted package, and is not replaced", path=folder,
            found=", ".join(sorted(found - _FITTED)[:3]) or f"no {MANIFEST}", fix="name a new folder",
        )  # fmt: skip


@contextmanager
def whole_folder(folder: Path, *, again: bool) -> Iterator[Path]:
    """A new folder beside `folder` to build in; moved there when the block ends well, removed when it does not.

    Folders above it are made where they are missing.
    """
    place = folder.absolute()
    check_place(place, again=again)
    old: Path | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent))
    except OSError as error:
        raise _refusal(error, place) from error
    try:
        yield building
        building.chmod(0o755)  # mkdtemp's is for its owner alone
        fsync_folder(building)
        check_place(place, again=again)
        if place.exists():
            old = building.with_suffix(".old")
            place.rename(old)
        building.rename(place)
        fsync_folder(place.parent)
    except BaseException as error:
        if old is not None and old.exists() and not place.exists():
            old.rename(place)
        shutil.rmtree(building, ignore_errors=True)
        if isinstance(error, OSError):
            raise _refusal(error, place) from error
        raise
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _refusal(error: OSError, folder: Path) -> InputError | LimitExceeded:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LimitExceeded(
            "the disk is full, no package was written", path=folder, fix="free space and repeat"
        )
    what = error.strerror or os.strerror(error.errno or 0)
    return InputError(f"cannot be written: {what}", path=folder, fix="choose a folder you may write to")
