"""Writing `.nec` files: header, records as they come, index and seal at the end (bitstream §10.4)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from codec.atomic import fsync_folder
from codec.bitstream import record as rec
from codec.bitstream.header import FileHeader
from codec.bitstream.scan import INDEX_ENTRY, SEAL, scan
from codec.errors import FormatError, InputError, LimitExceeded
from codec.types import Record, RecordKind

ENTRIES_PER_PART = rec.MAX_PAYLOAD // INDEX_ENTRY
_NO_SPACE = {28, 122}  # ENOSPC, EDQUOT


class NecWriter:
    """Streams a `.nec` to a path or to any binary file object; use it as a context manager.

    A path appears whole when the block ends without an error (temporary file, fsync, rename, fsync of the folder)
    and not at all otherwise. A file object is written as the records come, is never read back, sought or closed.
    Memory: 8 bytes per record, for the index.

        with NecWriter(path, header) as writer:
            writer.extend(records)
    """

    def __init__(
        self, target: Path | str | BinaryIO, header: FileHeader, *, index: bool = True, seal: bool = True
    ) -> None:
        first = header.encode()  # refused before anything is opened
        self._begin(target, header, index=index, seal=seal)
        self._write(first)

    def _begin(self, target: Path | str | BinaryIO, header: FileHeader, *, index: bool, seal: bool) -> None:
        self.header = header
        self._index, self._seal = index, seal
        self._sha = hashlib.sha256()
        self._offset = 0
        self._heads: list[bytes] = []  # packed headers of all records so far
        self._open = True
        self._path = Path(target) if isinstance(target, (str, Path)) else None
        self._temporary: Path | None = None
        if isinstance(target, (str, Path)):
            path = Path(target)
            self._temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
            try:
                self._file: BinaryIO = open(self._temporary, "wb")  # noqa: SIM115 (closed by close or abort)
            except OSError as error:
                raise self._refusal(error) from error
        else:
            self._file = target

    @classmethod
    def append(cls, path: Path | str, *, index: bool = True, seal: bool = True) -> NecWriter:
        """Go on behind the records of an existing file, sealed or not; a seal that stood there stays and counts no more.

        The file is copied first and replaced at the end, so an error leaves it as it was. Raises what reading its
        header raises, and InputError where the file ends in a cut record: what came behind it could be taken for
        the record's rest.
        """
        path = Path(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", path=path) from error
        found = scan(data, path)
        if found.cut:
            raise InputError(
                "the file ends in a cut record", path=path, offset=found.cut.first,
                fix="copy its intact records into a new file first",
            )  # fmt: skip
        writer = cls.__new__(cls)
        writer._begin(path, found.header, index=index, seal=seal)
        offsets = sorted([r.offset for r in found.records] + [r.offset for r in found.refused])
        writer._heads = [data[offset : offset + rec.HEADER_SIZE] for offset in offsets]
        writer._write(data)
        return writer

    @property
    def offset(self) -> int:
        """Bytes written so far."""
        return self._offset

    @property
    def n_records(self) -> int:
        return len(self._heads)

    def add(self, record: Record | bytes) -> None:
        """Write one complete record; raises InputError for one that is illegal in this file."""
        if not self._open:
            raise InputError("the file is already finished", path=self._path)
        try:
            record = record if isinstance(record, Record) else rec.parse(record)
            rec.check(record.header, self.header)
        except FormatError as error:
            raise InputError(f"not written: {error}", path=self._path) from error
        self._put(record)

    def extend(self, records: Iterable[Record | bytes]) -> None:
        for record in records:
            self.add(record)

    def close(self) -> None:
        """Index, seal, and the file at its place. Nothing can be added afterwards."""
        if not self._open:
            return
        if self._index:
            listed = b"".join(self._heads)
            step = ENTRIES_PER_PART * INDEX_ENTRY
            for number, start in enumerate(range(0, len(listed), step)):
                self._put(rec.numbered(RecordKind.INDEX, number, 1, listed[start : start + step]))
        if self._seal:
            payload = SEAL.pack(len(self._heads), self._offset, self._sha.digest()[:8], 0)
            self._put(rec.numbered(RecordKind.SEAL, 0, 1, payload))
        self._open = False
        try:
            self._file.flush()
            if self._path is not None and self._temporary is not None:
                os.fsync(self._file.fileno())
                self._file.close()
                self._temporary.replace(self._path)
                fsync_folder(self._path.parent)
        except OSError as error:
            self.abort()
            raise self._refusal(error) from error

    def abort(self) -> None:
        """Give up: a path is left as it was before. What a file object already took cannot be taken back."""
        self._open = False
        if self._temporary is not None:
            self._file.close()
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> NecWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _put(self, record: Record) -> None:
        self._write(record.data)
        self._heads.append(record.data[: rec.HEADER_SIZE])

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            self.abort()
            raise self._refusal(error) from error
        self._sha.update(data)
        self._offset += len(data)

    def _refusal(self, error: OSError) -> InputError | LimitExceeded:
        where = self._path if self._path is not None else "the output stream"
        if error.errno in _NO_SPACE:
            return LimitExceeded(
                "the disk is full, nothing was written", path=where, fix="free space and repeat"
            )
        return InputError(
            f"cannot be written: {error.strerror}", path=where, fix="choose a place you may write to"
        )


def to_bytes(
    header: FileHeader, records: Iterable[Record | bytes], *, index: bool = True, seal: bool = True
) -> bytes:
    """A whole file in memory: the same bytes that `NecWriter` streams."""
    buffer = BytesIO()
    with NecWriter(buffer, header, index=index, seal=seal) as writer:
        writer.extend(records)
    return buffer.getvalue()
