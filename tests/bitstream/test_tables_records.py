"""Tables that travel in the file: chunks in any order, copies, contradictions, missing ones."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nec_cases import SMALL_TABLES, header

from codec.bitstream import record as rec
from codec.bitstream.header import FLAG_EMBEDDED_TABLES
from codec.bitstream.reader import read_bytes
from codec.bitstream.tables_records import collect, split
from codec.bitstream.writer import to_bytes
from codec.errors import Corrupt, InputError
from codec.types import RecordKind

HEAD = header(flags=FLAG_EMBEDDED_TABLES)


@given(st.binary(min_size=1, max_size=3000), st.integers(1, 400), st.randoms())
def test_chunks_in_any_order_with_copies_give_the_table_file(
    data: bytes, chunk: int, rng: random.Random
) -> None:
    try:
        records = split(data, chunk=chunk)
    except InputError:
        # Only when no writable number of chunks lies between what is needed and one byte each.
        needed = -(-len(data) // chunk)
        assert not any(needed <= n <= len(data) for n in rec.TILE_COUNTS)
        return
    assert max(len(rec.payload(r)) for r in records) <= chunk
    received = records + rng.sample(records, len(records) // 2)
    rng.shuffle(received)
    embedded = collect(received)
    assert (embedded.data, embedded.missing, embedded.conflicts) == (data, (), 0)


def test_a_missing_chunk_is_named_and_the_rest_waits() -> None:
    records = split(SMALL_TABLES, chunk=50)
    nec = read_bytes(to_bytes(HEAD, records[:2] + records[3:]))
    assert nec.embedded is not None
    assert nec.embedded.missing == (2,)
    assert nec.embedded_tables is None
    assert nec.report["embedded_tables"]["missing_chunks"] == [2]


def test_complete_tables_are_parsed() -> None:
    tables = read_bytes(to_bytes(HEAD, split(SMALL_TABLES, chunk=50)[::-1])).embedded_tables
    assert tables is not None
    assert tables.n_planes == 2


def test_of_different_chunks_the_smaller_digest_wins_whatever_came_first() -> None:
    records = split(SMALL_TABLES, chunk=100)
    other = rec.numbered(RecordKind.TABLES, 1, len(records), b"another")
    winner = min(records[1], other, key=lambda r: hashlib.sha256(r.data).digest())
    expected = b"".join(rec.payload(r) for r in [records[0], winner, *records[2:]])
    for received in ([*records, other], [other, *records]):
        embedded = collect(received)
        assert (embedded.data, embedded.conflicts) == (expected, 1)


def test_chunks_that_disagree_on_their_number_make_the_tables_corrupt() -> None:
    nec = read_bytes(
        to_bytes(HEAD, [*split(SMALL_TABLES, chunk=100)[:1], rec.numbered(RecordKind.TABLES, 1, 2, b"x")])
    )
    with pytest.raises(Corrupt, match="disagree"):
        _ = nec.embedded_tables


def test_chunks_that_are_no_table_file_are_corrupt() -> None:
    nec = read_bytes(to_bytes(HEAD, split(SMALL_TABLES[:-1] + b"\0", chunk=100)), "a.nec")
    with pytest.raises(Corrupt, match=r"a\.nec"):
        _ = nec.embedded_tables


def test_tables_that_the_header_does_not_promise_are_ignored_and_reported() -> None:
    nec = read_bytes(to_bytes(header(), split(SMALL_TABLES)))
    assert (nec.embedded, nec.embedded_tables, nec.report["ignored_tables_records"]) == (None, None, 1)


@pytest.mark.parametrize(
    ("size", "chunk"), [(0, 100), (131_073, 1000), (100, 0), (100, 65_537), (131_072, 3)]
)
def test_tables_that_no_chunks_can_hold_are_refused(size: int, chunk: int) -> None:
    with pytest.raises(InputError):
        split(bytes(size), chunk=chunk)
