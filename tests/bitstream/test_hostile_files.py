"""Damaged and hostile files: a typed refusal or what is unaffected, never a wrong value, never unearned memory."""

from __future__ import annotations

import dataclasses
import hashlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nec_cases import SMALL_TABLES, header, random_symbols

from codec.bitstream import conflicts
from codec.bitstream import record as rec
from codec.bitstream.coefficients import decode, encode_file_records
from codec.bitstream.core import TableSet, encode_records
from codec.bitstream.decoded import DecodedSymbols
from codec.bitstream.masks import plane_masks
from codec.bitstream.reader import read_bytes
from codec.bitstream.writer import to_bytes
from codec.errors import FormatError, LimitExceeded
from codec.types import RecordHeader, RecordKind, TileGrid

TABLES = TableSet(SMALL_TABLES)
HEAD = header(grid=TileGrid(20, 13, 8, 8))
SYMBOLS = [random_symbols(TABLES, HEAD, plane, 40 + plane) for plane in range(2)]
FILE = to_bytes(HEAD, encode_file_records(TABLES, HEAD, SYMBOLS, target_bytes=45))
TRUTH = decode(TABLES, HEAD, read_bytes(FILE).records)


def layer_of_coefficients(plane: int) -> np.ndarray:
    """C×F: the layer that each coefficient belongs to."""
    layout = TABLES.plane(plane)
    return layout["layer_map"][layout["bands"]].T


def assert_nothing_wrong(found: DecodedSymbols) -> None:
    """Each (tile, layer) is the original's or is missing."""
    for plane, (got, true) in enumerate(zip(found.planes, TRUTH.planes, strict=True)):
        there = (got.layers[:, None, None] >> layer_of_coefficients(plane) & 1).astype(bool)
        np.testing.assert_array_equal(got.values, np.where(there, true.values, 0))
        base = (got.layers & 1).astype(bool)[:, None, None]
        np.testing.assert_array_equal(got.token_validity, true.token_validity & base)
    assert found.conflicts == ()


def decode_file(data: bytes) -> DecodedSymbols | None:
    try:
        nec = read_bytes(data)
    except FormatError:
        return None
    return decode(TABLES, nec.header, nec.records)


def test_every_truncation_is_refused_or_leaves_what_is_before_it() -> None:
    counts = []
    for cut in range(len(FILE)):
        found = decode_file(FILE[:cut])
        assert (found is None) == (cut < HEAD.length)
        if found is not None:
            assert_nothing_wrong(found)
            counts.append(found.used)
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == TRUTH.used  # the last byte cut is the seal's


