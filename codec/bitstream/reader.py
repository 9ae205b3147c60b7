"""Reading a whole `.nec` file: header, usable records, embedded tables, and a report of all else."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from codec.bitstream import tables_records
from codec.bitstream.core import TableSet
from codec.bitstream.header import FileHeader
from codec.bitstream.scan import Refused, ScanResult, SealState, Stretch, scan
from codec.bitstream.tables_records import EmbeddedTables
from codec.errors import Corrupt, FormatError, InputError, LimitExceeded
from codec.types import Record

DEFAULT_MAX_FILE = 2**32  # bytes: more than 65,536 tiles of 65,536 bytes; a stream without an end stops there


@dataclass(frozen=True)
class NecFile:
    """A file as read. `records` are the intact coefficient records, duplicates included, in file order."""

    path: str | None
    scan: ScanResult
    records: tuple[Record, ...]
    embedded: EmbeddedTables | None  # None: the header does not promise tables

    @property
    def header(self) -> FileHeader:
        return self.scan.header

    @property
    def gaps(self) -> tuple[Stretch, ...]:
        return self.scan.gaps

    @property
    def refused(self) -> tuple[Refused, ...]:
        return self.scan.refused

    @property
    def seal(self) -> SealState:
        return self.scan.seal

    @property
    def size(self) -> int:
        return self.scan.size

    @property
    def is_whole(self) -> bool:
        """Sealed, and nothing in it was refused or lost: what `verify` asks for."""
        return self.seal == SealState.SEALED and not (self.gaps or self.refused or self.scan.index)

    def check_whole(self) -> None:
        """Raise the first thing that is wrong with the file as a file; an unsealed sound one raises nothing.

        Corrupt for damage, a broken seal or an index that disagrees, UnsupportedVersion for a record from the future.
        """
        if self.scan.cut is not None:
            raise Corrupt("the file ends inside a record", path=self.path, offset=self.scan.cut.first)
        if self.gaps:
            gap = self.gaps[0]
            raise Corrupt(
                f"{gap.size} damaged bytes", path=self.path, offset=gap.first,
                fix="decode what is intact, or receive the file again",
            )  # fmt: skip
        if self.refused:
            first = self.refused[0]
            raise Corrupt(
                f"a record is refused ({first.kind}): {first.what}", path=self.path, offset=first.offset
            )
        if self.scan.seal_error or self.scan.index:
            raise Corrupt(self.scan.seal_error or self.scan.index[0], path=self.path)

    @cached_property
    def embedded_tables(self) -> TableSet | None:
        """The tables that the file carries, validated; None where it promises none or chunks are missing.

        Raises Corrupt or UnsupportedVersion when the chunks contradict each other or are no legal table file.
        """
        if self.embedded is not None and self.embedded.disagree:
            raise Corrupt(
                "the chunks of the embedded tables disagree on their number", path=self.path,
                found=" and ".join(map(str, self.embedded.disagree)),
            )  # fmt: skip
        if self.embedded is None or self.embedded.data is None:
            return None
        try:
            return TableSet(self.embedded.data)
        except FormatError as error:
            error.path = error.path or self.path
            raise

    @property
    def report(self) -> dict[str, Any]:
        """JSON-able account of the file's state: counts by kind of record, seal, damage, refusals, tables."""
        kinds = Counter(
            "coefficients" if record.header.is_coefficients else record.header.kind.name.lower()
            for record in self.scan.records
        )
        tables: dict[str, Any] | None = None
        if self.embedded is not None:
            tables = {
                "chunks": self.embedded.n_chunks,
                "missing_chunks": list(self.embedded.missing),
                "complete": self.embedded.data is not None,
                "conflicts": self.embedded.conflicts,
            }
        return {
            "size": self.size,
            "seal": self.seal.value,
            "seal_error": self.scan.seal_error,
            "records": dict(sorted(kinds.items())),
            "refused": [{"offset": r.offset, "kind": r.kind, "what": r.what} for r in self.refused],
            "gaps": [{"first": g.first, "last": g.last} for g in self.gaps],
            "cut": None if self.scan.cut is None else self.scan.cut.first,
            "padding": self.scan.padding,
            "index": list(self.scan.index),
            "embedded_tables": tables,
            "ignored_tables_records": 0 if self.header.embeds_tables else kinds["tables"],
        }


def read_bytes(data: bytes, path: object = None) -> NecFile:
    """Read a file that is in memory; `path` is for messages.

    Raises Truncated, Corrupt or UnsupportedVersion for the header only; all damage behind it is in the result.
    """
    found = scan(data, path)
    embedded = None
    if found.header.embeds_tables:
        embedded = tables_records.collect(found.records, with_transform=found.header.is_self_contained)
    return NecFile(
        path=None if path is None else str(path), scan=found, records=found.coefficients,
        embedded=embedded,
    )  # fmt: skip


def read(source: Path | str | BinaryIO, *, max_bytes: int = DEFAULT_MAX_FILE) -> NecFile:
    """Read a file, a binary stream to its end, or standard input for "-".

    Raises InputError where it cannot be read, LimitExceeded beyond `max_bytes`, else as `read_bytes`.
    """
    try:
        if isinstance(source, (str, Path)) and str(source) != "-":
            name: object = source
            with open(source, "rb") as file:
                data = file.read(max_bytes + 1)
        else:
            stream: BinaryIO = sys.stdin.buffer if isinstance(source, (str, Path)) else source
            name = getattr(stream, "name", "-")
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", path=source, fix="check path and rights"
        ) from error
    if len(data) > max_bytes:
        raise LimitExceeded(
            "the file is larger than the limit", path=name, expected=f"at most {max_bytes} bytes"
        )
    return read_bytes(data, name)
