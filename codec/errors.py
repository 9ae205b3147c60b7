"""One hierarchy of errors; each class has an exit code and a one-line message.

A message says *what is wrong, where, what to do*, built from the fields the raiser gives::

    raise Corrupt("record checksum does not match", path="a.nec", offset=90112,
                  expected="0x1f2e3d4c", found="0x00000000", fix="request the record again")

Every class has a stable `kind`, fit for exact matching in scripts, and the exit code that the command line
returns for it (DESIGN: exit codes). Packet loss is not an error: it is a value in the result.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of every Swathpack command."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    BAD_INPUT = 3
    INTEGRITY = 4
    IDENTITY = 5
    PARTIAL = 6
    LIMIT = 7
    BACKEND = 8
    TRY_AGAIN = 75


class SwathpackError(Exception):
    """Root of every error this project raises on purpose.

    Parameters are the fields of the message: `what` is one clause without a full stop; `path`, `offset`
    (bytes), `record` (index), `expected`, `found` place it; `fix` tells the reader what to do.
    """

    kind: ClassVar[str] = "internal"
    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __init__(
        self,
        what: str,
        *,
        path: object = None,
        offset: int | None = None,
        record: int | None = None,
        expected: object = None,
        found: object = None,
        fix: str | None = None,
    ) -> None:
        self.what = what
        self.path = None if path is None else str(path)
        self.offset = offset
        self.record = record
        self.expected = expected
        self.found = found
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        where = [
            text
            for text in (
                self.path,
                None if self.record is None else f"record {self.record}",
                None if self.offset is None else f"byte {self.offset}",
            )
            if text
        ]
        line = f"{', '.join(where)}: {self.what}" if where else self.what
        said = [
            f"{word} {value}"
            for word, value in (("expected", self.expected), ("found", self.found))
            if value is not None
        ]
        if said:
            line += f" ({', '.join(said)})"
        if self.fix:
            line += f"; {self.fix}"
        return " ".join(line.split())


class InternalError(SwathpackError):
    """A broken promise of our own code."""


class UsageError(SwathpackError):
    """A command was called with arguments that do not fit each other."""

    kind = "usage"
    exit_code = ExitCode.USAGE


class InputError(SwathpackError, ValueError):
    """Input that cannot be worked with: a missing band, no CRS, NaN pixels, a wrong shape."""

    kind = "bad-input"
    exit_code = ExitCode.BAD_INPUT


class FormatError(SwathpackError):
    """Bytes that are not what they claim to be. Raised through its subclasses."""

    kind = "format"
    exit_code = ExitCode.INTEGRITY


class Truncated(FormatError):
    """The bytes end before the structure they began."""

    kind = "truncated"


class Corrupt(FormatError):
    """A checksum, a reserved bit or a canonical form is violated."""

    kind = "corrupt"


class UnsupportedVersion(FormatError, ValueError):
    """A version, or a must-understand extension, from the future."""

    kind = "unsupported-version"
    exit_code = ExitCode.BAD_INPUT


class IdentityError(SwathpackError):
    """An unknown or unsigned identity: space, codec, package or key."""

    kind = "identity"
    exit_code = ExitCode.IDENTITY


class PartialResult(SwathpackError):
    """Only the command line raises this: a result was written, and something is missing from it."""

    kind = "partial"
    exit_code = ExitCode.PARTIAL


class LimitExceeded(SwathpackError):
    """A size, time or storage limit would be exceeded; nothing was written."""

    kind = "limit"
    exit_code = ExitCode.LIMIT


class BackendUnavailable(SwathpackError):
    """The back end that was asked for is not on this machine."""

    kind = "backend"
    exit_code = ExitCode.BACKEND


class TryAgain(SwathpackError):
    """A passing condition: busy, locked, not yet complete."""

    kind = "try-again"
    exit_code = ExitCode.TRY_AGAIN
