"""The ledger: what the station knows, in SQLite (WAL, synchronous=FULL). All times live here and in the spool.

It is an index over the spool and a log of what was published. The index can be made anew from the spool at any time
(`rebuild`); which version was published when, cannot, and is therefore committed before anybody is told.
Each method that changes something is one transaction. The SQL is portable but for the PRAGMAs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from codec.errors import Corrupt, InputError, LimitExceeded, SwathpackError
from ground.files import Files, Sync
from ground.intake import Meaning, Piece, Refusal
from ground.spool import Place

SCHEMA_VERSION = "1"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name VARCHAR(32) PRIMARY KEY, value VARCHAR(255) NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    file_id VARCHAR(16) PRIMARY KEY, generation BIGINT NOT NULL, refined BIGINT NOT NULL,
    state VARCHAR(32) NOT NULL, detail VARCHAR(1000) NOT NULL, link VARCHAR(4000) NOT NULL,
    first_us BIGINT NOT NULL, last_us BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS pieces (
    file_id VARCHAR(16) NOT NULL, kind INTEGER NOT NULL, digest VARCHAR(64) NOT NULL,
    segment BIGINT NOT NULL, position BIGINT NOT NULL, length BIGINT NOT NULL, copies BIGINT NOT NULL,
    PRIMARY KEY (file_id, kind, digest));
CREATE TABLE IF NOT EXISTS dropped (digest VARCHAR(64) PRIMARY KEY);
CREATE TABLE IF NOT EXISTS refusals (
    kind VARCHAR(32) NOT NULL, what VARCHAR(255) NOT NULL, source VARCHAR(255) NOT NULL,
    times BIGINT NOT NULL, first_us BIGINT NOT NULL, last_us BIGINT NOT NULL, PRIMARY KEY (kind, what, source));
CREATE TABLE IF NOT EXISTS versions (
    file_id VARCHAR(16) NOT NULL, inputs VARCHAR(64) NOT NULL, number BIGINT NOT NULL,
    complete INTEGER NOT NULL, published_us BIGINT NOT NULL, PRIMARY KEY (file_id, inputs));
CREATE TABLE IF NOT EXISTS products (
    file_id VARCHAR(16) NOT NULL, inputs VARCHAR(64) NOT NULL, name VARCHAR(255) NOT NULL,
    sha256 VARCHAR(64) NOT NULL, bytes BIGINT NOT NULL, PRIMARY KEY (file_id, inputs, name));
"""


