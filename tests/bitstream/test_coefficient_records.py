"""Symbols to records and back: round trip, independence of order and copies, conflicts, what is missing or damaged."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nec_cases import (
    LADDER,
    SMALL,
    SMALL_TABLES,
    canonical,
    coded_positions,
    header,
    random_symbols,
    table_file,
    uniform_plane,
)

from codec.bitstream import record as rec
from codec.bitstream.coefficients import decode, encode_file_records, encode_plane
from codec.bitstream.core import TableSet, encode_records
from codec.bitstream.decoded import DecodedSymbols
from codec.bitstream.header import FileHeader
from codec.bitstream.masks import plane_masks
from codec.errors import Corrupt, IdentityError, InputError, LimitExceeded
from codec.types import Record, RecordHeader, RecordKind, Symbols, TileGrid, TileRange

TABLES = TableSet(SMALL_TABLES)
GRIDS = st.builds(TileGrid, st.integers(1, 40), st.integers(1, 40), st.integers(5, 12), st.integers(5, 12))


def both_planes(head: FileHeader, seed: int, **how: float) -> list[Symbols]:
    return [random_symbols(TABLES, head, plane, seed + plane, **how) for plane in range(2)]


def assert_same(a: DecodedSymbols, b: DecodedSymbols) -> None:
    for x, y in zip(a.planes, b.planes, strict=True):
        for name in ("values", "token_validity", "layers", "ladder_offset"):
            np.testing.assert_array_equal(getattr(x, name), getattr(y, name))
    assert dataclasses.replace(a, planes=()) == dataclasses.replace(b, planes=())


@settings(max_examples=60, deadline=None)
@given(
    GRIDS,
    st.integers(0, 2**31),
    st.sampled_from([40, 200, 960, 61_440]),
    st.integers(6, 10),
    st.floats(0.2, 6),
)
def test_what_was_encoded_is_decoded(
    grid: TileGrid, seed: int, target: int, ladder_index: int, spread: float
) -> None:
    head = header(grid=grid, ladder_index=ladder_index)
    symbols = both_planes(head, seed, spread=spread)
    records = encode_file_records(TABLES, head, symbols, target_bytes=target)
    decoded = decode(TABLES, head, records)
    assert (decoded.missing, decoded.conflicts, decoded.damaged, decoded.used) == ((), (), (), len(records))
    for given_, found, spec in zip(symbols, decoded.planes, head.planes, strict=True):
        masks = plane_masks(grid, spec, given_.token_validity)
        np.testing.assert_array_equal(found.values, canonical(TABLES, head, given_, masks.tile_mask))
        np.testing.assert_array_equal(found.token_validity, given_.token_validity & ~masks.derived)
        assert (found.layers == 2**spec.n_layers - 1).all()
        assert not found.ladder_offset.any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_any_subset_in_any_order_with_copies_decodes_alike(seed: int, rng: random.Random) -> None:
    head = header(tiles=30)
    records = encode_file_records(TABLES, head, both_planes(head, seed), target_bytes=60)
    # A second encoding of the same tiles, as another station or pass might bring, and one broken record.
    records += encode_file_records(TABLES, head, both_planes(head, seed + 7), target_bytes=90)
    records.append(rec.build(RecordHeader(RecordKind.COEFFICIENTS, 0, 0, 0, 0, 2, 3, 1), b"\xff"))
    subset = rng.sample(records, rng.randint(1, len(records)))
    shuffled = subset + rng.choices(subset, k=5)
    rng.shuffle(shuffled)
    assert_same(decode(TABLES, head, subset), decode(TABLES, head, shuffled))


def test_files_are_ordered_by_layer_then_plane_then_tile() -> None:
    head = header(tiles=40)
    records = encode_file_records(TABLES, head, both_planes(head, 3)[::-1], target_bytes=60)
    places = [(r.header.layer, r.header.plane, r.header.first_tile) for r in records]
    assert places == sorted(places)
    assert {p[:2] for p in places} == {(0, 0), (0, 1), (1, 0), (2, 0)}


def test_a_plane_alone_gives_the_records_it_has_in_the_file() -> None:
    head = header(tiles=40)
    symbols = both_planes(head, 3)
    records = encode_file_records(TABLES, head, symbols)
    for plane in range(2):
        own = sorted((r for r in records if r.header.plane == plane), key=lambda r: r.header.layer)
        assert encode_plane(TABLES, head, plane, symbols[plane]) == own


def test_a_tile_without_layer_0_is_invalid_and_keeps_its_other_layers() -> None:
    head = header(SMALL[0], tiles=6)
    tables = TableSet(table_file(SMALL[0]))
    symbols = dataclasses.replace(random_symbols(tables, head, 0, 1), token_validity=np.ones((6, 3, 2), bool))
    records = encode_plane(tables, head, 0, symbols, target_bytes=20)
    lost = next(r for r in records if r.header.layer == 0)
    first, count = lost.header.first_tile, lost.header.tile_count
    decoded = decode(tables, head, [r for r in records if r is not lost])
    plane = decoded.planes[0]
    hole = slice(first, first + count)
    assert decoded.missing == (TileRange(0, 0, first, count),)
    assert not plane.token_validity[hole].any()
    assert np.delete(plane.token_validity, np.arange(first, first + count), axis=0).all()
    assert (plane.layers[hole] == 0b110).all()
    in_layer_0 = np.zeros((4, 6), dtype=bool)
    in_layer_0[:, 0] = True
    np.testing.assert_array_equal(plane.values[hole], np.where(in_layer_0, 0, symbols.values[hole]))
    assert_same(decode(tables, head, [*records, lost]), decode(tables, head, records))


def test_nothing_received_is_all_missing() -> None:
    decoded = decode(TABLES, header(tiles=9), [])
    assert decoded.missing == (
        TileRange(0, 0, 0, 9),
        TileRange(0, 1, 0, 9),
        TileRange(0, 2, 0, 9),
        TileRange(1, 0, 0, 9),
    )
    assert not any(p.token_validity.any() for p in decoded.planes)


def pooled(
    values: list[list[int]], ladder_offset: int = 0, **fields: object
) -> tuple[FileHeader, list[Record], np.ndarray]:
    """Records of a plane of 1×1 tokens × 5 channels for these tiles."""
    plane = uniform_plane(1, 1, 5, 1)
    head = header(plane, tiles=len(values), **fields)
    array = np.array(values, dtype=np.int16)[:, :, None]
    symbols = Symbols(0, array, np.ones((len(values), 1, 1), dtype=bool))
    tables = TableSet(table_file(plane))
    return head, encode_plane(tables, head, 0, symbols, ladder_offset=ladder_offset), array


POOLED_TABLES = TableSet(table_file(uniform_plane(1, 1, 5, 1)))


def test_for_each_tile_the_record_with_the_smaller_digest_wins() -> None:
    rng = np.random.default_rng(2)
    head, [base], _ = pooled(rng.integers(-3, 4, (8, 5)).tolist())
    candidates = []
    for first, count in ((0, 8), (0, 3), (2, 4), (5, 3), (7, 1)):
        values = rng.integers(-3, 4, (8, 5)).astype(np.int16)
        symbols = Symbols(0, values[:, :, None], np.ones((8, 1, 1), bool))
        asked = dataclasses.replace(
            base.header, kind=RecordKind.COEFFICIENTS, state_form=0, first_tile=first, tile_count=count
        )
        word = rec.pack_fields(asked)
        mask = np.zeros((8, 1), bool)
        (data,) = encode_records(
            POOLED_TABLES,
            np.array([word], np.uint64),
            head.ladder_index,
            symbols.values,
            mask[:, 0],
            mask,
            mask,
        )
        candidates.append((rec.parse(data), values))
    expected = np.zeros((8, 5), np.int16)
    contested = []
    for tile in range(8):
        claims = [
            (hashlib.sha256(r.data).digest(), v)
            for r, v in candidates
            if r.header.first_tile <= tile < r.header.first_tile + r.header.tile_count
        ]
        expected[tile] = min(claims, key=lambda c: c[0])[1][tile]
        contested += [tile] * (len(claims) > 1)
    decoded = decode(POOLED_TABLES, head, [r for r, _ in candidates])
    np.testing.assert_array_equal(decoded.planes[0].values[:, :, 0], expected)
    assert [t for c in decoded.conflicts for t in range(c.first, c.first + c.count)] == contested


@pytest.mark.parametrize("seed", range(6))
def test_of_records_at_different_steps_the_winner_alone_remains(seed: int) -> None:
    # At a coarser step fewer channels are coded: nothing of the loser may shine through there.
    rng = np.random.default_rng(seed)
    head, [fine], values = pooled(rng.integers(1, 9, (4, 5)).tolist(), ladder_offset=-2)
    _, [coarse], zeros = pooled(np.zeros((4, 5), int).tolist(), ladder_offset=3)
    wins_fine = hashlib.sha256(fine.data).digest() < hashlib.sha256(coarse.data).digest()
    plane = decode(POOLED_TABLES, head, [fine, coarse]).planes[0]
    np.testing.assert_array_equal(plane.values, values if wins_fine else zeros)
    assert (plane.ladder_offset == (-2 if wins_fine else 3)).all()


def test_a_damaged_record_wins_nothing() -> None:
    head, [good], values = pooled([[1, -2, 0, 3, 0]] * 4)
    for byte in range(256):  # some of these have the smaller digest
        bad = rec.build(good.header, bytes([0xFF, byte]))
        decoded = decode(POOLED_TABLES, head, [bad, good])
        np.testing.assert_array_equal(decoded.planes[0].values, values)
        assert [(d.index, d.kind) for d in decoded.damaged] == [(0, Corrupt.kind)]
        assert decoded.conflicts == ()


def test_records_that_the_header_does_not_allow_are_damaged_alone() -> None:
    head, [good], values = pooled([[1, -2, 0, 3, 0]] * 4)
    wrong = [
        rec.build(dataclasses.replace(good.header, **change), rec.payload(good))
        for change in ({"plane": 1}, {"layer": 1}, {"first_tile": 1}, {"ladder_offset": 3})
    ]
    decoded = decode(POOLED_TABLES, dataclasses.replace(head, ladder_index=len(LADDER) - 1), wrong)
    assert {d.kind for d in decoded.damaged} == {Corrupt.kind}
    assert len(decoded.damaged) == 4
    np.testing.assert_array_equal(decode(POOLED_TABLES, head, [*wrong[:3], good]).planes[0].values, values)


def test_records_of_other_kinds_are_passed_over() -> None:
    head, records, values = pooled([[1, 0, 0, 0, 2]])
    others = [rec.numbered(RecordKind.INDEX, 0, 1, bytes(8)), rec.numbered(RecordKind.TABLES, 0, 1, b"x")]
    np.testing.assert_array_equal(decode(POOLED_TABLES, head, [*others, *records]).planes[0].values, values)


@pytest.mark.parametrize("ladder_offset", [-4, 0, 3])
def test_the_ladder_offset_of_each_tile_is_told(ladder_offset: int) -> None:
    head, records, _ = pooled(np.zeros((3, 5), int).tolist(), ladder_offset=ladder_offset)
    assert decode(POOLED_TABLES, head, records).planes[0].ladder_offset.tolist() == [[ladder_offset]] * 3


def test_the_ladder_offset_of_each_tile_is_that_of_its_own_record() -> None:
    head, [record], _ = pooled(np.zeros((6, 5), int).tolist())
    records = [
        rec.build(
            dataclasses.replace(record.header, first_tile=2 * i, tile_count=2, ladder_offset=i - 1),
            rec.payload(record),
        )
        for i in range(3)
    ]
    plane = decode(POOLED_TABLES, head, records).planes[0]
    assert plane.ladder_offset[:, 0].tolist() == [-1, -1, 0, 0, 1, 1]


@pytest.mark.parametrize("ladder_offset", [-3, 2])
def test_an_offset_moves_tables_and_grouping_as_another_index_does(ladder_offset: int) -> None:
    head = header(tiles=60)
    moved = dataclasses.replace(head, ladder_index=head.ladder_index + ladder_offset)
    symbols = random_symbols(TABLES, moved, 0, 8)
    a = encode_plane(TABLES, head, 0, symbols, target_bytes=100, ladder_offset=ladder_offset)
    b = encode_plane(TABLES, moved, 0, symbols, target_bytes=100)
    assert len(a) > 5
    assert [rec.payload(r) for r in a] == [rec.payload(r) for r in b]
    assert [dataclasses.replace(r.header, ladder_offset=0) for r in a] == [r.header for r in b]


def test_encoding_again_gives_the_same_bytes() -> None:
    head = header(tiles=50)
    records = encode_file_records(TABLES, head, both_planes(head, 11))
    decoded = decode(TABLES, head, records)
    again = [Symbols(p.plane, p.values, p.token_validity) for p in decoded.planes]
    assert encode_file_records(TABLES, head, again) == records


def test_int8_symbols_give_the_bytes_of_int16() -> None:
    head = header(tiles=50)
    wide = [dataclasses.replace(s, values=np.clip(s.values, -128, 127)) for s in both_planes(head, 4)]
    narrow = [dataclasses.replace(s, values=s.values.astype(np.int8)) for s in wide]
    assert encode_file_records(TABLES, head, narrow) == encode_file_records(TABLES, head, wide)


def test_tables_of_another_shape_are_an_identity_refusal() -> None:
    other = TableSet(table_file(SMALL[0], uniform_plane(1, 1, 6, 1)))
    for tables in (other, POOLED_TABLES):
        with pytest.raises(IdentityError, match=b"codec_id".hex()):
            decode(tables, header(), [])


def test_wrong_symbols_are_refused_before_anything_is_encoded() -> None:
    head = header(tiles=5)
    first, second = both_planes(head, 0)
    never = dataclasses.replace(first, values=np.array(first.values))
    never.values[0, 0, 0] = -32768
    cases = [
        [first],
        [first, first],
        [dataclasses.replace(first, values=first.values[:4]), second],
        [dataclasses.replace(first, values=first.values.astype(np.int32)), second],
        [dataclasses.replace(first, token_validity=first.token_validity[:, :2]), second],
        [never, second],
    ]
    for symbols in cases:
        with pytest.raises(InputError):
            encode_file_records(TABLES, head, symbols)


def test_a_symbol_that_cannot_be_sent_is_refused() -> None:
    head = header(tiles=1, ladder_index=12)
    symbols = both_planes(head, 0, valid=1.0)
    place = tuple(np.argwhere(~coded_positions(TABLES, 0, 12))[0])
    symbols[0].values[(0, *place)] = 1
    with pytest.raises(InputError):
        encode_file_records(TABLES, head, symbols)


def test_a_header_that_promises_more_than_the_limit_allocates_nothing() -> None:
    plane = uniform_plane(64, 64, 4096, 2)
    tables = TableSet(table_file(plane))
    head = header(plane, grid=TileGrid(65536, 1, 1, 1))
    assert len(head.encode()) < 300
    for limit in (2**31, 2**40):
        tracemalloc.start()
        with pytest.raises(LimitExceeded, match=str(limit)):
            decode(tables, head, [], max_bytes=limit)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1_000_000


def test_the_limit_counts_what_is_allocated() -> None:
    head = header(tiles=1000)
    tracemalloc.start()
    decode(TABLES, head, [])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    with pytest.raises(LimitExceeded) as caught:
        decode(TABLES, head, [], max_bytes=1)
    promised = int(str(caught.value.found))
    assert peak < 1.3 * promised + 100_000
    decode(TABLES, head, [], max_bytes=promised)