def test_every_flipped_bit_is_refused_or_costs_one_record() -> None:
    for bit in range(8 * len(FILE)):
        damaged = bytearray(FILE)
        damaged[bit // 8] ^= 1 << bit % 8
        found = decode_file(bytes(damaged))
        assert (found is None) == (bit < 8 * HEAD.length)
        if found is not None:
            assert found.used >= TRUTH.used - 1
            assert_nothing_wrong(found)


edits = st.lists(
    st.tuples(st.integers(HEAD.length, len(FILE) - 1), st.integers(0, 30), st.binary(max_size=30)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(edits)
def test_stretches_replaced_removed_or_inserted_cost_only_what_they_touch(
    edits: list[tuple[int, int, bytes]],
) -> None:
    data = bytearray(FILE)
    for place, removed, inserted in edits:
        data[place : place + removed] = inserted
    found = decode_file(bytes(data))
    assert found is not None
    assert_nothing_wrong(found)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(0, 1),
    st.integers(0, 2),
    st.integers(0, 7),
    st.integers(1, 6),
    st.data(),
)
def test_a_payload_that_is_accepted_is_the_one_its_symbols_give(
    seed: int, plane: int, layer: int, log2_lanes: int, count: int, data: st.DataObject
) -> None:
    # Records with a right CRC around mutated payloads: what passes must be canonical, given its header.
    fields = RecordHeader(
        RecordKind.COEFFICIENTS, plane, layer % HEAD.planes[plane].n_layers, log2_lanes, 0, 0, count, 1
    )
    symbols = random_symbols(TABLES, HEAD, plane, seed, spread=0.7)
    masks = plane_masks(HEAD.grid, HEAD.planes[plane], symbols.token_validity)
    flat = (HEAD.n_tiles, -1)
    word = np.array([rec.pack_fields(fields)], np.uint64)

    def encode(values: np.ndarray, validity: np.ndarray) -> bytes:
        m = plane_masks(HEAD.grid, HEAD.planes[plane], validity)
        return encode_records(
            TABLES,
            word,
            HEAD.ladder_index,
            values,
            m.tile_mask,
            m.token_mask.reshape(flat),
            m.derived.reshape(flat),
        )[0]

    sound = rec.parse(encode(symbols.values, symbols.token_validity))
    is_compact = sound.header.kind == RecordKind.COMPACT
    payload = bytearray(rec.payload(sound))
    form_change = data.draw(st.integers(0, 7)) if is_compact else 0
    for place, change in data.draw(
        st.lists(st.tuples(st.integers(0, len(payload) - 1), st.integers(0, 255)), max_size=2)
    ):
        payload[place] ^= change
    head = dataclasses.replace(sound.header, state_form=sound.header.state_form ^ form_change)
    record = rec.build(head, bytes(payload))
    found = decode(TABLES, HEAD, [record])
    if found.damaged:
        return
    result = found.planes[plane]
    validity = np.array(result.token_validity)
    if record.header.layer:  # only the tile mask is in the record: take it from the payload, bit by bit
        validity[:] = True
        if payload[0] & 1 and not is_compact:
            bits = int.from_bytes(payload[1 : 1 + -(-count // 8)], "little")
            validity[[t for t in range(count) if bits >> t & 1]] = False
    assert not result.values[masks.tile_mask & ~validity.any(axis=(1, 2))].any()
    assert encode(result.values, validity) == record.data


def test_a_file_of_plausible_record_headers_takes_bounded_memory() -> None:
    # Every 8 bytes a header with a right check byte that claims 64 KiB; none holds.
    claim = rec.pack(RecordHeader(RecordKind.COEFFICIENTS, 0, 0, 0, 0, 0, 1, 65536))
    data = HEAD.encode() + claim * 20_000
    tracemalloc.start()
    nec = read_bytes(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (nec.records, len(nec.gaps)) == ((), 1)
    assert peak < 5 * len(data)


def test_a_flood_of_contradicting_records_is_bounded_and_settled_by_digest() -> None:
    # Coarsest index: nothing of plane 1 is coded, and a record is one byte of payload for any tiles it claims.
    head = dataclasses.replace(header(tiles=40), ladder_index=11)
    records = [
        rec.build(RecordHeader(RecordKind.COMPACT, 1, 0, 0, offset, first, count, 1), b"\x01")
        for offset in range(4)
        for first in range(20)
        for count in range(1, 21)
    ]
    found = decode(TABLES, head, records)
    assert {d.kind for d in found.damaged} == {LimitExceeded.kind}
    assert found.used + len(found.damaged) == len(records)
    tiles = sum(r.header.tile_count for r in records) - sum(d.header.tile_count for d in found.damaged)
    assert tiles <= conflicts.MAX_WORK * 39
    by_digest = sorted(records, key=lambda r: hashlib.sha256(r.data).digest())
    for tile in range(39):
        winner = next(
            r for r in by_digest if r.header.first_tile <= tile < r.header.first_tile + r.header.tile_count
        )
        assert found.planes[1].ladder_offset[tile, 0] == winner.header.ladder_offset


@pytest.mark.parametrize("size", [1, 7, 8, 12, 100, 155])
def test_bytes_of_nothing_are_refused_by_kind(size: int) -> None:
    for data in (bytes(size), b"\xff" * size, FILE[:size]):
        with pytest.raises(FormatError):
            read_bytes(data)
