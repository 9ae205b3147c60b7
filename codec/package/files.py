"""Files of a package folder: names that stay inside it, sizes that stay bounded, hashes."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from codec.errors import Corrupt, IdentityError, InputError, LimitExceeded

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
MAX_FILES = 1024
MAX_FILE_BYTES = 8 << 30  # an encoder with its optimiser left in; anything larger is no part of a package
MAX_NAME = 200
# Parts begin with a letter, digit or underscore: neither "..", nor hidden files, nor absolute paths can be written.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What the manifest says of one file."""

    size: int  # bytes
    sha256: str  # hex


def check_name(name: str, manifest: Path) -> None:
    """Raise Corrupt when a file name of a manifest could lead out of the folder."""
    if len(name) > MAX_NAME or not _NAME.fullmatch(name) or name in (MANIFEST, SIGNATURE):
        raise Corrupt(
            f"the manifest names the file {name!r}",
            path=manifest,
            expected="a path inside the folder of letters, digits, '_', '-', '.'",
            found=name,
            fix="do not use this package; get it again from its source",
        )


def resolve(folder: Path, name: str) -> Path:
    """The file `name` of the package, refused when it is absent, no regular file, or a link that leads outside."""
    check_name(name, folder / MANIFEST)
    path = folder / name
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(folder)):
        raise Corrupt("a link leads out of the package folder", path=path, fix="replace the link by the file")
    try:
        mode = real.stat().st_mode
    except OSError as error:
        raise Corrupt(
            "a file that the manifest lists is missing",
            path=path,
            fix="get the package again from its source",
        ) from error
    if not stat.S_ISREG(mode):
        raise Corrupt("not a regular file", path=path)
    return path


def read_checked(folder: Path, name: str, entry: FileEntry, limit: int) -> bytes:
    """The bytes of a listed file, read once: what was hashed is what is parsed. Raises as `verify`."""
    path = resolve(folder, name)
    if entry.size > limit:
        raise LimitExceeded(f"{name} has {entry.size} bytes, at most {limit} are allowed", path=path)
    with open(path, "rb") as file:
        data = file.read(entry.size + 1)
    _compare(path, entry, len(data), hashlib.sha256(data).hexdigest())
    return data


def verify(folder: Path, name: str, entry: FileEntry) -> None:
    """Compare a listed file with its size and hash. Raises Corrupt naming the file."""
    path = resolve(folder, name)
    size = path.stat().st_size
    _compare(path, entry, size, sha256_of(path) if size == entry.size else "")


def _compare(path: Path, entry: FileEntry, size: int, sha256: str) -> None:
    fix = "the file was changed or damaged; get the package again from its source"
    if size != entry.size:
        raise Corrupt(
            "the size differs from the manifest", path=path, expected=entry.size, found=size, fix=fix
        )
    if sha256 != entry.sha256:
        raise Corrupt(
            "the SHA-256 differs from the manifest", path=path, expected=entry.sha256, found=sha256, fix=fix
        )


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def entry_of(path: Path) -> FileEntry:
    return FileEntry(path.stat().st_size, sha256_of(path))


def names_in(folder: Path) -> list[str]:
    """Names of all files below the folder but the manifest and its signature, sorted; hidden ones left out.

    Raises LimitExceeded above 1024 files.
    """
    found: list[str] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__")))
        for file in files:
            name = (Path(parent) / file).relative_to(folder).as_posix()
            if not file.startswith(".") and name not in (MANIFEST, SIGNATURE):
                found.append(name)
        if len(found) > MAX_FILES:
            raise LimitExceeded(f"more than {MAX_FILES} files in a package", path=folder)
    return sorted(found)


def package_folder(path: Path) -> Path:
    """The folder of a package, given the folder or its manifest. Raises InputError when there is none."""
    folder = path.parent if path.name == MANIFEST else path
    if not folder.is_dir():
        raise InputError("no such package folder", path=folder)
    if not (folder / MANIFEST).is_file():
        raise IdentityError(f"no {MANIFEST} in the folder; it is not a model package", path=folder)
    return folder
