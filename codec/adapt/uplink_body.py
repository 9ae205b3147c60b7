"""The body of an uplink pack: a head in JSON, then streams (docs/uplink.md §3). Nothing is believed before it is checked.

u32 head bytes as sent │ u32 head bytes expanded │ head, zlib │ stream of the small parts │ streams, in order
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from codec.adapt.uplink_delta import Copy
from codec.adapt.uplink_streams import Stream
from codec.adapt.uplink_views import MAX_FILE
from codec.errors import Corrupt, LimitExceeded, SwathpackError, Truncated, UnsupportedVersion
from codec.package import identity
from codec.package.files import MANIFEST, MAX_FILES, SIGNATURE, check_name

FORMAT, VERSION = "swathpack-uplink", 0
MAX_HEAD = 1 << 20
MAX_TOTAL = 1 << 30  # bytes of all files that a pack makes
MAX_PARTS = 1 << 16
_LENGTHS = struct.Struct("<II")
_HEX64, _HEX16 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{16}")
_KINDS = ("base", "made", "view")


@dataclass(frozen=True, slots=True)
class Ids:
    """Which package: its manifest by hash, which binds every file of it, and what a person compares."""

    name: str
    version: str
    manifest_sha256: str
    codec_id: str
    encoder_sha256: str | None


@dataclass(frozen=True, slots=True)
class Data:
    """A part of a new file that is sent, with its own stream."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Small:
    """A part of a new file that is sent: the next bytes of the stream of small parts."""

    length: int


Part = Copy | Data | Small


@dataclass(frozen=True, slots=True)
class NewFile:
    """One file that the pack makes."""

    path: str
    size: int
    sha256: str
    parts: tuple[Part, ...]

    @property
    def sent(self) -> int:
        """Bytes of its own streams; its small parts are in the stream that all share."""
        return sum(len(part.stream.data) for part in self.parts if isinstance(part, Data))


@dataclass(frozen=True, slots=True)
class Body:
    """A parsed pack."""

    base: Ids
    result: Ids
    small: Stream
    files: tuple[NewFile, ...]


def encode(body: Body) -> bytes:
    """The bytes of a body; equal bodies give equal bytes with equal libraries."""
    head = identity.canonical_json(
        {
            "format": FORMAT,
            "version": VERSION,
            "base": _ids_json(body.base),
            "result": _ids_json(body.result),
            "small": _stream_json(body.small),
            "files": [
                {
                    "path": file.path,
                    "bytes": file.size,
                    "sha256": file.sha256,
                    "parts": [_part_json(part) for part in file.parts],
                }
                for file in body.files
            ],
        }
    )
    if len(head) > MAX_HEAD:
        raise LimitExceeded(
            f"the head of the pack has {len(head)} bytes",
            expected=f"at most {MAX_HEAD}",
            fix="send fewer files",
        )
    packed = zlib.compress(head, 9)
    streams = b"".join(
        part.stream.data for file in body.files for part in file.parts if isinstance(part, Data)
    )
    return _LENGTHS.pack(len(packed), len(head)) + packed + body.small.data + streams


def decode(data: bytes) -> Body:
    """Parse and check a body. Raises Truncated, Corrupt, UnsupportedVersion or LimitExceeded; nothing is expanded but the
    head.
    """
    if len(data) < _LENGTHS.size:
        raise Truncated("the pack ends before its head", expected=_LENGTHS.size, found=len(data))
    sent, expanded = _LENGTHS.unpack_from(data)
    if expanded > MAX_HEAD:
        raise LimitExceeded(
            "the head of the pack is too large", expected=f"at most {MAX_HEAD}", found=expanded
        )
    if sent > len(data) - _LENGTHS.size:
        raise Truncated("the pack ends inside its head", expected=sent, found=len(data) - _LENGTHS.size)
    return _Reader(data, _LENGTHS.size + sent).body(
        _head(data[_LENGTHS.size : _LENGTHS.size + sent], expanded)
    )


def _head(packed: bytes, expanded: int) -> dict[str, Any]:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(packed, expanded + 1)
        if len(text) != expanded or not inflater.eof or inflater.unused_data:
            raise ValueError("its size is not the stated one")
        head = json.loads(text)
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
    except (zlib.error, ValueError, RecursionError) as error:
        raise Corrupt(f"the head of the pack is not legal: {error}", fix="send the pack again") from error
    if head.get("version") != VERSION or isinstance(head["version"], bool):
        raise UnsupportedVersion(
            "the pack is of another version",
            expected=VERSION,
            found=head.get("version"),
            fix="install a newer Swathpack",
        )
    return head


