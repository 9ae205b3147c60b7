"""What comes in: files dropped in a folder, and datagrams on one UDP port.

Both only hand over bytes and the way they came. A dropped file leaves the inbox after it is durable in the spool;
if a power cut brings it back, it is recognised by its bytes.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codec.errors import InputError, TryAgain
from ground.files import Files
from ground.spool import Arrival, Kind

KINDS = {".nec": Kind.CONTAINER, ".bin": Kind.PACKETS, ".pkt": Kind.PACKETS}
UNFINISHED = (".tmp", ".part")
RECEIVE_BUFFER = 8 << 20  # bytes; the kernel keeps datagrams there while products are written


@dataclass(frozen=True, slots=True)
class Dropped:
    """A complete file in the inbox, read but not yet removed."""

    path: Path
    arrival: Arrival
    identity: tuple[int, int, int]  # inode, size, mtime in ns: a file changed since then is not removed


class Inbox:
    """Watches a folder. A file counts as complete when two looks `stable_s` apart see the same size and time.

    Who writes `name.part` and renames it is always safe. Names that begin with a dot or end with .tmp or .part are
    left alone; other names than *.nec, *.bin and *.pkt, links and folders are too, and are told once.
    """

    def __init__(self, folder: Path, *, stable_s: float, max_file_bytes: int) -> None:
        self._folder = folder
        self._stable_s = stable_s
        self._max_file_bytes = max_file_bytes
        self._seen: dict[str, tuple[tuple[int, int, int], float]] = {}
        self._told: set[str] = set()
        self.remarks: list[str] = []  # one line each; the daemon says them and empties the list

    def complete(self, monotonic_s: float, time_us: int, *, at_once: bool = False) -> Iterator[Dropped]:
        """Complete files in the order of their names. `at_once` takes every file as complete."""
        try:
            names = sorted(path.name for path in self._folder.iterdir())
        except OSError as error:
            raise InputError(
                f"the inbox cannot be read: {error.strerror}",
                path=self._folder,
                fix="make it and allow reading",
            ) from error
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        self._told.intersection_update(names)
        for name in names:
            if name.startswith(".") or name.endswith(UNFINISHED):
                continue
            dropped = self._look(self._folder / name, monotonic_s, time_us, at_once)
            if dropped is not None:
                yield dropped

    def remove(self, dropped: Dropped, files: Files) -> None:
        """Take a spooled file away, unless somebody wrote to it meanwhile: then it comes again, whole."""
        try:
            found = _identity(dropped.path.lstat())
        except FileNotFoundError:
            return
        if found == dropped.identity:
            files.remove(dropped.path)
            self._seen.pop(dropped.path.name, None)

    def _look(self, path: Path, monotonic_s: float, time_us: int, at_once: bool) -> Dropped | None:
        kind = KINDS.get(path.suffix.lower())
        try:
            status = path.lstat()
            if kind is None or not stat.S_ISREG(status.st_mode):
                self._tell(path, "left alone: not a .nec, .bin or .pkt file")
                return None
            if status.st_size > self._max_file_bytes:
                self._tell(path, f"left alone: larger than {self._max_file_bytes} bytes (max_file_bytes)")
                return None
            identity = _identity(status)
            before, since = self._seen.get(path.name, (None, monotonic_s))
            if not at_once and (before != identity or monotonic_s - since < self._stable_s):
                self._seen[path.name] = (identity, since if before == identity else monotonic_s)
                return None
            payload = path.read_bytes()
        except FileNotFoundError:
            return None  # taken away between two looks
        except OSError as error:
            self._tell(path, f"left alone: {error.strerror}")
            return None
        if len(payload) != identity[1]:
            return None  # still growing
        origin = f"{identity[0]}:{identity[2]}"
        return Dropped(path, Arrival(kind, path.name, payload, time_us, origin), identity)

    def _tell(self, path: Path, what: str) -> None:
        if path.name not in self._told:
            self._told.add(path.name)
            self.remarks.append(f"{path}: {what}")


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


class UdpPort:
    """One bound UDP socket; datagrams are taken without waiting."""

    def __init__(self, host: str, port: int) -> None:
        try:
            info = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)[0]
            self._socket = socket.socket(info[0], socket.SOCK_DGRAM)
        except OSError as error:
            raise InputError(
                f"no such address to receive on ({error.strerror or error})", found=host
            ) from error
        try:
            self._socket.bind(info[4])
        except OSError as error:
            self._socket.close()
            raise TryAgain(
                f"UDP port {port} of {host} cannot be bound ({error.strerror})", fix="choose another port"
            ) from error
        self._socket.setblocking(False)
        self._grow_buffer()

    @property
    def port(self) -> int:
        """The port number, also when any free one was asked for (0)."""
        return int(self._socket.getsockname()[1])

    def fileno(self) -> int:
        return self._socket.fileno()

    def take(self, limit: int, time_us: int) -> list[Arrival]:
        """Up to `limit` datagrams that are there."""
        arrivals: list[Arrival] = []
        while len(arrivals) < limit:
            try:
                data, sender = self._socket.recvfrom(65_535)
            except BlockingIOError:
                break
            except OSError:  # an ICMP answer to something else; the socket stays good
                continue
            arrivals.append(Arrival(Kind.DATAGRAM, f"udp {sender[0]}", data, time_us))
        return arrivals

    def close(self) -> None:
        self._socket.close()

    def _grow_buffer(self) -> None:
        for option in (getattr(socket, "SO_RCVBUFFORCE", 33), socket.SO_RCVBUF):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, option, RECEIVE_BUFFER)
                return
            except OSError:  # the first needs a privilege; the second is cut to what the system allows
                continue
