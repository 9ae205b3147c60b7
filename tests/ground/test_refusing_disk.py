"""A full disk, a folder that refuses, a station in use: one line, the right exit code, nothing half done."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ground_fork import ROOT, ForkServer, Job
from ground_scene import TinyScene
from ground_story import State, read_state

from codec.errors import ExitCode, InputError, TryAgain
from ground.config import GroundConfig
from ground.daemon import serve
from ground.status import status

TMPFS_KIB = 1024


@pytest.fixture(scope="module")
def expected(memory: Path, models: Path, scene: TinyScene, fork_server: ForkServer) -> State:
    station = memory / "expected"
    (station / "inbox").mkdir(parents=True)
    (station / "inbox" / "a.nec").write_bytes(scene.nec)
    assert fork_server.run(Job(str(station), str(models))).code == 0
    return read_state(station)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of its own; skipped where mounting is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_KIB}k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root and the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _whole_or_absent(station: Path, expected: State) -> None:
    """No product that can be reached through `current` is half written, and no part is left."""
    assert not list(station.glob("products/*/.part"))
    if list(station.glob("products/*/current")):
        assert read_state(station).products == expected.products


@pytest.mark.parametrize("free_kib", [8, 40, 60, 80, 100, 104, 108, 112, 120, 136, 160, 200])
def test_a_full_disk_is_one_line_and_after_room_was_made_nothing_is_lost(
    small_disk: Path, models: Path, scene: TinyScene, fork_server: ForkServer, expected: State, free_kib: int
) -> None:
    station = small_disk / "station"
    (station / "inbox").mkdir(parents=True)
    (station / "inbox" / "a.nec").write_bytes(scene.nec)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes((TMPFS_KIB - free_kib) * 1024))
    run = fork_server.run(Job(str(station), str(models)))
    assert run.code in (0, ExitCode.LIMIT), run
    if run.code:
        print(run.message)
        assert "full" in run.message or "cannot grow" in run.message
        assert "\n" not in run.message
    _whole_or_absent(station, expected)
    ballast.unlink()
    assert fork_server.run(Job(str(station), str(models))).code == 0
    state = read_state(station)
    assert state.products == expected.products
    assert [row[:3] for row in state.ledger["pieces"]] == [row[:3] for row in expected.ledger["pieces"]]


@pytest.mark.parametrize("limit", [0x200, 0x1000, 0x2000, 0x5000, 0xC000])
def test_a_file_size_limit_is_the_same(
    station: Path, models: Path, scene: TinyScene, fork_server: ForkServer, expected: State, limit: int
) -> None:
    (station / "inbox" / "a.nec").write_bytes(scene.nec)
    run = fork_server.run(Job(str(station), str(models), max_file=limit))
    assert run.code == ExitCode.LIMIT, run
    _whole_or_absent(station, expected)
    assert fork_server.run(Job(str(station), str(models))).code == 0
    assert read_state(station).products == expected.products


def test_a_station_below_a_file_is_refused_by_name(tmp_path: Path, models: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match=r"file.*cannot be written") as refused:
        serve(GroundConfig(station=tmp_path / "file" / "station", once=True))
    assert refused.value.exit_code == ExitCode.BAD_INPUT


def test_products_that_cannot_be_written_leave_the_spool_whole(
    station: Path, models: Path, scene: TinyScene, fork_server: ForkServer, expected: State
) -> None:
    (station / "inbox" / "a.nec").write_bytes(scene.nec)
    (station / "products").write_text("in the way")
    run = fork_server.run(Job(str(station), str(models)))
    assert run.code == ExitCode.BAD_INPUT
    assert "products" in run.message
    (station / "products").unlink()
    assert fork_server.run(Job(str(station), str(models))).code == 0
    assert read_state(station).products == expected.products


def test_a_station_in_use_is_left_alone(station: Path, fork_server: ForkServer, models: Path) -> None:
    said = station.parent / "said"
    os.mkfifo(said)
    fork_server.start(Job(str(station), str(models), udp=True, acks=str(said)))
    with said.open() as lines:
        _, _, pid = lines.readline().split()
        with pytest.raises(TryAgain, match="another daemon"):
            serve(GroundConfig(station=station, once=True))
        os.kill(int(pid), signal.SIGTERM)
        assert fork_server.wait().code == 0
    assert serve(GroundConfig(station=station, once=True)) == ExitCode.OK


def test_a_taken_port_is_try_again(station: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(TryAgain, match="cannot be bound"):
            serve(GroundConfig(station=station, port=other.getsockname()[1]))


def test_the_command_says_one_line_and_exits_as_documented(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    command = [sys.executable, "-m", "ground", str(tmp_path / "file" / "station"), "--once"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout) == (3, "")
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("\n") == 1


def test_status_tells_state_counts_and_where_the_products_are(
    station: Path, models: Path, scene: TinyScene
) -> None:
    packets = scene.packets()
    (station / "inbox" / "a.bin").write_bytes(b"".join([*packets, packets[3], packets[3]]))
    assert serve(GroundConfig(station=station, models=(models,), once=True), clock=lambda: 5) == ExitCode.OK
    (file,) = status(station)["files"]
    assert (file["state"], file["duplicates"], file["first_us"]) == ("complete", 2, 5)
    assert (file["link"]["packets"], file["link"]["missing"]) == (len(packets), 0)
    assert file["versions"][0]["number"] == 1
    assert Path(file["products"], "report.json").is_file()
    with pytest.raises(InputError, match="no station"):
        status(station.parent)
