"""Dropped files: taken when complete, removed only after they are safe, strangers left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codec.errors import InputError
from ground.files import Files
from ground.receivers import Dropped, Inbox
from ground.spool import Kind


def _inbox(folder: Path, **options: float) -> Inbox:
    return Inbox(folder, **{"stable_s": 1.0, "max_file_bytes": 1000, **options})  # type: ignore[arg-type]


def _names(found: list[Dropped]) -> list[str]:
    return [dropped.path.name for dropped in found]


def test_a_file_is_complete_when_it_did_not_change_for_the_stable_time(tmp_path: Path) -> None:
    inbox = _inbox(tmp_path)
    path = tmp_path / "a.nec"
    path.write_bytes(b"one")
    assert _names(list(inbox.complete(10.0, 0))) == []
    assert _names(list(inbox.complete(10.9, 0))) == []
    path.write_bytes(b"one and two")  # it was still being written
    assert _names(list(inbox.complete(11.1, 0))) == []
    assert _names(list(inbox.complete(12.0, 0))) == []
    (dropped,) = inbox.complete(12.2, 77)
    assert (dropped.arrival.payload, dropped.arrival.time_us) == (b"one and two", 77)


def test_kinds_follow_the_names(tmp_path: Path) -> None:
    for name in ("a.nec", "b.bin", "c.PKT"):
        (tmp_path / name).write_bytes(b"x")
    found = list(_inbox(tmp_path).complete(0.0, 0, at_once=True))
    assert [d.arrival.kind for d in found] == [Kind.CONTAINER, Kind.PACKETS, Kind.PACKETS]


@pytest.mark.parametrize("name", [".hidden.nec", "a.nec.part", "b.bin.tmp", ".b.bin.1234.part"])
def test_unfinished_names_are_left_alone_in_silence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    inbox = _inbox(tmp_path)
    assert list(inbox.complete(0.0, 0, at_once=True)) == []
    assert inbox.remarks == []


def test_other_names_links_folders_and_large_files_are_named_once_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    (tmp_path / "folder.nec").mkdir()
    (tmp_path / "link.nec").symlink_to("/etc/hostname")
    (tmp_path / "large.bin").write_bytes(bytes(1001))
    inbox = _inbox(tmp_path)
    for _ in range(3):
        assert list(inbox.complete(0.0, 0, at_once=True)) == []
    said = {Path(line.split(": ")[0]).name for line in inbox.remarks}
    assert said == {"note.txt", "folder.nec", "link.nec", "large.bin"}
    assert len(inbox.remarks) == 4


def test_a_file_that_was_written_to_after_it_was_read_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"first half")
    inbox = _inbox(tmp_path)
    (dropped,) = inbox.complete(0.0, 0, at_once=True)
    with open(path, "ab") as file:
        file.write(b", second half")
    os.utime(path, ns=(1, 1))
    inbox.remove(dropped, Files())
    assert path.read_bytes() == b"first half, second half"


def test_a_missing_inbox_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the inbox cannot be read: No such file"):
        list(_inbox(tmp_path / "absent").complete(0.0, 0))