class _Reader:
    """Takes streams one after another and refuses what is not as the format says."""

    def __init__(self, data: bytes, offset: int) -> None:
        self.data, self.at = data, offset
        self.total = self.parts = self.small_left = 0

    def body(self, head: Mapping[str, Any]) -> Body:
        try:
            small = self.stream(head["small"])
            self.small_left = small.length
            entries = head["files"]
            if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_FILES + 2:
                self.fail("files", entries)
            files = tuple(self.file(entry) for entry in entries)
            base, result = self.ids(head["base"]), self.ids(head["result"])
        except SwathpackError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Corrupt(
                f"the head of the pack is not legal: {error!r}", fix="send the pack again"
            ) from error
        paths = [file.path for file in files]
        if len(set(paths)) != len(paths) or MANIFEST not in paths:
            self.fail("files", paths)
        if self.at != len(self.data) or self.small_left:
            raise Corrupt(
                "the pack holds more than its head says",
                expected=self.at,
                found=len(self.data),
                fix="send it again",
            )
        return Body(base, result, small, files)

    def fail(self, where: str, found: object) -> NoReturn:
        raise Corrupt(f"{where} of the pack is not legal", found=repr(found)[:80], fix="send the pack again")

    def number(self, value: object, most: int, where: str) -> int:
        if type(value) is not int or value < 0:
            self.fail(where, value)
        if value > most:
            raise LimitExceeded(f"{where} of the pack is too large", expected=f"at most {most}", found=value)
        return value

    def text(self, value: object, where: str, pattern: re.Pattern[str] | None = None) -> str:
        if not isinstance(value, str) or len(value) > 200 or (pattern and not pattern.fullmatch(value)):
            self.fail(where, value)
        return value

    def ids(self, entry: Mapping[str, Any]) -> Ids:
        encoder = entry["encoder"]
        return Ids(
            self.text(entry["name"], "a name"),
            self.text(entry["version"], "a version"),
            self.text(entry["manifest"], "a hash", _HEX64),
            self.text(entry["codec_id"], "a codec id", _HEX16),
            None if encoder is None else self.text(encoder, "a hash", _HEX64),
        )

    def stream(self, entry: Sequence[Any]) -> Stream:
        length, kind, coder, sent = entry
        length = self.number(length, MAX_FILE, "the length of a stream")
        sent = self.number(sent, MAX_FILE, "the size of a stream")
        if sent > len(self.data) - self.at:
            raise Truncated("the pack ends inside a stream", expected=sent, found=len(self.data) - self.at)
        data = self.data[self.at : self.at + sent]
        self.at += sent
        return Stream(length, self.text(kind, "a filter"), self.text(coder, "a coder"), data)

    def file(self, entry: Mapping[str, Any]) -> NewFile:
        path = self.text(entry["path"], "a path")
        if path not in (MANIFEST, SIGNATURE):
            check_name(path, Path(MANIFEST))
        size = self.number(entry["bytes"], MAX_FILE, f"the size of {path}")
        self.total = self.number(self.total + size, MAX_TOTAL, "the size of all files")
        raw = entry["parts"]
        if not isinstance(raw, list):
            self.fail("parts", raw)
        self.parts = self.number(self.parts + len(raw), MAX_PARTS, "the number of parts")
        parts = tuple(self.part(part) for part in raw)
        found = sum(_length(part) for part in parts)
        if found != size:
            raise Corrupt(
                f"the parts of {path} do not sum to it", expected=size, found=found, fix="send it again"
            )
        return NewFile(path, size, self.text(entry["sha256"], "a hash", _HEX64), parts)

    def part(self, part: Sequence[Any]) -> Part:
        kind, *rest = part
        if kind == "data":
            return Data(self.stream(rest))
        if kind == "small":
            (length,) = rest
            taken = self.number(length, MAX_FILE, "the length of a part")
            if taken > self.small_left:
                self.fail("the stream of small parts", taken)
            self.small_left -= taken
            return Small(taken)
        if kind not in _KINDS:
            self.fail("a part", kind)
        name, offset, length = rest
        return Copy(
            kind,
            self.text(name, "a source"),
            self.number(offset, MAX_TOTAL, "an offset"),
            self.number(length, MAX_FILE, "the length of a part"),
        )


def _length(part: Part) -> int:
    return part.stream.length if isinstance(part, Data) else part.length


def _ids_json(ids: Ids) -> dict[str, Any]:
    return {
        "name": ids.name,
        "version": ids.version,
        "manifest": ids.manifest_sha256,
        "codec_id": ids.codec_id,
        "encoder": ids.encoder_sha256,
    }


def _stream_json(stream: Stream) -> list[Any]:
    return [stream.length, stream.filter, stream.coder, len(stream.data)]


def _part_json(part: Part) -> list[Any]:
    if isinstance(part, Data):
        return ["data", *_stream_json(part.stream)]
    if isinstance(part, Small):
        return ["small", part.length]
    return [part.kind, part.name, part.offset, part.length]
