"""The station's loop: receive → spool → ledger → decode → publish, in one process.

The loop alone changes what is on disk. Decoding and heads run in one thread beside it, so that datagrams are
spooled meanwhile; `once` does everything in turn.
"""

from __future__ import annotations

import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from codec.errors import ExitCode, TryAgain
from ground.config import GroundConfig
from ground.files import Files
from ground.ledger import FileRow, State, ledger_refusals
from ground.receivers import Inbox, UdpPort
from ground.refine import Refinement, Refiner
from ground.spool import Arrival
from ground.station import Published, Station, ledger_path


class Observer:
    """What a caller may hear of. Called in the loop; a method that takes long holds it up."""

    def listening(self, port: int) -> None:
        """The UDP port is bound."""

    def committed(self, arrivals: list[Arrival]) -> None:
        """These are durable: they may be forgotten by whoever sent them."""

    def published(self, version: Published) -> None:
        """A new version of a file's products is visible."""

    def remark(self, line: str) -> None:
        """One line for a person."""
        print(line, file=sys.stderr, flush=True)


def serve(
    config: GroundConfig,
    *,
    stop: threading.Event | None = None,
    clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    observer: Observer | None = None,
    files: Files | None = None,
) -> ExitCode:
    """Run a station until SIGTERM, SIGINT or `stop`; with `config.once` until nothing is left to do.

    `clock` gives microseconds since 1970 for spool and ledger; no product depends on it. Returns OK; with `once`
    PARTIAL when a file is incomplete, IDENTITY when one waits for a package. Raises TryAgain when
    another daemon has the folder or the port is taken, and with `once` when the GPU had no room for a file;
    BackendUnavailable where `config.coder` cannot run; InputError, LimitExceeded or Corrupt when the disk refuses.
    """
    with ExitStack() as stack:
        wake = stack.enter_context(_stop_signals(stop))
        stack.enter_context(ledger_refusals(ledger_path(config.station)))
        station = stack.enter_context(
            Station(
                config.station,
                files=files or Files(),
                segment_bytes=config.segment_bytes,
                rebuild=config.rebuild,
            )
        )
        loop = _Loop(config, station, clock, observer or Observer())
        station.recover()
        if config.once:
            return loop.once()
        stack.callback(loop.close)
        return loop.run(wake)


