"""How a vector's file is put together, and how its expectation is written down."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nec_encoder import parts
from nec_encoder.parts import TablesIn

from nec_vectors.packages import PackageOut

Grid = list[list[int]]  # symbols C×F of one tile


@dataclass
class Plan:
    """What a legal file must decode to."""

    sealed: bool = True
    index: bool | None = True
    records: list[tuple[str, str]] = field(default_factory=list)  # (kind, outcome) in file order
    gaps: list[tuple[int, int, bool]] = field(default_factory=list)  # first byte, last byte, cut
    conflicts: list[tuple[int, int, int]] = field(default_factory=list)
    planes: list[dict[str, Any]] = field(default_factory=list)
    header: dict[str, Any] = field(default_factory=dict)  # only the fields the vector is about


@dataclass(frozen=True)
class Vector:
    """A legal file."""

    name: str
    reason: str
    package: PackageOut
    data: bytes
    plan: Plan
    needs: str | None = None


@dataclass(frozen=True)
class Invalid:
    """A file that must be refused: as a whole, in one record, or (a table file) when it is read.

    `record` is the index, among the intact records, of the one refused. `needs`: what a decoder must know beyond
    the file and its tables ("identity": the package's ids; "bands": its band list; "file": all but payloads), or None.
    """

    name: str
    reason: str
    package: PackageOut
    data: bytes
    scope: str  # "file", "record", "tables"
    kind: str
    record: int | None = None
    needs: str | None = None


def plane(
    layers: Sequence[Sequence[int]], validity: Sequence[str], symbols: Sequence[Grid | None]
) -> dict[str, Any]:
    """The expectation of one plane, tile by tile. Symbols None: nothing of the tile arrived."""
    return {
        "layers": [list(which) for which in layers],
        "validity": list(validity),
        "symbols": list(symbols),
    }


def assemble(
    header: bytes, records: Sequence[bytes], *, index: bool = True, seal: bool = True, padding: int = 0
) -> bytes:
    """Header, records (with `padding` zero bytes before each), index, seal."""
    data = header
    written = list(records)
    for record in records:
        data += bytes(padding) + record
    if index:
        data += bytes(padding) + parts.index(records)
        written.append(b"")
    if seal:
        data += bytes(padding)
        data += parts.seal(data, len(written))
    return data


def outcomes(n_coefficients: int, *, index: bool = True, seal: bool = True) -> list[tuple[str, str]]:
    """All is well."""
    return [("coefficients", "ok")] * n_coefficients + [("index", "ok")] * index + [("seal", "ok")] * seal


def head(package: PackageOut, *, scene: tuple[int, int], ladder_index: int = 8, **more: Any) -> bytes:
    """A header for `package`; tiles of 8×8 pixels unless told."""
    more.setdefault("core", (8, 8))
    more.setdefault("codec_id", package.codec_id)
    more.setdefault("planes", package.tables.planes)
    planes, codec_id = more.pop("planes"), more.pop("codec_id")
    return parts.header(planes, codec_id, scene=scene, ladder_index=ladder_index, **more)


def draw(seed: int, tables: TablesIn, plane_index: int, es: Sequence[int], *, spread: float = 2.0) -> Grid:
    """Symbols of one tile from a seed: Laplace-like, 0 where nothing can be coded; `es` holds e per layer."""
    rng = random.Random(seed)
    shape = tables.planes[plane_index]
    grid: Grid = []
    for c in range(shape.channels):
        row = []
        for band in shape.band_of:
            layer = shape.layer_map[band][c]
            size = int(rng.expovariate(1 / spread)) * (1 - 2 * rng.getrandbits(1))
            coded = layer != 255 and tables.tables[tables.level(plane_index, band, c, es[layer])].thresholds
            row.append(size if coded else 0)
        grid.append(row)
    return grid


def only(tables: TablesIn, plane_index: int, layers: Sequence[int], grid: Grid) -> Grid:
    """What is left of a tile's symbols when only `layers` arrive."""
    shape = tables.planes[plane_index]
    return [
        [s if shape.layer_map[shape.band_of[f]][c] in layers else 0 for f, s in enumerate(row)]
        for c, row in enumerate(grid)
    ]
