"""Grouping and lanes (§10.3) against the rule spelled out tile by tile, and mask sizes against what the core writes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nec_cases import header, random_symbols, table_file, uniform_plane

from codec.bitstream import grouping
from codec.bitstream.coefficients import encode_plane
from codec.bitstream.core import TableSet, tile_costs
from codec.bitstream.derived import derived_invalid
from codec.bitstream.header import FileHeader
from codec.bitstream.masks import plane_masks
from codec.bitstream.payload import PayloadParser
from codec.bitstream.record import TILE_COUNTS
from codec.errors import InputError
from codec.types import PlaneKind, PlaneSpec, Symbols, TileGrid

PLANE = uniform_plane(3, 2, 4, 3)
TABLES = TableSet(table_file(PLANE))
GRIDS = st.builds(TileGrid, st.integers(1, 60), st.integers(1, 60), st.integers(6, 12), st.integers(6, 12))


def mask_bytes(
    validity: np.ndarray, derived: np.ndarray, first: int, count: int, layer: int
) -> tuple[int, int]:
    """Bytes of tile mask and token mask of a run, bit by bit as §5.1 says."""
    masked_tiles, bits, partly = 0, 0, 0
    for tile in range(first, first + count):
        own = np.argwhere(~derived[tile])
        (top, left), (bottom, right) = own.min(axis=0), own.max(axis=0)
        rows = [~validity[tile, r, left : right + 1] for r in range(top, bottom + 1)]
        if all(row.all() for row in rows):
            masked_tiles += 1
            continue
        bits += 1
        if any(row.any() for row in rows):
            partly += 1
            before = np.zeros(right + 1 - left, dtype=bool)
            for row in rows:
                bits += 1 if (row == before).all() else 1 + len(row)
                before = row
    return (-(-count // 8) if masked_tiles else 0), (-(-bits // 8) if partly and layer == 0 else 0)


def runs_by_the_text(
    costs: list[int], validity: np.ndarray, derived: np.ndarray, layer: int, coefficients: int, target: int
) -> list[grouping.Run]:
    """§10.3, one run and one count at a time."""
    runs = []
    first = 0
    while first < len(costs):
        best = None
        for count in TILE_COUNTS:
            if first + count > len(costs):
                break
            masked = [validity[t][~derived[t]].sum() == 0 for t in range(first, first + count)]
            cost = sum(c for c, m in zip(costs[first : first + count], masked, strict=True) if not m)
            masks = sum(mask_bytes(validity, derived, first, count, layer))
            estimate = 2 + -(-cost // 2048) + (1 + masks if masks else 0)
            if count == 1 or (estimate + 12 <= target and count * coefficients <= 2**26):
                lanes = 0
                if estimate >= 4096:
                    lanes = max(k for k in range(7) if 2**k <= estimate / 512)
                best = grouping.Run(first, count, estimate, lanes)
        assert best is not None
        runs.append(best)
        first += best.count
    return runs


@settings(max_examples=150, deadline=None)
@given(
    GRIDS,
    st.integers(0, 1),
    st.integers(20, 400),
    st.floats(0, 1),
    st.sampled_from([4, 2**21]),
    st.integers(0, 2**31),
)
def test_runs_are_those_of_the_text(
    grid: TileGrid, layer: int, target: int, valid: float, coefficients: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    plane = PlaneSpec(3, 2, 4, 2, PlaneKind.FLOAT, bytes(8))
    validity = rng.random((grid.n_tiles, 3, 2)) < valid
    validity[rng.random(grid.n_tiles) < 0.3] = rng.random() < 0.5
    costs = (rng.random(grid.n_tiles) ** 4 * 400 * 2048).astype(np.uint64)
    masks = plane_masks(grid, plane, validity)
    found = grouping.runs(costs, masks, layer=layer, coefficients_per_tile=coefficients, target_bytes=target)
    derived = derived_invalid(grid, plane)
    assert found == runs_by_the_text(costs.tolist(), validity, derived, layer, coefficients, target)


@pytest.mark.parametrize(
    ("estimate", "lanes"),
    [(4, 1), (4095, 1), (4096, 8), (8191, 8), (8192, 16), (32767, 32), (32768, 64), (10**6, 64)],
)
def test_lanes_follow_the_estimate(estimate: int, lanes: int) -> None:
    assert 2 ** grouping.log2_lanes(estimate) == lanes


def test_a_target_that_no_record_meets_is_refused() -> None:
    masks = plane_masks(TileGrid(8, 8, 8, 8), PLANE.spec(), np.ones((1, 3, 2), dtype=bool))
    with pytest.raises(InputError):
        grouping.runs(np.zeros(1, np.uint64), masks, layer=0, coefficients_per_tile=1, target_bytes=12)


@settings(max_examples=120, deadline=None)
@given(GRIDS, st.integers(0, 2**31), st.floats(0.3, 1))
def test_estimated_mask_bytes_are_those_in_the_record(grid: TileGrid, seed: int, valid: float) -> None:
    head = header(PLANE, grid=grid)
    symbols = random_symbols(TABLES, head, 0, seed, valid=valid)
    derived = derived_invalid(grid, head.planes[0])
    parser = PayloadParser(head)
    for record in encode_plane(TABLES, head, 0, symbols, target_bytes=120):
        h = record.header
        parts = parser.parts(record)
        expected = mask_bytes(symbols.token_validity, derived, h.first_tile, h.tile_count, h.layer)
        assert (parts.tile_mask, parts.token_mask) == expected


def test_estimates_are_close_to_what_is_written() -> None:
    head = header(PLANE, tiles=3000)
    symbols = random_symbols(TABLES, head, 0, 5)
    records = encode_plane(TABLES, head, 0, symbols, target_bytes=960)
    full = [len(r.data) for r in records if r.header.first_tile + r.header.tile_count < 3000]
    # Records come close to the target and hardly ever exceed it: the estimate is the table's cross-entropy.
    assert np.mean(full) > 0.93 * 960
    assert max(full) <= 960 + 8


def large_case(n_tiles: int) -> tuple[TableSet, FileHeader, Symbols]:
    plane = uniform_plane(2, 2, 16, 3)
    tables = TableSet(table_file(plane))
    head = header(plane, tiles=n_tiles)
    return tables, head, random_symbols(tables, head, 0, 1, spread=0.3)


def test_65536_tiles_are_grouped_in_order_without_gap() -> None:
    tables, head, symbols = large_case(65536)
    masks = plane_masks(head.grid, head.planes[0], symbols.token_validity)
    costs = tile_costs(tables, 0, 1, head.ladder_index, symbols.values)
    runs = grouping.runs(costs, masks, layer=1, coefficients_per_tile=48)
    assert [r.first for r in runs[1:]] == [r.first + r.count for r in runs[:-1]]
    assert runs[-1].first + runs[-1].count == 65536
    assert {r.count for r in runs} <= set(TILE_COUNTS)


def test_free_tiles_fill_the_largest_records() -> None:
    masks = plane_masks(
        TileGrid(65536, 1, 1, 1),
        PlaneSpec(1, 1, 1, 1, PlaneKind.FLOAT, bytes(8)),
        np.ones((65536, 1, 1), bool),
    )
    runs = grouping.runs(np.zeros(65536, np.uint64), masks, layer=0, coefficients_per_tile=0)
    assert [(r.first, r.count, r.estimate) for r in runs] == [(0, 32768, 2), (32768, 32768, 2)]


def test_a_record_holds_no_more_symbols_than_a_decoder_takes() -> None:
    plane = PlaneSpec(1, 1, 1, 1, PlaneKind.FLOAT, bytes(8))
    masks = plane_masks(TileGrid(20000, 1, 1, 1), plane, np.ones((20000, 1, 1), bool))
    runs = grouping.runs(np.zeros(20000, np.uint64), masks, layer=0, coefficients_per_tile=2**13)
    assert [r.count for r in runs] == [8192, 8192, 3584, 32]  # 2^26 / 2^13; 3616 = 113 * 32 cannot be written
