"""Planes that refine others (§8.4). Every number is worked out beside its tile.

Package `digits`, ladder index 8, so Δ = 1 for all: two channels of one token, channel 0 in layer 0 and channel 1 in layer 1.
Plane 0 has the table of K = 5, plane 1 refines it and plane 2 plane 1 (channel 1 only), with K = 2 and K = 1. All three have
the points r1 = 0.75, r2 = −0.25; the transform is the identity, so that a coefficient is a number of the embedding.
"""

from __future__ import annotations

from typing import Any

from nec_encoder import parts
from nec_encoder.payload import TileIn, encode_payload

from nec_vectors.files import Grid, Invalid, Plan, Vector, assemble, head, outcomes, plane
from nec_vectors.packages import DIGITS, DIGITS_ASTRAY

# Symbols of (channel 0, channel 1) by tile; None: that layer does not arrive for the tile.
BASE = [(2, -1), (0, None), (-3, 4), (None, None)]
FIRST = [(1, 0), (-1, 1), (1, None), (1, None)]
SECOND = [(None, -1), (None, None), (None, 1), (None, None)]
EMBEDDINGS = {
    # channel 0: t = 3·2 + 1 = 7 of Δ = 1/3, |t| − 1/4; plane 2 never sends it. Channel 1: t = 3·(3·(−1) + 0) − 1 of Δ = 1/9
    "0": [[[6.75 / 3, -9.75 / 9]]],
    # channel 0: t = 3·0 − 1 is ±1: r1. Channel 1: a digit that has nothing to refine waits
    "1": [[[-0.75 / 3, 0.0]]],
    # channel 0: t = 3·(−3) + 1 = −8. Channel 1: the second digit waits for the first, 4 − 1/4 stands
    "2": [[[-7.75 / 3, 3.75]]],
}


def _records() -> list[bytes]:
    found = []
    for number, tiles in enumerate((BASE, FIRST, SECOND)):
        for layer in (0, 1):
            for tile, symbols in enumerate(tiles):
                if symbols[layer] is None:
                    continue
                grid: Grid = [[0], [0]]
                grid[layer] = [int(symbols[layer] or 0)]
                payload = encode_payload(DIGITS.tables, [TileIn(grid)], e=8, plane=number, layer=layer)
                found.append(parts.record(payload, plane=number, layer=layer, first_tile=tile))
    return found


def _planes() -> list[dict[str, Any]]:
    result = []
    for tiles in (BASE, FIRST, SECOND):
        layers = [[layer for layer in (0, 1) if symbols[layer] is not None] for symbols in tiles]
        grids: list[Grid | None] = [
            [[symbols[0] or 0], [symbols[1] or 0]] if there else None
            for symbols, there in zip(tiles, layers, strict=True)
        ]
        result.append(plane(layers, ["1" if 0 in there else "0" for there in layers], grids))
    result[0]["embeddings"] = EMBEDDINGS
    return result


def _chunk(data: bytes) -> bytes:
    return parts.record(data, kind=parts.TABLES)


def vectors() -> list[Vector]:
    """Legal files."""
    records, scene = _records(), (8, 32)
    return [
        Vector(
            "digits", "ternary digits of two planes; some wait for what they refine", DIGITS,
            assemble(head(DIGITS, scene=scene), records), Plan(records=outcomes(len(records)), planes=_planes()),
        ),
        Vector(
            "digits-first", "the same records the other way round: digits before their planes", DIGITS,
            assemble(head(DIGITS, scene=scene), records[::-1]), Plan(records=outcomes(len(records)), planes=_planes()),
        ),
        Vector(
            "self-contained-digits", "the archive in the file says which plane refines which", DIGITS,
            assemble(
                head(DIGITS, scene=scene, flags=9), [_chunk(DIGITS.tables_bytes + DIGITS.transform_bytes), *records]
            ),
            Plan(
                records=[("tables", "ok"), *outcomes(len(records))], planes=_planes(),
            ), needs="file",
        ),
    ]  # fmt: skip


def invalid() -> list[Invalid]:
    """A file whose archive names a plane that cannot be refined."""
    package = DIGITS_ASTRAY
    chunk = _chunk(package.tables_bytes + package.transform_bytes)
    return [
        Invalid(
            "digits-of-itself", "plane 1 says that it refines plane 1", package,
            assemble(head(package, scene=(8, 32), flags=9), [chunk, *_records()]), "file", "corrupt", needs="identity",
        )
    ]  # fmt: skip
