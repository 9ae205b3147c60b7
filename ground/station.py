"""The station's folder: who may use it, what is in it, and the steps that a loop strings together.

inbox/           dropped files; leave after they are spooled
spool/           everything received, as it came
ledger.sqlite    what is known, when it came, what was published
products/<file_id>/current/…
lock             held by the daemon that runs
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from codec.errors import Corrupt, SwathpackError, TryAgain
from ground import publish
from ground.files import Files, Sync, refusal
from ground.intake import PieceKind, interpret
from ground.ledger import FileRow, Ledger, State, remove_ledger
from ground.refine import Refinement, Refiner
from ground.spool import Arrival, Entry, Gap, Spool

_INDEX_GROUP = 500  # entries in one transaction while the spool is read again


@dataclass(frozen=True, slots=True)
class Published:
    """A new version stands: durable, and in the ledger."""

    file_id: str
    inputs: str
    number: int
    complete: bool


class Station:
    """One station's durable state. A context manager; holds the lock while it is open.

    Raises TryAgain when another daemon has the folder, InputError or LimitExceeded when the disk refuses.
    """

    def __init__(self, folder: Path, *, files: Files, segment_bytes: int, rebuild: bool = False) -> None:
        self.folder = folder.absolute()
        self.products = self.folder / "products"
        self.files = files
        self._make_folders()
        self._lock = _lock(self.folder / "lock")
        try:
            self.spool = Spool(self.folder / "spool", files, segment_bytes=segment_bytes)
            self.ledger = self._open_ledger(rebuild)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Station:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.spool.close()
        self.ledger.close()
        os.close(self._lock)

    def recover(self) -> None:
        """Index what the spool holds and the ledger does not know; take away what a dead process left."""
        segment, offset = self.ledger.position()
        self.spool.secure(segment)
        group: list[Entry | Gap] = []
        for found in self.spool.entries(segment, offset):
            group.append(found)
            if len(group) >= _INDEX_GROUP:
                self._index(group)
                group = []
        self._index(group)
        for row in self.ledger.files():
            publish.sweep(self.products, row.file_id, self.files)

    def receive(self, arrivals: Sequence[Arrival]) -> list[str]:
        """Make arrivals durable, then index them. Gives the file ids that have something new."""
        return self._index(self.spool.append(arrivals))

    def pending(self) -> list[FileRow]:
        """Files with pieces that nobody has looked at yet."""
        return [row for row in self.ledger.files() if row.generation > row.refined]

    def waiting_for_package(self) -> list[FileRow]:
        return [row for row in self.ledger.files() if row.state == State.NO_PACKAGE]

    def work(self, refiner: Refiner, row: FileRow) -> Callable[[], Refinement]:
        """The look at one file, as a call that may run in another thread: all it needs from the ledger is in it."""
        packets = self.ledger.pieces(row.file_id, PieceKind.PACKET)
        containers = self.ledger.pieces(row.file_id, PieceKind.CONTAINER)
        published = publish.current(self.products / row.file_id)
        if published is not None and not self.ledger.knows(row.file_id, published):
            published = None  # its writer died before the ledger heard of it, perhaps before it was durable: do it again
        return lambda: refiner.refine(row, packets, containers, published)

    def settle(self, done: Refinement, time_us: int) -> Published | None:
        """Publish what a look at a file gave, enter its state, and remove the version before."""
        row = done.row
        if not done.products:
            self.ledger.settle(row.file_id, row.generation, row.state, row.detail, row.link)
            return None
        publish.publish(self.products, row.file_id, done.inputs, done.products, self.files)
        products = publish.hashes(done.products)
        number = self.ledger.published(row, done.inputs, products, complete=done.complete, time_us=time_us)
        publish.sweep(self.products, row.file_id, self.files)
        return Published(row.file_id, done.inputs, number, done.complete)

    def _index(self, found: Iterable[Entry | Gap]) -> list[str]:
        return self.ledger.index([interpret(item) for item in found])

    def _make_folders(self) -> None:
        made = [path for path in (self.folder, *self.folder.parents) if not path.is_dir()]
        for path in reversed(made or [self.folder]):
            self.files.make_folder(path)
            self.files.sync_folder(path.parent, Sync.STATION_NAME)
        for name in ("inbox", "spool", "ledger", "products"):
            self.files.make_folder(self.folder / name)
        self.files.sync_folder(self.folder, Sync.STATION_FOLDERS)

    def _open_ledger(self, rebuild: bool) -> Ledger:
        path = ledger_path(self.folder)
        try:
            ledger = Ledger.open(path, self.files)
        except (Corrupt, SwathpackError):
            if not rebuild:
                raise
            remove_ledger(path, self.files.remove)
            ledger = Ledger.open(path, self.files)
        if rebuild:
            ledger.forget_index()
        return ledger


def ledger_path(station: Path) -> Path:
    return station / "ledger" / "ledger.sqlite"


def _lock(path: Path) -> int:
    try:
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise refusal(error, path) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise TryAgain(
            "another daemon works on this station", path=path.parent, fix="stop it, or use another folder"
        ) from error
    return handle
