"""The one place through which a station changes what is on disk, and makes it last.

Every fsync has a name (`Sync`). The list holds no more than is needed: a test leaves out one at a time, cuts the power
at many instants of a recorded run, and must see something lost or broken for each. `Files(skip=…)` is for that test.

`SWATHPACK_CRASH_AT=n` in the environment makes the process kill itself (SIGKILL) at its n-th crash point; there is one
before and one after each write, fsync, rename, removal and commit. It is for tests of recovery and off otherwise.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from codec.errors import InputError, LimitExceeded, SwathpackError, UsageError

CRASH_AT = "SWATHPACK_CRASH_AT"
# EFBIG, ENOSPC, EDQUOT: the file-size limit of the process, a full disk, a full quota
_NO_SPACE = frozenset({27, 28, 122})


class Sync(str, Enum):
    """The fsyncs of a station, by what they keep; each is called from one place (a test counts)."""

    STATION_NAME = "station-name"  # name of the station's folder, and of those above it that were made
    STATION_FOLDERS = "station-folders"  # names of its inbox, spool, ledger and products
    SEGMENT_NAME = "segment-name"  # name of a new spool segment
    SEGMENT_DATA = "segment-data"  # appended spool entries
    SEGMENT_FOUND = "segment-found"  # entries that a killed process had written and perhaps not synced
    LEDGER_COMMIT = "ledger-commit"  # SQLite's own, synchronous=FULL
    PRODUCT_HOME = "product-home"  # name of a file's folder in products/
    PRODUCT_DATA = "product-data"  # bytes of each product
    PRODUCT_NAMES = "product-names"  # their names in the version's folder
    PRODUCT_VERSION = "product-version"  # name of the version's folder, before `current` shows to it
    PRODUCT_CURRENT = "product-current"  # the swapped `current`, before the ledger hears of it


class Files:
    """Durable changes. Every method raises LimitExceeded when the disk is full and InputError when it refuses."""

    def __init__(self, *, crash_at: int | None = None, skip: Iterable[Sync] = ()) -> None:
        self._crash_at = _crash_at() if crash_at is None else crash_at
        self._skip = frozenset(skip)
        self.crash_points = 0  # passed so far

    def syncs(self, name: Sync) -> bool:
        return name not in self._skip

    def crash_point(self) -> None:
        """One instant at which a test may kill the process."""
        self.crash_points += 1
        if self.crash_points == self._crash_at:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def change(self, path: Path) -> Iterator[None]:
        """One change on disk between two crash points, its refusal put into words."""
        self.crash_point()
        try:
            yield
        except OSError as error:
            raise refusal(error, path) from error
        self.crash_point()

    def make_folder(self, path: Path) -> None:
        """Folder `path`, made if absent. Sync its parent also when it was there: who made it may not have lived to."""
        with self.change(path):
            path.mkdir(exist_ok=True)

    def new_file(self, path: Path) -> int:
        """Handle of a new, empty file, for appending."""
        with self.change(path):
            return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def append(self, handle: int, data: bytes, path: Path) -> None:
        with self.change(path):
            view = memoryview(data)
            while view:  # a short write is legal
                view = view[os.write(handle, view) :]

    def sync_handle(self, handle: int, path: Path, name: Sync) -> None:
        """What was written to `handle`, its length included, survives a power cut from here on."""
        if self.syncs(name):
            with self.change(path):
                os.fsync(handle)

    def sync_file(self, path: Path, name: Sync) -> None:
        """As `sync_handle`, for a file that another process may have written."""
        if self.syncs(name):
            with self.change(path):
                _fsync_path(path, os.O_RDONLY)

    def sync_folder(self, path: Path, name: Sync) -> None:
        """The names in `path`: new ones, renamed ones, removed ones."""
        if self.syncs(name):
            with self.change(path):
                _fsync_path(path, os.O_RDONLY | os.O_DIRECTORY)

    def write_file(self, path: Path, data: bytes, name: Sync) -> None:
        """A new file with synced content; its folder is still to be synced."""
        handle = self.new_file(path)
        try:
            self.append(handle, data, path)
            self.sync_handle(handle, path, name)
        finally:
            os.close(handle)

    def rename(self, old: Path, new: Path) -> None:
        with self.change(new):
            old.replace(new)

    def link(self, path: Path, target: str) -> None:
        """Symbolic link `path` to `target`, replacing another in one step."""
        temporary = path.with_name(f".{path.name}.part")
        temporary.unlink(missing_ok=True)
        with self.change(path):
            temporary.symlink_to(target)
        self.rename(temporary, path)

    def remove(self, path: Path) -> None:
        """A file, or a folder with all that is in it; nothing if absent. Not synced: what comes back does no harm."""
        with self.change(path):
            try:
                is_folder = stat.S_ISDIR(path.lstat().st_mode)
            except FileNotFoundError:
                return
            if is_folder:
                shutil.rmtree(path)
            else:
                path.unlink()


def _crash_at() -> int:
    text = os.environ.get(CRASH_AT, "0")
    if not text.isdecimal():
        raise UsageError(f"{CRASH_AT} is a number of crash points", found=text)
    return int(text)


def _fsync_path(path: Path, flags: int) -> None:
    handle = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def refusal(error: OSError, path: Path) -> SwathpackError:
    """The operating system's refusal as one line: what, where, what to do."""
    if error.errno in _NO_SPACE:
        return LimitExceeded(
            "the disk is full", path=path, fix="free space and start again; the spool is whole"
        )
    return InputError(
        f"cannot be written: {error.strerror or error}", path=path, fix="choose a folder you may write to"
    )
