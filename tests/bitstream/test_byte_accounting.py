"""`inspect`: every byte of any file has its row, and the description is plain JSON."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from nec_cases import SMALL_TABLES, header, random_symbols

from codec.bitstream import record as rec
from codec.bitstream.coefficients import encode_file_records
from codec.bitstream.core import TableSet
from codec.bitstream.extensions import source_name_extension
from codec.bitstream.header import FLAG_EMBEDDED_TABLES
from codec.bitstream.reader import read_bytes
from codec.bitstream.tables_records import split
from codec.bitstream.writer import to_bytes
from codec.types import Georeference, RecordHeader, RecordKind, TileGrid
from swathpack.inspect_report import account, describe, render_account, render_description

TABLES = TableSet(SMALL_TABLES)
HEAD = header(
    grid=TileGrid(50, 30, 8, 8), flags=FLAG_EMBEDDED_TABLES, time_us=1_600_000_000_000_000,
    georeference=Georeference((10.0, 0.0, 5e5, 0.0, -10.0, 4e6), 32633, "PROJCRS"),
    extensions=(source_name_extension("scene-7"),),
)  # fmt: skip
RECORDS = encode_file_records(
    TABLES, HEAD, [random_symbols(TABLES, HEAD, p, p) for p in range(2)], target_bytes=80
)
FILE = to_bytes(HEAD, [*split(SMALL_TABLES, chunk=100), *RECORDS])


def test_the_rows_of_a_whole_file_sum_to_its_size() -> None:
    rows = account(read_bytes(FILE))
    assert sum(row["bytes"] for row in rows) == len(FILE)
    assert json.loads(json.dumps(rows)) == rows
    sections = {row["section"] for row in rows}
    assert sections == {"header", "tables", "coefficients", "index", "seal"}
    assert {row["part"] for row in rows if row["section"] == "coefficients"} >= {
        "record headers", "form", "tile masks", "token masks", "lane states", "words, signs, escapes", "checksums",
    }  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(HEAD.length, len(FILE) - 1), st.integers(0, 40), st.binary(max_size=40)),
        max_size=3,
    ),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_the_rows_of_a_damaged_file_sum_to_its_size(
    edits: list[tuple[int, int, bytes]], zeros: int, cut: int
) -> None:
    data = bytearray(FILE)
    for place, removed, inserted in edits:
        data[place : place + removed] = inserted
    damaged = bytes(data[: len(data) - cut] + bytes(zeros))
    nec = read_bytes(damaged)
    assert sum(row["bytes"] for row in account(nec)) == len(damaged)
    render_account(nec)
    json.dumps(describe(nec))


@settings(max_examples=200, deadline=None)
@given(
    st.binary(min_size=1, max_size=60), st.integers(0, 2), st.integers(0, 7), st.sampled_from([1, 5, 28]),
    st.sampled_from([RecordKind.COEFFICIENTS, RecordKind.COMPACT]),
)  # fmt: skip
def test_a_payload_of_any_bytes_is_accounted_for(
    payload: bytes, layer: int, bits: int, count: int, kind: RecordKind
) -> None:
    log2_lanes, form = (0, bits) if kind == RecordKind.COMPACT else (bits, 0)
    fields = RecordHeader(kind, 0, layer, log2_lanes, 0, 0, count, 1, form)
    data = to_bytes(HEAD, [rec.build(fields, payload)])
    assert sum(row["bytes"] for row in account(read_bytes(data))) == len(data)


def test_several_lanes_take_four_bytes_each() -> None:
    big = header(grid=TileGrid(8 * 3000, 8, 8, 8))
    symbols = [random_symbols(TABLES, big, p, p, spread=4) for p in range(2)]
    nec = read_bytes(to_bytes(big, encode_file_records(TABLES, big, symbols, target_bytes=61_440)))
    states = [row for row in account(nec) if row["part"] == "lane states"]
    expected: dict[tuple[int, int], int] = {}
    for r in nec.records:
        assert r.header.log2_lanes or r.header.payload_length < 4096 + 100
        if r.header.log2_lanes:
            key = r.header.plane, r.header.layer
            expected[key] = expected.get(key, 0) + 4 * 2**r.header.log2_lanes
    assert expected
    assert all(row["bytes"] - expected.get((row["plane"], row["layer"]), 0) in range(5) for row in states)


def test_the_description_says_what_the_header_and_the_file_say() -> None:
    d = describe(read_bytes(FILE, "a.nec"))
    assert json.loads(json.dumps(d)) == d
    assert (d["sensor"], d["source"], d["time"]) == ("sentinel2-l2a", "scene-7", "2020-09-13T12:26:40+00:00")
    assert d["codec_id"] == b"codec_id".hex()
    assert d["tiles"] == {"count": 28, "rows": 7, "cols": 4, "core_height": 8, "core_width": 8}
    assert d["georeference"]["epsg"] == 32633
    assert [layer["tiles"] for plane in d["planes"] for layer in plane["layers"]] == [28] * 4
    assert d["file"]["seal"] == "sealed"
    assert d["file"]["embedded_tables"]["complete"]


def test_a_person_reads_what_is_missing_and_damaged() -> None:
    lost = next(r for r in read_bytes(FILE).records if r.header.layer == 2)
    cut = FILE[: lost.offset] + b"\x01junk" + FILE[lost.offset + len(lost.data) : -5]
    text = render_description(read_bytes(cut), "a.nec")
    assert f"damaged  bytes {lost.offset} to {lost.offset + 4}" in text
    assert f"{lost.header.tile_count} tiles missing" in text
    assert "ends inside the record" in text
    assert "unsealed" in text
    assert render_account(read_bytes(cut)).splitlines()[-1].split()[:2] == ["all", str(len(cut))]


def test_a_time_beyond_the_calendar_is_described_as_it_stands() -> None:
    assert describe(read_bytes(header(time_us=2**63 - 1).encode()))["time"] == f"{2**63 - 1} µs since 1970"