class State:
    """What a file is doing; `detail` says more."""

    NEW = "new"  # something arrived, nothing made yet
    NO_HEADER = "waiting for header"
    NO_PACKAGE = "waiting for package"
    NO_RECORDS = "waiting for records"
    PARTIAL = "partial"  # published, something is missing
    COMPLETE = "complete"
    REFUSED = "refused"  # cannot be decoded; the detail says why


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file as the ledger has it."""

    file_id: str
    generation: int  # grows with every new piece
    refined: int  # the generation that was last worked on
    state: str
    detail: str
    link: str  # JSON: what the link layer reports


class Ledger:
    """One connection, used by one thread. `open` makes the file when it is absent."""

    def __init__(self, connection: sqlite3.Connection, files: Files, path: Path) -> None:
        self._db = connection
        self._files = files
        self._path = path

    @classmethod
    def open(cls, path: Path, files: Files) -> Ledger:
        """Raises Corrupt for a damaged ledger, InputError or LimitExceeded when the disk refuses."""
        with ledger_refusals(path):
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        ledger = cls(connection, files, path)
        try:
            with ledger_refusals(path):
                level = "FULL" if files.syncs(Sync.LEDGER_COMMIT) else "OFF"
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(f"PRAGMA synchronous={level}")
                with ledger._transaction():
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)
                    connection.execute(
                        "INSERT INTO facts VALUES ('schema', ?) ON CONFLICT DO NOTHING", (SCHEMA_VERSION,)
                    )
                if (found := ledger._fact("schema")) != SCHEMA_VERSION:
                    raise InputError(
                        "the ledger is of another version", path=path, expected=SCHEMA_VERSION, found=found,
                        fix="start once with --rebuild",
                    )  # fmt: skip
        except SwathpackError:
            connection.close()
            raise
        return ledger

    def close(self) -> None:
        self._db.close()

    def forget_index(self) -> None:
        """Drop what can be made again from the spool; the log of published versions stays."""
        with self._transaction():
            for table in ("pieces", "dropped", "refusals", "files"):
                self._db.execute(f"DELETE FROM {table}")
            self._db.execute("DELETE FROM facts WHERE name = 'position'")

    def position(self) -> tuple[int, int]:
        """Segment and offset up to which the spool is indexed."""
        segment, _, offset = self._fact("position", "0 0").partition(" ")
        return int(segment), int(offset)

    def index(self, meanings: Sequence[Meaning]) -> list[str]:
        """Enter what a stretch of the spool holds. Gives the file ids that have something new."""
        if not meanings:
            return []
        touched: dict[str, None] = {}
        with self._transaction():
            for meaning in meanings:
                if meaning.key and not self._first_time(meaning.key):
                    continue
                for piece in meaning.pieces:
                    if self._enter(piece):
                        touched[piece.file_id] = None
                for refusal in meaning.refusals:
                    self._refuse(refusal)
            self._db.execute(
                "INSERT INTO facts VALUES ('position', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                ("{} {}".format(*meanings[-1].end),),
            )
        return list(touched)

    def pieces(self, file_id: str, kind: int) -> list[Place]:
        """Where the pieces of a file stand, in the order of their digests: arrival plays no part."""
        rows = self._db.execute(
            "SELECT segment, position, length FROM pieces WHERE file_id = ? AND kind = ? ORDER BY digest",
            (file_id, kind),
        )
        return [Place(*row) for row in rows]

    def files(self) -> list[FileRow]:
        rows = self._db.execute(
            "SELECT file_id, generation, refined, state, detail, link FROM files ORDER BY file_id"
        )
        return [FileRow(*row) for row in rows]

    def settle(self, file_id: str, generation: int, state: str, detail: str, link: str) -> None:
        """A file was looked at as it was at `generation`, and nothing new was published."""
        with self._transaction():
            self._settle(file_id, generation, state, detail, link)

    def published(
        self,
        row: FileRow,
        inputs: str,
        products: Sequence[tuple[str, str, int]],
        *,
        complete: bool,
        time_us: int,
    ) -> int:
        """Version `inputs` of a file stands on the disk: (name, SHA-256, bytes) each. Gives the version's number.

        A version that was published before keeps its number and its time.
        """
        with self._transaction():
            (count,) = self._db.execute(
                "SELECT COUNT(*) FROM versions WHERE file_id = ?", (row.file_id,)
            ).fetchone()
            self._db.execute(
                "INSERT INTO versions VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (row.file_id, inputs, count + 1, complete, time_us),
            )
            self._db.executemany(
                "INSERT INTO products VALUES (?, ?, ?, ?, ?) ON CONFLICT (file_id, inputs, name)"
                " DO UPDATE SET sha256 = excluded.sha256, bytes = excluded.bytes",
                [(row.file_id, inputs, *product) for product in products],
            )
            self._settle(row.file_id, row.generation, row.state, row.detail, row.link)
            (number,) = self._db.execute(
                "SELECT number FROM versions WHERE file_id = ? AND inputs = ?", (row.file_id, inputs)
            ).fetchone()
        return int(number)

    def knows(self, file_id: str, inputs: str) -> bool:
        """Whether this version was entered as published."""
        query = "SELECT 1 FROM versions WHERE file_id = ? AND inputs = ?"
        return self._db.execute(query, (file_id, inputs)).fetchone() is not None

    def rows(self, table: str) -> list[tuple[object, ...]]:
        """A whole table, ordered; for reports and tests."""
        if table not in _SCHEMA.split():
            raise InputError("no such table in the ledger", found=table)
        return sorted(self._db.execute(f"SELECT * FROM {table}").fetchall())

    def _first_time(self, key: str) -> bool:
        return self._db.execute("INSERT INTO dropped VALUES (?) ON CONFLICT DO NOTHING", (key,)).rowcount == 1

    def _refuse(self, refusal: Refusal) -> None:
        self._db.execute(
            "INSERT INTO refusals VALUES (?, ?, ?, 1, ?, ?) ON CONFLICT (kind, what, source)"
            " DO UPDATE SET times = times + 1, last_us = excluded.last_us",
            (refusal.kind, refusal.what[:255], refusal.source[:255], refusal.time_us, refusal.time_us),
        )

    def _enter(self, piece: Piece) -> bool:
        place = piece.place
        known = self._db.execute(
            "UPDATE pieces SET copies = copies + 1 WHERE file_id = ? AND kind = ? AND digest = ?",
            (piece.file_id, piece.kind, piece.digest),
        ).rowcount
        if known:
            return False
        self._db.execute(
            "INSERT INTO pieces VALUES (?, ?, ?, ?, ?, ?, 1)",
            (piece.file_id, piece.kind, piece.digest, place.segment, place.offset, place.length),
        )
        self._db.execute(
            "INSERT INTO files VALUES (?, 1, 0, ?, '', '{}', ?, ?) ON CONFLICT (file_id)"
            " DO UPDATE SET generation = generation + 1, last_us = excluded.last_us",
            (piece.file_id, State.NEW, piece.time_us, piece.time_us),
        )
        return True

    def _settle(self, file_id: str, generation: int, state: str, detail: str, link: str) -> None:
        self._db.execute(
            "UPDATE files SET refined = ?, state = ?, detail = ?, link = ? WHERE file_id = ?",
            (generation, state, detail[:1000], link, file_id),
        )

    def _fact(self, name: str, default: str = "") -> str:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else default

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with ledger_refusals(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._files.crash_point()
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._files.crash_point()


@contextmanager
def ledger_refusals(path: Path) -> Iterator[None]:
    """SQLite's refusals as ours; around all that reads or writes a ledger."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        # A file-size limit and a full disk on a journal both come as "disk I/O error".
        if "full" in text or "disk I/O error" in text:
            raise LimitExceeded(
                f"the ledger cannot grow ({text})",
                path=path,
                fix="free space and start again; nothing is lost",
            ) from error
        raise InputError(
            f"the ledger cannot be written ({text})", path=path, fix="choose a folder you may write to"
        ) from error
    except sqlite3.DatabaseError as error:
        raise Corrupt(
            f"the ledger is damaged ({error})",
            path=path,
            fix="start once with --rebuild: it is made from the spool",
        ) from error


def remove_ledger(path: Path, remove: Callable[[Path], None]) -> None:
    """Take the ledger away, so that `open` makes a new one."""
    for suffix in ("-wal", "-shm", ""):
        remove(path.with_name(path.name + suffix))
