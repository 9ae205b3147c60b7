"""The four kinds of refusal of docs/bitstream.md §1, and the decoder's own limit."""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):
    """Root of everything this decoder raises on purpose; `kind` is the word the text uses."""

    kind: ClassVar[str]


class Truncated(Refusal):
    """The bytes end too early."""

    kind = "truncated"


class Corrupt(Refusal):
    """A checksum, a reserved bit or a canonical form is violated."""

    kind = "corrupt"


class Unsupported(Refusal):
    """A version, kind or mandatory extension from the future."""

    kind = "unsupported"


class Identity(Refusal):
    """The file is sound but the decoder lacks what it names."""

    kind = "identity"


class Limit(Refusal):
    """The decoder's own cap on memory or work."""

    kind = "limit"
