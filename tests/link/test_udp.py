"""UDP over real sockets on loopback, and the token bucket on a clock that only sleeping moves."""

from __future__ import annotations

import socket
import threading

import pytest
from nec_files import nec_of

from codec.errors import InputError
from codec.link import assemble, packetise
from codec.link.udp import TokenBucket, UdpReceiver, receive, send


class Clock:
    """Time that passes only in `sleep`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_packets_sent_to_a_port_are_received() -> None:
    packets = [p.data for p in packetise(nec_of({0: 2, 1: 6}))]
    with UdpReceiver(0, count=len(packets)) as receiver:
        assert send(packets, "127.0.0.1", receiver.port) == len(packets)
        assert list(receiver) == packets


def test_a_file_crosses_the_network_while_both_sides_run() -> None:
    data = nec_of({0: 4, 1: 60})
    packets = list(packetise(data))
    with UdpReceiver(0, count=len(packets), idle_s=20.0) as receiver:
        sender = threading.Thread(target=send, args=(packets, "127.0.0.1", receiver.port))
        sender.start()
        received = list(receiver)
        sender.join()
    (file,) = assemble(received).values()
    assert file.to_nec() == data


def test_receiving_ends_when_told_to() -> None:
    with UdpReceiver(0, stop=lambda: True) as receiver:
        assert list(receiver) == []


def test_receiving_ends_after_silence() -> None:
    with UdpReceiver(0, idle_s=0.01) as receiver:
        send([b"one"], "127.0.0.1", receiver.port)
        assert list(receiver) == [b"one"]


def test_receive_is_an_iterator_over_a_port() -> None:
    with UdpReceiver(0) as other:
        with pytest.raises(InputError, match="cannot be used"):
            next(receive(other.port))
        with pytest.raises(InputError, match="cannot be used"):
            UdpReceiver(other.port)


def test_a_port_is_free_again_after_use() -> None:
    with UdpReceiver(0) as first:
        port = first.port
    with UdpReceiver(port) as second:
        assert second.port == port


def test_nobody_listening_is_no_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert send([b"x"] * 5, "127.0.0.1", port) == 5


def test_unknown_hosts_illegal_ports_and_giant_packets_are_refused() -> None:
    with pytest.raises(InputError, match="not known"):
        send([b"x"], "no-such-host.invalid", 5000)
    with pytest.raises(InputError, match="65535"):
        send([b"x"], "127.0.0.1", 65_536)
    with pytest.raises(InputError, match="smaller payload"):
        send([bytes(65_508)], "127.0.0.1", 5000)


def test_the_rate_holds_over_many_packets() -> None:
    clock = Clock()
    with UdpReceiver(0) as receiver:
        send([bytes(1000)] * 500, "127.0.0.1", receiver.port, 80_000.0, clock=clock, sleep=clock.sleep)
    # 500,000 bytes at 10,000 a second; the bucket's 4096 go at once.
    assert clock.now - 100.0 == pytest.approx((500_000 - 4096) / 10_000)


def test_no_more_than_the_bucket_passes_at_once() -> None:
    clock = Clock()
    bucket = TokenBucket(8000.0, burst_bytes=3000, clock=clock, sleep=clock.sleep)
    clock.now += 1000.0  # a long silence fills the bucket once, not more
    for _ in range(3):
        bucket.take(1000)
    assert clock.slept == []
    bucket.take(1000)
    assert sum(clock.slept) == pytest.approx(1.0)


def test_a_packet_larger_than_the_bucket_passes_and_is_paid_for_later() -> None:
    clock = Clock()
    bucket = TokenBucket(8000.0, burst_bytes=100, clock=clock, sleep=clock.sleep)
    bucket.take(5000)
    assert clock.now == 100.0
    bucket.take(100)
    assert clock.now - 100.0 == pytest.approx(5.0)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(InputError, match="rate"):
        TokenBucket(rate)
    with pytest.raises(InputError, match="at least one byte"):
        TokenBucket(1.0, burst_bytes=0)
