"""Packets over UDP: one space packet in each datagram, sent at a steady rate."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

from codec.errors import InputError, TryAgain
from codec.types import Packet

MAX_DATAGRAM = 65_507  # bytes of an IPv4 datagram beyond its headers
_RECEIVE_BUFFER = (
    4 << 20
)  # the kernel's queue, where it grants so much: a burst must not overrun a busy reader
_TICK_S = 0.2  # how often a waiting receiver looks whether it shall stop


class TokenBucket:
    """Lets bytes pass at `rate_bps` on average, and at most `burst_bytes` at once.

    Clock and sleep are arguments, so that tests need no time. A packet larger than the bucket waits for a full one
    and leaves it in debt.
    """

    def __init__(
        self,
        rate_bps: float,
        burst_bytes: int = 4096,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not 0.0 < rate_bps < float("inf"):
            raise InputError("a rate is a positive number of bits per second", found=rate_bps)
        if burst_bytes < 1:
            raise InputError("a bucket holds at least one byte", found=burst_bytes)
        self._bytes_per_s = rate_bps / 8.0
        self._burst = float(burst_bytes)
        self._clock = clock
        self._sleep = sleep
        self._tokens = self._burst
        self._last_s = clock()

    def take(self, n_bytes: int) -> None:
        """Wait until `n_bytes` may pass."""
        needed = min(float(n_bytes), self._burst)
        self._fill()
        while needed - self._tokens > 0.5:  # bytes; less would be a wait that the clock may not resolve
            self._sleep((needed - self._tokens) / self._bytes_per_s)
            self._fill()
        self._tokens -= n_bytes

    def _fill(self) -> None:
        now_s = self._clock()
        self._tokens = min(self._burst, self._tokens + (now_s - self._last_s) * self._bytes_per_s)
        self._last_s = now_s


def send(
    packets: Iterable[Packet | bytes],
    host: str,
    port: int,
    rate_bps: float | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Send packets, `rate_bps` bits of them per second (None: as fast as the socket takes them); returns how many.

    Raises InputError for an unknown host or a packet too large for a datagram, TryAgain when the network refuses.
    UDP gives no word of arrival; a refusal by the peer's host (nobody listens) is ignored, as on a radio link.
    """
    bucket = None if rate_bps is None else TokenBucket(rate_bps, clock=clock, sleep=sleep)
    family, address = _resolve(host, port)
    n_sent = 0
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        for packet in packets:
            data = packet.data if isinstance(packet, Packet) else packet
            if len(data) > MAX_DATAGRAM:
                raise InputError(
                    f"a packet of {len(data)} bytes is too large for a datagram of {MAX_DATAGRAM}",
                    fix="choose a smaller payload",
                )
            if bucket is not None:
                bucket.take(len(data))
            try:
                sender.sendto(data, address)
            except ConnectionRefusedError:
                pass
            except OSError as error:
                raise TryAgain(f"packet {n_sent} was not sent to {host}:{port}: {error.strerror}") from error
            n_sent += 1
    return n_sent


class UdpReceiver:
    """A bound UDP port. Iterating gives datagrams as they come; use it as a context manager.

    Port 0 lets the system choose; `port` says which. Ends after `idle_s` seconds without a datagram, after `count`
    datagrams, or when `stop` returns True (looked at every 0.2 s); without any of them never.
    Raises InputError when the port cannot be had.
    """

    def __init__(
        self,
        port: int,
        host: str = "127.0.0.1",
        *,
        idle_s: float | None = None,
        count: int | None = None,
        stop: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        family, address = _resolve(host, port)
        self._idle_s = idle_s
        self._count = count
        self._stop = stop
        self._clock = clock
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            with contextlib.suppress(OSError):  # a smaller queue only loses more
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._socket.bind(address)
        except OSError as error:
            self._socket.close()
            raise InputError(
                f"UDP port {port} of {host} cannot be used: {error.strerror}",
                fix="choose another port or address",
            ) from error
        self.port: int = self._socket.getsockname()[1]

    def __iter__(self) -> Iterator[bytes]:
        n_received = 0
        last_s = self._clock()
        while self._count is None or n_received < self._count:
            if self._stop is not None and self._stop():
                return
            waited_s = self._clock() - last_s
            if self._idle_s is not None and waited_s >= self._idle_s:
                return
            left_s = _TICK_S if self._idle_s is None else min(_TICK_S, self._idle_s - waited_s)
            self._socket.settimeout(left_s)
            try:
                data = self._socket.recv(65_536)
            except TimeoutError:
                continue
            n_received += 1
            last_s = self._clock()
            yield data

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> UdpReceiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def receive(
    port: int,
    host: str = "127.0.0.1",
    *,
    idle_s: float | None = None,
    count: int | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[bytes]:
    """Datagrams that come to a UDP port, whatever they hold; arguments and errors as of `UdpReceiver`."""
    with UdpReceiver(port, host, idle_s=idle_s, count=count, stop=stop) as receiver:
        yield from receiver


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    if not 0 <= port <= 0xFFFF:
        raise InputError("a UDP port lies in 0 to 65535", found=port)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise InputError(f"the host {host!r} is not known: {error.strerror}") from error
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]  # (host, port), for IPv6 with two more members
