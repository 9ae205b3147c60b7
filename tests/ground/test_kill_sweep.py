"""SIGKILL at seeded instants, restart in a fresh process, and the end must be the same to the byte."""

from __future__ import annotations

import random
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from ground_fork import ForkServer, Job
from ground_story import State, Story, make_story, read_state

from codec.package import Package

N_KILLS = 120  # single kills; the whole sweep (marked long) takes every crash point
N_DOUBLE = 15  # killed again while it recovers


@dataclass(frozen=True)
class Reference:
    """The undisturbed run, and where it can be cut."""

    story: Story
    after_first: Path  # a station after pass 1, to be copied
    points: tuple[int, int]  # crash points in pass 1 and in pass 2
    end: State


@pytest.fixture(scope="module")
def reference(memory: Path, models: Path, package: Package, fork_server: ForkServer) -> Reference:
    story = make_story(memory / "story", models, package)
    station = memory / "undisturbed"
    (station / "inbox").mkdir(parents=True)
    fork_server.run(Job(str(_fresh(memory / "warm")), str(models), drop=str(story.first), warm=True))
    first = fork_server.run(Job(str(station), str(models), drop=str(story.first)))
    shutil.copytree(station, memory / "after-first", symlinks=True)
    second = fork_server.run(Job(str(station), str(models), drop=str(story.second)))
    assert (first.code, second.code) == (6, 0), (first, second)
    return Reference(
        story, memory / "after-first", (first.crash_points, second.crash_points), read_state(station)
    )


def _fresh(station: Path) -> Path:
    (station / "inbox").mkdir(parents=True)
    return station


def _kills(
    reference: Reference, server: ForkServer, memory: Path, instants: list[tuple[int, int, int]]
) -> None:
    """Each instant: (pass, crash point, crash point while recovering or 0)."""
    for number, (which, point, again) in enumerate(instants):
        station = memory / f"trial-{number}"
        story = reference.story
        if which == 1:
            _fresh(station)
        else:
            shutil.copytree(reference.after_first, station, symlinks=True)
        dropped = story.first if which == 1 else story.second
        run = server.run(Job(str(station), str(story.models), drop=str(dropped), crash_at=point))
        assert run.code == -signal.SIGKILL, (which, point, run)
        if again:
            run = server.run(Job(str(station), str(story.models), crash_at=again))
            assert run.code in (-signal.SIGKILL, 0, 6), (which, point, again, run)
        run = server.run(Job(str(station), str(story.models)))
        assert run.code == (6 if which == 1 else 0), (which, point, again, run)
        if which == 1:
            run = server.run(Job(str(station), str(story.models), drop=str(story.second)))
            assert run.code == 0, (which, point, again, run)
        assert read_state(station) == reference.end, (which, point, again)
        assert list((station / "inbox").iterdir()) == []
        shutil.rmtree(station)


def _every_instant(reference: Reference) -> list[tuple[int, int, int]]:
    return [(which, point, 0) for which in (1, 2) for point in range(1, reference.points[which - 1] + 1)]


def test_the_story_has_a_partial_version_a_complete_one_and_refusals(reference: Reference) -> None:
    numbers = [row[2:] for row in reference.end.ledger["versions"]]
    assert sorted(numbers) == [(1, 0), (1, 1), (2, 1)]
    assert [row[3] for row in reference.end.ledger["files"]] == ["complete", "complete"]
    assert {row[0] for row in reference.end.ledger["refusals"]} == {"bad-input", "corrupt"}


def test_killed_at_seeded_instants_ends_with_identical_products_and_counts(
    reference: Reference, fork_server: ForkServer, memory: Path
) -> None:
    chosen = random.Random(20).sample(_every_instant(reference), N_KILLS)
    _kills(reference, fork_server, memory, chosen)


def test_killed_again_while_recovering_ends_the_same(
    reference: Reference, fork_server: ForkServer, memory: Path
) -> None:
    chance = random.Random(21)
    chosen = chance.sample(_every_instant(reference), N_DOUBLE)
    _kills(
        reference,
        fork_server,
        memory,
        [(which, point, chance.randrange(1, 60)) for which, point, _ in chosen],
    )


@pytest.mark.long
def test_killed_at_every_crash_point_ends_the_same(
    reference: Reference, fork_server: ForkServer, memory: Path
) -> None:
    _kills(reference, fork_server, memory, _every_instant(reference))
