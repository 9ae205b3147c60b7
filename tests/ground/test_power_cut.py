"""The power fails: everything that was not fsynced is gone, names included. What was promised must still hold.

A whole run is recorded (ground_recorder.cpp, SQLite's writes included), and the disk rebuilt as it would be after a cut
at any of its changes (ground_disk.py). The same is done once for every fsync, with that one left out: then some promise
must break, or the fsync is good for nothing.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ground_disk import ALL, LAST, LOST, NAMES, Disk, Fate, fingerprint, materialise, read_log
from ground_fork import ForkServer, Job
from ground_story import State, Story, both_passes, broken_promises, make_story, read_state, versions_of

from codec.package import Package
from ground import files
from ground.files import Sync
from ground.spool import MAGIC

STATION = Path("data") / "new" / "station"  # two levels that the station has to make
N_RESTARTS = 40  # cuts after which a station is started again; the long form takes all
N_COINS = 1  # disks per cut on which each pending change survived or not by a coin


@dataclass(frozen=True)
class Cut:
    """One disk after a power cut."""

    at: int  # changes before it
    fate: Fate
    acks: list[str]
    survivors: dict[str, bytes | str | None]


@dataclass(frozen=True)
class Truth:
    """What undisturbed stations end with."""

    end: State
    versions: dict[str, dict[str, str]]  # every right version: name → SHA-256


@pytest.fixture(scope="module")
def server(recorder: Path) -> Iterator[ForkServer]:
    with ForkServer(preload=recorder) as running:
        yield running


@pytest.fixture(scope="module")
def story(memory: Path, models: Path, package: Package) -> Story:
    return make_story(memory / "story", models, package)


@pytest.fixture(scope="module")
def truth(memory: Path, server: ForkServer, story: Story) -> Truth:
    station = memory / "undisturbed"
    versions: dict[str, dict[str, str]] = {}
    server.run(Job(str(memory / "warm"), str(story.models), warm=True))
    both_passes(server, story, station, lambda: versions.update(versions_of(read_state(station))))
    return Truth(read_state(station), versions)


def _record(
    server: ForkServer, story: Story, folder: Path, *, skip: tuple[str, ...] = (), kill_at: int = 0
) -> list[Cut]:
    """Record a station that is made, hears pass 1 and pass 2; give every different disk that a cut can leave.

    With `kill_at`, pass 1 is killed there first and taken up by a second process: what that one finds is in the page
    cache and not yet durable.
    """
    world, log = folder / "world", folder / "log"
    (world / "data").mkdir(parents=True)
    disk = Disk(world)
    job = Job(str(world / STATION), str(story.models), skip=skip, record_root=str(world), record_log=str(log))
    assert server.run(job).code == 0  # makes the folders; now files can be dropped
    if kill_at:
        assert server.run(replace(job, drop=str(story.first), crash_at=kill_at)).code == -signal.SIGKILL
        assert server.run(job).code == 6
    else:
        assert server.run(replace(job, drop=str(story.first))).code == 6
    assert server.run(replace(job, drop=str(story.second))).code == 0
    cuts: dict[tuple[str, int], Cut] = {}
    for at, change in enumerate(read_log(log), 1):
        disk.apply(change)
        for fate in (LOST, NAMES, LAST, *(at * 10 + coin for coin in range(N_COINS))):
            survivors = disk.survivors(fate)
            key = fingerprint(survivors), len(disk.marks)
            cuts.setdefault(key, Cut(at, fate, list(disk.marks), survivors))
    return list(cuts.values())


def _broken(cut: Cut, story: Story, truth: Truth, disk: Path) -> list[str]:
    """The promises that do not hold on this disk, which stands in `disk` afterwards."""
    materialise(cut.survivors, disk)
    (disk / STATION).parent.mkdir(parents=True, exist_ok=True)
    return broken_promises(disk / STATION, story, cut.acks, truth.versions)


def _restart(cut: Cut, server: ForkServer, story: Story, truth: Truth, disk: Path) -> None:
    """Start again on the disk. Whoever sent files sends those again that were not acknowledged, and only those."""
    inbox = disk / STATION / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    acknowledged = {line.split()[1] for line in cut.acks if line.startswith("spooled")}
    for name in story.names:
        if name in acknowledged:
            (inbox / name).unlink(missing_ok=True)
        else:
            (inbox / name).write_bytes(story.content(name))
    run = server.run(Job(str(disk / STATION), str(story.models)))
    where = (cut.at, cut.fate)
    assert run.code == 0, (where, run)
    state = read_state(disk / STATION)
    assert state.products == truth.end.products, where
    assert _without_copies(state) == _without_copies(truth.end), where
    assert len(state.ledger["versions"]) == len({row[:2] for row in state.ledger["versions"]}), where


def _without_copies(state: State) -> list[tuple[object, ...]]:
    return [row[:3] for row in state.ledger["pieces"]]


def _killed_after_append(server: ForkServer, story: Story, folder: Path) -> int:
    """The crash point right after the first spool entry was written, and before it was synced."""
    for point in range(1, 200):
        station = folder / f"probe-{point}"
        assert server.run(Job(str(station), str(story.models))).code == 0
        server.run(Job(str(station), str(story.models), drop=str(story.first), crash_at=point))
        segments = list((station / "spool").glob("*.seg"))
        if segments and segments[0].stat().st_size > len(MAGIC):
            return point
    raise AssertionError("no crash point after a spool entry")


def test_the_recording_followed_to_its_end_is_the_disk_that_the_station_left(
    server: ForkServer, story: Story, truth: Truth, memory: Path
) -> None:
    """Else the recorder would have missed a change, and the cuts would be cuts of something else."""
    folder = memory / "fidelity"
    station = folder / "world" / "station"
    (folder / "world").mkdir(parents=True)
    disk = Disk(folder / "world")
    job = Job(
        str(station), str(story.models), record_root=str(folder / "world"), record_log=str(folder / "log")
    )
    server.run(job)
    server.run(replace(job, drop=str(story.first)))
    for change in read_log(folder / "log"):
        disk.apply(change)
    materialise(disk.survivors(ALL), folder / "rebuilt")
    assert _tree(folder / "rebuilt") == _tree(folder / "world")


def _tree(root: Path) -> dict[str, object]:
    return {
        str(path.relative_to(root)): path.readlink()
        if path.is_symlink()
        else path.is_dir() or path.read_bytes()
        for path in root.rglob("*")
    }


def test_promises_hold_on_every_disk_that_a_power_cut_can_leave(
    server: ForkServer, story: Story, truth: Truth, memory: Path
) -> None:
    cuts = _record(server, story, memory / "promises")
    assert len(cuts) > 300
    for number, cut in enumerate(cuts):
        disk = memory / f"promise-{number}"
        assert _broken(cut, story, truth, disk) == [], (cut.at, cut.fate)
        shutil.rmtree(disk)


def test_promises_hold_when_a_power_cut_follows_a_kill(
    server: ForkServer, story: Story, truth: Truth, memory: Path
) -> None:
    point = _killed_after_append(server, story, memory / "probe")
    for number, cut in enumerate(_record(server, story, memory / "kill-then-cut", kill_at=point)):
        disk = memory / f"kill-promise-{number}"
        assert _broken(cut, story, truth, disk) == [], (cut.at, cut.fate)
        shutil.rmtree(disk)


def _restarts(server: ForkServer, story: Story, truth: Truth, memory: Path, most: int) -> None:
    cuts = _record(server, story, memory / f"restarts-{most}")
    chosen = random.Random(31).sample(cuts, min(most, len(cuts)))
    for number, cut in enumerate(chosen):
        disk = memory / f"restart-{number}"
        materialise(cut.survivors, disk)
        _restart(cut, server, story, truth, disk)
        shutil.rmtree(disk)


def test_a_station_restarted_after_a_power_cut_ends_with_identical_products(
    server: ForkServer, story: Story, truth: Truth, memory: Path
) -> None:
    _restarts(server, story, truth, memory, N_RESTARTS)


@pytest.mark.long
def test_a_station_restarted_after_any_power_cut_ends_with_identical_products(
    server: ForkServer, story: Story, truth: Truth, memory: Path
) -> None:
    _restarts(server, story, truth, memory, 1_000_000)


@pytest.mark.parametrize("sync", list(Sync), ids=lambda sync: sync.value)
def test_leaving_out_one_fsync_breaks_a_promise(
    sync: Sync, server: ForkServer, story: Story, truth: Truth, memory: Path
) -> None:
    point = _killed_after_append(server, story, memory / f"probe-{sync}") if sync is Sync.SEGMENT_FOUND else 0
    cuts = _record(server, story, memory / f"without-{sync.value}", skip=(sync.value,), kill_at=point)
    for number, cut in enumerate(cuts):
        disk = memory / f"without-{sync.value}-{number}"
        broken = _broken(cut, story, truth, disk)
        shutil.rmtree(disk)
        if broken:
            print(f"cut after change {cut.at}, {cut.fate}: {broken[0]}")
            return
    pytest.fail(f"{len(cuts)} disks without the fsync {sync.value}, and every promise holds")


def test_every_fsync_has_its_own_name() -> None:
    """So that leaving out one name leaves out one call."""
    source = "".join(
        path.read_text() for path in Path(files.__file__).parent.glob("*.py") if path.name != "files.py"
    )
    assert {name: source.count(f"Sync.{name}") for name in Sync.__members__} == dict.fromkeys(
        Sync.__members__, 1
    )
    assert "os.fsync" not in source
