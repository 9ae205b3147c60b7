"""What a disk holds when the power fails, rebuilt from the recorder's log (ground_recorder.cpp).

The disk starts as a folder that is wholly durable. Every change is *pending* until its file or folder is fsynced.
At a power cut the fate of pending changes is decided by a `Fate`:

- LOST: none survives; what POSIX promises at least;
- NAMES: all names survive (created, renamed, removed), no unsynced content does: metadata journals are often ahead;
- LAST: of each folder only the latest change of names survives, no content: nothing says that names are kept in order;
- ALL: every change survives, as if all had been synced: the disk as the process saw it;
- a number: each pending change survives or not by a coin with this seed, the last write perhaps in part.
"""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CREATE, MKDIR, SYMLINK, WRITE, TRUNCATE, RENAME, UNLINK, SYNC, MARK = range(1, 10)
LOST, NAMES, LAST, ALL = "lost", "names", "last", "all"
Fate = str | int
_HEAD = struct.Struct("<BQQqI")


@dataclass(frozen=True)
class Change:
    """One entry of the log."""

    operation: int
    inode: int
    inode2: int
    offset: int
    first: bytes
    second: bytes


def read_log(path: Path) -> list[Change]:
    data = path.read_bytes()
    changes, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        body = data[at + 4 : at + 4 + length]
        operation, inode, inode2, offset, n1 = _HEAD.unpack_from(body)
        first = body[_HEAD.size : _HEAD.size + n1]
        second = body[_HEAD.size + n1 + 4 :]
        changes.append(Change(operation, inode, inode2, offset, first, second))
        at += 4 + length
    return changes


@dataclass(eq=False)
class Node:
    """A file, a folder or a link: what is durable, and what is pending since."""

    kind: str  # "file", "folder", "link"
    data: bytes = b""  # durable content; a link's target
    names: dict[str, Node] = field(default_factory=dict)  # durable names of a folder
    pending: list[tuple[object, ...]] = field(default_factory=list)

    def live(self) -> bytes:
        return _apply_writes(self.data, self.pending)

    def live_names(self) -> dict[str, Node]:
        return _apply_names(self.names, self.pending)

    def sync(self) -> None:
        if self.kind == "file":
            self.data = self.live()
        elif self.kind == "folder":
            self.names = self.live_names()
        self.pending = []


class Disk:
    """The folder as the log leads it on, change by change."""

    def __init__(self, root: Path) -> None:
        self._nodes: dict[int, Node] = {}
        self.root = self._snapshot(root)
        self.marks: list[str] = []

    def apply(self, change: Change) -> None:
        c = change
        if c.operation in (CREATE, MKDIR, SYMLINK):
            kind = {CREATE: "file", MKDIR: "folder", SYMLINK: "link"}[c.operation]
            node = Node(kind, c.second if kind == "link" else b"")
            self._nodes[c.inode] = node  # inode numbers are used again
            self._nodes[c.inode2].pending.append(("set", c.first.decode(), node))
        elif c.operation == WRITE:
            self._file(c.inode).pending.append(("write", c.offset, c.first))
        elif c.operation == TRUNCATE:
            self._file(c.inode).pending.append(("truncate", c.offset))
        elif c.operation == UNLINK:
            self._nodes[c.inode].pending.append(("remove", c.first.decode()))
        elif c.operation == RENAME:
            assert c.inode == c.inode2, "the station renames within one folder only"
            folder = self._nodes[c.inode]
            node = folder.live_names().get(c.first.decode()) or Node("file")
            folder.pending.append(("rename", c.first.decode(), c.second.decode(), node))
        elif c.operation == SYNC:
            self._nodes[c.inode].sync()
        elif c.operation == MARK:
            self.marks.append(c.first.decode())

    def survivors(self, fate: Fate) -> dict[str, bytes | str | None]:
        """Path → content of a file, target of a link, None for a folder, after a power cut now."""
        chance = random.Random(fate) if isinstance(fate, int) else None
        found: dict[str, bytes | str | None] = {}
        for path, node in _walk(self.root, "", fate, chance):
            if node.kind == "file":
                found[path] = _apply_writes(node.data, _surviving(node.pending, fate, chance, names=False))
            else:
                found[path] = node.data.decode() if node.kind == "link" else None
        return found

    def _file(self, inode: int) -> Node:
        # A file that libc's stdio made passed the recorder by (GDAL's scratch): it is kept apart from all names.
        return self._nodes.setdefault(inode, Node("file"))

    def _snapshot(self, path: Path) -> Node:
        if path.is_symlink():
            node = Node("link", str(path.readlink()).encode())
        elif path.is_dir():
            node = Node("folder", names={child.name: self._snapshot(child) for child in path.iterdir()})
        else:
            node = Node("file", path.read_bytes())
        self._nodes[path.lstat().st_ino] = node
        return node


def materialise(found: dict[str, bytes | str | None], folder: Path) -> None:
    """Write survivors into a new folder."""
    folder.mkdir(parents=True)
    for path, content in sorted(found.items()):
        target = folder / path
        if content is None:
            target.mkdir(exist_ok=True)
        elif isinstance(content, str):
            target.symlink_to(content)
        else:
            target.write_bytes(content)


def fingerprint(found: dict[str, bytes | str | None]) -> str:
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()


def _walk(folder: Node, prefix: str, fate: Fate, chance: random.Random | None) -> Iterator[tuple[str, Node]]:
    names = _apply_names(folder.names, _surviving(folder.pending, fate, chance, names=True))
    for name, node in sorted(names.items()):
        path = f"{prefix}{name}"
        yield path, node
        if node.kind == "folder":
            yield from _walk(node, f"{path}/", fate, chance)


def _surviving(
    pending: list[tuple[object, ...]], fate: Fate, chance: random.Random | None, *, names: bool
) -> list[tuple[object, ...]]:
    if chance is not None:
        kept = [change for change in pending if chance.random() < 0.5]
        if kept and kept[-1][0] == "write" and chance.random() < 0.5:
            _, offset, data = kept[-1]
            assert isinstance(data, bytes)
            kept[-1] = ("write", offset, data[: chance.randrange(len(data) + 1)])
        return kept
    if fate == ALL:
        return pending
    if names and fate == LAST:
        return pending[-1:]
    return pending if names and fate == NAMES else []


def _apply_writes(data: bytes, changes: list[tuple[object, ...]]) -> bytes:
    if not changes:
        return data
    content = bytearray(data)
    for change in changes:
        if change[0] == "write":
            _, offset, written = change
            assert isinstance(offset, int)
            assert isinstance(written, bytes)
            content.extend(bytes(max(0, offset + len(written) - len(content))))
            content[offset : offset + len(written)] = written
        else:
            length = change[1]
            assert isinstance(length, int)
            del content[length:]
            content.extend(bytes(max(0, length - len(content))))
    return bytes(content)


def _apply_names(names: dict[str, Node], changes: list[tuple[object, ...]]) -> dict[str, Node]:
    result = dict(names)
    for change in changes:
        if change[0] == "set":
            _, name, node = change
            assert isinstance(node, Node)
            result[str(name)] = node
        elif change[0] == "remove":
            result.pop(str(change[1]), None)
        else:
            _, old, new, node = change
            assert isinstance(node, Node)
            result.pop(str(old), None)
            result[str(new)] = node
    return result