class _Loop:
    def __init__(
        self, config: GroundConfig, station: Station, clock: Callable[[], int], observer: Observer
    ) -> None:
        self._config = config
        self._station = station
        self._clock = clock
        self._observer = observer
        self._inbox = Inbox(
            config.inbox or config.station / "inbox",
            stable_s=config.stable_s,
            max_file_bytes=config.max_file_bytes,
        )
        self._refiner = Refiner(
            station.spool,
            roots=config.models or None,
            embeddings=config.embeddings,
            refine=config.refine,
            coder=config.coder,
        )
        self._udp: UdpPort | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="refine")
        self._job: tuple[str, Future[Refinement]] | None = None  # with the file's id
        self._again: set[str] = set()  # files that the back end had no room for
        self._batch: list[Arrival] = []
        self._batch_since = 0.0
        self._touched: dict[
            str, tuple[float, float]
        ] = {}  # file id → first and last new piece since the last look
        self._next_poll = self._next_package_poll = 0.0

    def once(self) -> ExitCode:
        """Everything that is there, in turn."""
        self._poll_inbox(at_once=True)
        rows = {row.file_id: row for row in (*self._station.pending(), *self._station.waiting_for_package())}
        short: TryAgain | None = None
        for row in rows.values():
            try:
                self._finish(self._station.work(self._refiner, row)())
            except TryAgain as error:  # those behind it may be smaller
                short = error
        if short is not None:
            raise short
        return _outcome(self._station.ledger.files())

    def run(self, wake: _Wake) -> ExitCode:
        """Until woken to stop. What arrived by then is spooled and indexed; what is not decoded waits for the next start."""
        with selectors.DefaultSelector() as selector:
            selector.register(wake.handle, selectors.EVENT_READ)
            if self._config.port is not None:
                self._udp = UdpPort(self._config.host, self._config.port)
                selector.register(self._udp, selectors.EVENT_READ)
                self._observer.listening(self._udp.port)
            for row in self._station.pending():
                self._touched[row.file_id] = (0.0, 0.0)
            while not wake.stopped:
                selector.select(self._pause())
                self._turn()
        self._take_datagrams()
        self._commit_batch()
        return ExitCode.OK

    def close(self) -> None:
        # A look that runs is finished, not published: the next start takes it up again.
        self._worker.shutdown(wait=True, cancel_futures=True)
        if self._udp is not None:
            self._udp.close()

    def _turn(self) -> None:
        now = time.monotonic()
        self._take_datagrams()
        if self._batch and (
            len(self._batch) >= self._config.group_packets or now - self._batch_since >= self._config.group_s
        ):
            self._commit_batch()
        if now >= self._next_poll:
            self._next_poll = now + self._config.poll_s
            self._poll_inbox()
        if now >= self._next_package_poll:
            self._next_package_poll = now + self._config.package_poll_s
            for file_id in (*(row.file_id for row in self._station.waiting_for_package()), *self._again):
                self._touched.setdefault(file_id, (0.0, 0.0))
            self._again.clear()
        if self._job is not None and self._job[1].done():
            (file_id, job), self._job = self._job, None
            try:
                self._finish(job.result())
            except TryAgain as error:  # datagrams are still received meanwhile
                self._again.add(file_id)
                self._observer.remark(f"{file_id}: {error}")
        if self._job is None and (due := self._due(now)) is not None:
            del self._touched[due.file_id]
            self._job = due.file_id, self._worker.submit(self._station.work(self._refiner, due))

    def _pause(self) -> float:
        """Seconds that may pass before something must be done."""
        now = time.monotonic()
        pause = self._next_poll - now
        if self._batch:
            pause = min(pause, self._batch_since + self._config.group_s - now)
        return max(pause, 0.0)

    def _take_datagrams(self) -> None:
        while self._udp is not None:
            room = self._config.group_packets - len(self._batch)
            taken = self._udp.take(room, self._clock())
            if taken and not self._batch:
                self._batch_since = time.monotonic()
            self._batch += taken
            if len(taken) < room:
                return
            self._commit_batch()

    def _commit_batch(self) -> None:
        batch, self._batch = self._batch, []
        self._receive(batch)

    def _poll_inbox(self, *, at_once: bool = False) -> None:
        for dropped in self._inbox.complete(time.monotonic(), self._clock(), at_once=at_once):
            self._receive([dropped.arrival])
            self._inbox.remove(dropped, self._station.files)
        for line in self._inbox.remarks:
            self._observer.remark(line)
        self._inbox.remarks.clear()

    def _receive(self, arrivals: list[Arrival]) -> None:
        if not arrivals:
            return
        touched = self._station.receive(arrivals)
        self._observer.committed(arrivals)
        now = time.monotonic()
        for file_id in touched:
            first, _ = self._touched.get(file_id, (now, now))
            self._touched[file_id] = (first, now)

    def _due(self, now: float) -> FileRow | None:
        """A file to look at: nothing new for `settle_s`, or the first new piece is `refresh_s` old."""
        for file_id, (first, last) in self._touched.items():
            if now - last >= self._config.settle_s or now - first >= self._config.refresh_s:
                return next(row for row in self._station.ledger.files() if row.file_id == file_id)
        return None

    def _finish(self, done: Refinement) -> None:
        version = self._station.settle(done, self._clock())
        if version is not None:
            self._observer.published(version)


def _outcome(rows: list[FileRow]) -> ExitCode:
    states = {row.state for row in rows}
    if State.NO_PACKAGE in states:
        return ExitCode.IDENTITY
    return ExitCode.OK if states <= {State.COMPLETE} else ExitCode.PARTIAL


class _Wake:
    """Ends the loop's wait at once, from a signal handler or another thread."""

    def __init__(self, stop: threading.Event | None) -> None:
        self._stop = stop
        self._signalled = False
        self.handle, self._sender = socket.socketpair()
        self.handle.setblocking(False)
        self._sender.setblocking(False)

    @property
    def stopped(self) -> bool:
        return self._signalled or (self._stop is not None and self._stop.is_set())

    def signal(self, *_: object) -> None:
        self._signalled = True
        self._sender.send(b"\0")

    def close(self) -> None:
        self.handle.close()
        self._sender.close()


@contextmanager
def _stop_signals(stop: threading.Event | None) -> Iterator[_Wake]:
    """SIGTERM and SIGINT end the loop; only in the main thread, where Python allows handlers."""
    wake = _Wake(stop)
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, wake.signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield wake
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        wake.close()
