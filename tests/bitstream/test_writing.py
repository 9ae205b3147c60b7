"""Writing: streamed equals whole, files appear complete or not at all, appending keeps what was there."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from nec_cases import header

from codec.bitstream import record as rec
from codec.bitstream import writer
from codec.bitstream.reader import read, read_bytes
from codec.bitstream.scan import SealState
from codec.bitstream.writer import NecWriter, to_bytes
from codec.errors import InputError, LimitExceeded
from codec.types import Georeference, Record, RecordHeader, RecordKind

HEAD = header(tiles=100)


def record(first: int) -> Record:
    return rec.build(RecordHeader(RecordKind.COEFFICIENTS, 0, 0, 0, 0, first, 1, 1), bytes([first, 1, 2]))


RECORDS = [record(i) for i in range(6)]


def test_a_path_a_stream_and_memory_get_the_same_bytes(tmp_path: Path) -> None:
    stream = io.BytesIO()
    for target in (tmp_path / "a.nec", stream):
        with NecWriter(target, HEAD) as out:
            out.extend(r.data for r in RECORDS)
            assert out.n_records == 6
    assert (tmp_path / "a.nec").read_bytes() == stream.getvalue() == to_bytes(HEAD, RECORDS)
    assert not stream.closed
    assert [p.name for p in tmp_path.iterdir()] == ["a.nec"]


def test_what_was_written_is_read_back() -> None:
    nec = read(io.BytesIO(to_bytes(HEAD, RECORDS)))
    assert [r.data for r in nec.records] == [r.data for r in RECORDS]
    assert (nec.header, nec.seal) == (HEAD, SealState.SEALED)


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.nec"
    path.write_bytes(b"old")
    with pytest.raises(InputError), NecWriter(path, HEAD) as out:
        out.extend([RECORDS[0], record(100)])
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.nec"]


def test_a_header_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    long = header(georeference=Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), 4326, "W" * 700))
    with pytest.raises(LimitExceeded):
        NecWriter(tmp_path / "a.nec", long)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written.*; choose") as caught:
        NecWriter(tmp_path / "absent" / "a.nec", HEAD)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_is_a_limit() -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(LimitExceeded, match="full"):
        NecWriter(full, HEAD)


@pytest.mark.parametrize(
    "bad", [record(100), rec.build(RecordHeader(RecordKind.COEFFICIENTS, 5, 0, 0, 0, 0, 1, 1), b"x"), b"junk"]
)
def test_an_illegal_record_is_not_written(bad: Record | bytes) -> None:
    stream = io.BytesIO()
    out = NecWriter(stream, HEAD)
    with pytest.raises(InputError):
        out.add(bad)
    assert stream.getvalue() == HEAD.encode()


def test_nothing_is_added_to_a_finished_file() -> None:
    out = NecWriter(io.BytesIO(), HEAD)
    out.close()
    with pytest.raises(InputError):
        out.add(RECORDS[0])


def test_appending_to_a_sealed_file_seals_it_again(tmp_path: Path) -> None:
    path = tmp_path / "a.nec"
    before = to_bytes(HEAD, RECORDS[:2])
    path.write_bytes(before)
    with NecWriter.append(path) as out:
        out.extend(RECORDS[2:])
    data = path.read_bytes()
    nec = read_bytes(data)
    assert data.startswith(before)
    assert nec.is_whole
    assert [r.data for r in nec.records] == [r.data for r in RECORDS]
    kinds = [r.header.kind for r in nec.scan.records]
    assert [i for i, kind in enumerate(kinds) if kind == RecordKind.SEAL] == [3, len(kinds) - 1]


def test_appending_to_an_unsealed_file_with_damage_keeps_the_damage_visible(tmp_path: Path) -> None:
    path = tmp_path / "a.nec"
    path.write_bytes(to_bytes(HEAD, RECORDS[:2], index=False, seal=False) + b"junk\0\0")
    with NecWriter.append(path) as out:
        out.add(RECORDS[2])
    nec = read(path)
    assert (nec.seal, len(nec.records), nec.gaps[0].size, nec.scan.padding) == (SealState.SEALED, 3, 4, 2)
    assert not nec.is_whole


def test_nothing_is_appended_behind_a_cut_record(tmp_path: Path) -> None:
    path = tmp_path / "a.nec"
    cut = to_bytes(HEAD, RECORDS, index=False, seal=False)[:-3]
    path.write_bytes(cut)
    with pytest.raises(InputError, match="cut record"):
        NecWriter.append(path)
    assert path.read_bytes() == cut


def test_a_failed_append_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.nec"
    path.write_bytes(to_bytes(HEAD, RECORDS[:2]))
    with pytest.raises(InputError), NecWriter.append(path) as out:
        out.add(record(100))
    assert path.read_bytes() == to_bytes(HEAD, RECORDS[:2])


def test_an_index_longer_than_a_payload_goes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "ENTRIES_PER_PART", 4)
    nec = read_bytes(to_bytes(HEAD, RECORDS))
    assert [r.header.first_tile for r in nec.scan.of_kind(RecordKind.INDEX)] == [0, 1]
    assert nec.is_whole


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.nec", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read(path)


def test_an_endless_stream_stops_at_the_limit() -> None:
    with pytest.raises(LimitExceeded):
        read(io.BytesIO(to_bytes(HEAD, RECORDS)), max_bytes=100)
