"""A station on a real UDP socket: what was acknowledged is never lost, though it is killed and started again."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import ground_scene
import pytest
from ground_fork import ForkServer, Job, Run
from ground_spacecraft import foreign_packet
from ground_story import State, read_state

N_KILLS = 12


class Listener:
    """A station that runs, seen from outside: its port, and what it says."""

    def __init__(self, server: ForkServer, job: Job, fifo: Path) -> None:
        fifo.unlink(missing_ok=True)
        os.mkfifo(fifo)
        server.start(job)
        self._server = server
        self._lines = fifo.open()
        first = self._lines.readline().split()
        self.port, self._pid = (int(first[1]), int(first[2])) if first else (0, 0)

    def send(self, packets: Iterable[bytes]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for packet in packets:
                sender.sendto(packet, ("127.0.0.1", self.port))

    def hear(self, until: Callable[[list[str]], bool]) -> list[str]:
        """Lines until they suffice, or until the station is dead."""
        heard: list[str] = []
        while not until(heard) and (line := self._lines.readline()):
            heard.append(line.rstrip("\n"))
        return heard

    def deliver(self, waiting: dict[str, bytes], *, until_complete: bool = False) -> None:
        """Send what waits and take out what is acknowledged, until nothing waits or the station is dead."""
        if not self.port:
            return

        def enough(lines: list[str]) -> bool:
            if lines:
                waiting.pop(lines[-1].removeprefix("spooled "), None)
            return not waiting and (not until_complete or _complete(lines))

        self.send(list(waiting.values()))
        self.hear(enough)

    def stop(self) -> Run:
        """How it ended; ended by SIGTERM unless it is dead already."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)
        run = self._server.wait()
        self._lines.close()
        return run


def listen(server: ForkServer, folder: Path, models: Path, *, crash_at: int = 0) -> Listener:
    fifo = folder / "said"
    return Listener(
        server, Job(str(folder / "station"), str(models), udp=True, acks=str(fifo), crash_at=crash_at), fifo
    )


def _digest(packet: bytes) -> str:
    return hashlib.sha256(packet).hexdigest()


def _complete(lines: list[str]) -> bool:
    return any(line.startswith("published") and line.endswith("True") for line in lines)


@pytest.fixture(scope="module")
def expected(
    tmp_path_factory: pytest.TempPathFactory,
    models: Path,
    scene: ground_scene.TinyScene,
    fork_server: ForkServer,
) -> State:
    station = tmp_path_factory.mktemp("udp-reference") / "station"
    (station / "inbox").mkdir(parents=True)
    (station / "inbox" / "all.bin").write_bytes(b"".join(scene.packets()))
    assert fork_server.run(Job(str(station), str(models))).code == 0
    return read_state(station)


def test_packets_over_udp_give_the_products_that_a_file_of_them_gives(
    tmp_path: Path, models: Path, scene: ground_scene.TinyScene, fork_server: ForkServer, expected: State
) -> None:
    packets = scene.packets()
    station = listen(fork_server, tmp_path, models)
    station.send([foreign_packet(), packets[0]])
    station.deliver({_digest(packet): packet for packet in packets}, until_complete=True)
    assert station.stop().code == 0
    state = read_state(tmp_path / "station")
    assert state.products == expected.products
    assert [row[:3] for row in state.ledger["pieces"]] == [row[:3] for row in expected.ledger["pieces"]]
    assert [(row[0], row[2], row[3]) for row in state.ledger["refusals"]] == [
        ("bad-input", "udp 127.0.0.1", 1)
    ]


def test_a_package_that_appears_while_the_station_runs_is_found(
    tmp_path: Path, models: Path, scene: ground_scene.TinyScene, fork_server: ForkServer, expected: State
) -> None:
    late = tmp_path / "late"
    late.mkdir()
    station = listen(fork_server, tmp_path, late)
    station.deliver({_digest(packet): packet for packet in scene.packets()})
    shutil.copytree(models / "tiny", tmp_path / "tiny")
    (tmp_path / "tiny").rename(late / "tiny")
    station.hear(_complete)
    assert station.stop().code == 0
    assert read_state(tmp_path / "station").products == expected.products


def test_killed_while_receiving_it_loses_nothing_that_was_acknowledged(
    tmp_path: Path, models: Path, scene: ground_scene.TinyScene, fork_server: ForkServer, expected: State
) -> None:
    """The sender sends again only what was not acknowledged."""
    chance = random.Random(41)
    n_killed = 0
    for trial in range(N_KILLS):
        folder = tmp_path / f"trial-{trial}"
        folder.mkdir()
        packets = scene.packets()
        chance.shuffle(packets)
        waiting = {_digest(packet): packet for packet in packets}
        station = listen(fork_server, folder, models, crash_at=chance.randrange(20, 120))
        station.deliver(waiting, until_complete=True)
        n_killed += station.stop().code == -signal.SIGKILL
        station = listen(fork_server, folder, models)
        station.deliver(waiting)
        assert station.stop().code == 0
        assert not waiting
        assert fork_server.run(Job(str(folder / "station"), str(models))).code == 0  # decodes what is left
        state = read_state(folder / "station")
        assert state.products == expected.products, trial
        assert [row[:3] for row in state.ledger["pieces"]] == [
            row[:3] for row in expected.ledger["pieces"]
        ], trial
    assert n_killed >= N_KILLS // 2
