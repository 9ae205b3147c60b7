"""The spool: what append gave back is read again; torn and damaged segments cost what they hit and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec.errors import LimitExceeded
from ground import files as files_module
from ground.files import Files
from ground.spool import MAGIC, Arrival, Entry, Gap, Kind, Spool


def _arrivals(n: int) -> list[Arrival]:
    return [
        Arrival(
            Kind.PACKETS,
            f"datei-{i}-ü.bin",
            bytes([i]) * (5 * i) + b"SWPE" * (i % 2),
            1_000_000 + i,
            f"{i}:9",
        )
        for i in range(n)
    ]


def _write(folder: Path, groups: list[list[Arrival]], **options: int) -> Spool:
    folder.mkdir(exist_ok=True)
    spool = Spool(folder, Files(), **options)
    for group in groups:
        spool.append(group)
    return spool


def _entries(spool: Spool) -> list[Arrival]:
    return [found.arrival for found in spool.entries(0, 0) if isinstance(found, Entry)]


def test_what_was_appended_is_read_again_in_order(tmp_path: Path) -> None:
    arrivals = _arrivals(7)
    spool = _write(tmp_path / "spool", [arrivals[:3], [], arrivals[3:]])
    assert _entries(spool) == arrivals
    assert not [found for found in spool.entries(0, 0) if isinstance(found, Gap)]


def test_places_lead_to_the_payload(tmp_path: Path) -> None:
    spool = _write(tmp_path / "spool", [])
    for arrival in _arrivals(5):
        (entry,) = spool.append([arrival])
        assert spool.read(entry.place) == arrival.payload


def test_reading_goes_on_from_any_position_that_was_given(tmp_path: Path) -> None:
    arrivals = _arrivals(6)
    spool = _write(tmp_path / "spool", [arrivals], segment_bytes=64)
    found = [entry for entry in spool.entries(0, 0) if isinstance(entry, Entry)]
    for i, entry in enumerate(found):
        rest = [e.arrival for e in spool.entries(entry.place.segment, entry.end) if isinstance(e, Entry)]
        assert rest == arrivals[i + 1 :]


def test_a_full_segment_is_followed_by_another(tmp_path: Path) -> None:
    arrivals = _arrivals(9)
    spool = _write(tmp_path / "spool", [[arrival] for arrival in arrivals], segment_bytes=100)
    assert len(spool.segments()) > 2
    assert _entries(spool) == arrivals


def test_a_new_process_begins_a_new_segment(tmp_path: Path) -> None:
    _write(tmp_path / "spool", [_arrivals(1)])
    spool = _write(tmp_path / "spool", [_arrivals(1)])
    assert spool.segments() == [1, 2]


def test_any_torn_tail_costs_the_last_entry_only(memory: Path) -> None:
    arrivals = _arrivals(3)
    whole = memory / "torn-whole"
    _write(whole, [arrivals])
    data = (whole / "00000001.seg").read_bytes()
    ends = [found.end for found in Spool(whole, Files()).entries(0, 0) if isinstance(found, Entry)]
    for cut in range(len(data)):
        torn = memory / f"torn-{cut}"
        torn.mkdir()
        (torn / "00000001.seg").write_bytes(data[:cut])
        spool = Spool(torn, Files())
        complete = sum(end <= cut for end in ends)
        assert _entries(spool) == arrivals[:complete]
        # What comes after is found too.
        spool.append(arrivals[2:])
        assert _entries(spool) == [*arrivals[:complete], arrivals[2]]


def test_any_flipped_bit_costs_one_entry_at_most_and_never_changes_one(memory: Path) -> None:
    arrivals = _arrivals(4)
    whole = memory / "flipped"
    _write(whole, [arrivals])
    path = whole / "00000001.seg"
    data = path.read_bytes()
    for bit in range(len(MAGIC) * 8, len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        found = list(Spool(whole, Files()).entries(0, 0))
        kept = [entry.arrival for entry in found if isinstance(entry, Entry)]
        assert len(kept) == len(arrivals) - 1
        assert all(arrival in arrivals for arrival in kept)
        assert any(isinstance(gap, Gap) for gap in found)


def test_after_a_refused_write_the_next_group_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = _write(tmp_path / "spool", [_arrivals(2)])
    write = files_module.os.write

    def short_then_full(handle: int, data: bytes) -> int:
        monkeypatch.setattr(
            files_module.os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left"))
        )
        return write(handle, bytes(data)[:7])

    monkeypatch.setattr(files_module.os, "write", short_then_full)
    with pytest.raises(LimitExceeded, match="disk is full"):
        spool.append(_arrivals(3))
    monkeypatch.setattr(files_module.os, "write", write)
    spool.append(_arrivals(4))
    assert _entries(spool) == [*_arrivals(2), *_arrivals(4)]
