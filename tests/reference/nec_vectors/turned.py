"""Rotations of channels by frequency (§8.3). Every number is worked out beside its tile.

Package `turned`, ladder index 8, so Δ = 1: two channels of two tokens one above the other, the points r1 = 0.75,
r2 = −0.25, basis the identity, mean 0. Frequency 0 has the rotation (0 1; −1 0), frequency 1 (0.6 0.8; −0.8 0.6).
"""

from __future__ import annotations

from math import sqrt

from nec_encoder import parts
from nec_encoder.payload import TileIn, encode_payload

from nec_vectors.files import Grid, Invalid, Plan, Vector, assemble, head, outcomes, plane
from nec_vectors.packages import TURNED, TURNED_SKEW

# Symbols C×F by tile.
TILES: list[Grid] = [[[2, -1], [0, 1]], [[0, 0], [-1, 0]]]
_HALF = sqrt(0.5)
EMBEDDINGS = {
    # Y' = (1.75, −0.75) and (0, 0.75). Frequency 0: Y = (0·1.75 − 1·0, 1·1.75 + 0·0) = (0, 1.75).
    # Frequency 1: Y = (0.6·(−0.75) − 0.8·0.75, 0.8·(−0.75) + 0.6·0.75) = (−1.05, −0.15). Then sums and differences over √2.
    "0": [[[-1.05 * _HALF, 1.6 * _HALF]], [[1.05 * _HALF, 1.9 * _HALF]]],
    # Y' = (0, 0) and (−0.75, 0): Y = (0.75, 0) at frequency 0
    "1": [[[0.75 * _HALF, 0.0]], [[0.75 * _HALF, 0.0]]],
}


def _records() -> list[bytes]:
    return [
        parts.record(encode_payload(TURNED.tables, [TileIn(grid)], e=8), first_tile=tile)
        for tile, grid in enumerate(TILES)
    ]


def _plan(records: list[tuple[str, str]]) -> Plan:
    found = plane([[0], [0]], ["11", "11"], list(TILES))
    return Plan(records=records, planes=[{**found, "embeddings": EMBEDDINGS}])


def vectors() -> list[Vector]:
    """Legal files: with the package, and with its transform in the file."""
    records, scene = _records(), (8, 16)
    chunk = parts.record(TURNED.tables_bytes + TURNED.transform_bytes, kind=parts.TABLES)
    return [
        Vector(
            "turned", "channels turn at each frequency before the inverse DCT", TURNED,
            assemble(head(TURNED, scene=scene), records), _plan(outcomes(2)),
        ),
        Vector(
            "self-contained-turned", "the archive in the file holds the rotations", TURNED,
            assemble(head(TURNED, scene=scene, flags=9), [chunk, *records]), _plan([("tables", "ok"), *outcomes(2)]),
            needs="file",
        ),
    ]  # fmt: skip


def invalid() -> list[Invalid]:
    """A file whose archive holds a rotation that is none."""
    chunk = parts.record(TURNED_SKEW.tables_bytes + TURNED_SKEW.transform_bytes, kind=parts.TABLES)
    return [
        Invalid(
            "rotation-skew", "a rotation is not orthonormal", TURNED_SKEW,
            assemble(head(TURNED_SKEW, scene=(8, 16), flags=9), [chunk, *_records()]), "file", "corrupt",
            needs="identity",
        )
    ]  # fmt: skip
