"""The rules of the reference encoder (docs/bitstream.md §10.2, §10.3): costs, tile counts, lanes, record order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nec_encoder.parts import TableIn, TablesIn, count_code, record
from nec_encoder.payload import Rect, TileIn, coded_symbols, encode_payload, masks, split

WRITABLE = tuple(range(1, 129)) + tuple((17 + j) << (3 + e) for e in range(8) for j in range(16))
MAX_COEFFICIENTS = 1 << 26
OVERHEAD = 12


def cost(frequency: int) -> int:
    """1/256 bit of a symbol with this frequency out of 65536."""
    n = frequency.bit_length() - 1
    y = frequency << (31 - n)
    fraction = 0
    for _ in range(8):
        y = y * y >> 31
        fraction <<= 1
        if y >= 1 << 32:
            fraction |= 1
            y >>= 1
    return 4096 - (256 * n + fraction)


def symbol_cost(table: TableIn, value: int) -> int:
    """A symbol with its sign, its low bits and its escape code."""
    bounds = (0, *table.thresholds, 65536)
    k, _, v = split(table, value)
    total = cost(bounds[k + 1] - bounds[k])
    if value:
        total += 256 + 256 * table.low_bits
    if v >= 0:
        n = (v + 1).bit_length() - 1
        total += 256 * (2 * n + 1)
    return total


@dataclass(frozen=True)
class PlaneJob:
    """All tiles of the file in one plane, with their own rectangles."""

    plane: int
    tiles: Sequence[TileIn]
    own: Sequence[Rect]


def encode_records(tables: TablesIn, jobs: Sequence[PlaneJob], ladder_index: int, target: int) -> list[bytes]:
    """Layer 0 first, then by layer; within a layer by plane, then by tile."""
    n_layers = max(tables.planes[job.plane].layers for job in jobs)
    return [
        one
        for layer in range(n_layers)
        for job in jobs
        if layer < tables.planes[job.plane].layers
        for one in _layer(tables, job, layer, ladder_index, target)
    ]


def _layer(tables: TablesIn, job: PlaneJob, layer: int, ladder_index: int, target: int) -> list[bytes]:
    shape = tables.planes[job.plane]
    e = ladder_index + shape.shift[layer]
    tiles = [tile if layer == 0 else TileIn(tile.symbols, tile.wholly) for tile in job.tiles]
    costs = [
        sum(
            symbol_cost(t, v)
            for _, t, v in coded_symbols(tables, [tile], plane=job.plane, layer=layer, e=e, lanes=1)
        )
        for tile in tiles
    ]
    per_tile = sum(shape.layer_map[band].count(layer) for band in shape.band_of)

    def estimate(first: int, count: int) -> int:
        run = slice(first, first + count)
        _, mask_bytes = masks(tiles[run], job.own[run])
        return 2 + -(-sum(costs[run]) // 2048) + (1 + len(mask_bytes) if mask_bytes else 0)

    records = []
    first = 0
    while first < len(tiles):
        fitting = [
            count
            for count in WRITABLE
            if first + count <= len(tiles)
            and count * per_tile <= MAX_COEFFICIENTS
            and estimate(first, count) + OVERHEAD <= target
        ]
        count = max(fitting, default=1)
        size = estimate(first, count)
        log2_lanes = 0
        if size >= 4096:
            log2_lanes = min(6, (size // 512).bit_length() - 1)
        run = slice(first, first + count)
        payload = encode_payload(
            tables, tiles[run], e=e, plane=job.plane, layer=layer, lanes=1 << log2_lanes, own=job.own[run]
        )
        assert count_code(count) <= 255
        records.append(
            record(
                payload, plane=job.plane, layer=layer, log2_lanes=log2_lanes, first_tile=first, count=count
            )
        )
        first += count
    return records
