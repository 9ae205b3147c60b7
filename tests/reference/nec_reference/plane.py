"""One embedding grid (§3.2)."""

from __future__ import annotations

from dataclasses import dataclass

KIND_FLOAT, KIND_INTEGER = 0, 1


@dataclass(frozen=True)
class Plane:
    """One embedding grid, as the header (or tables.bin) declares it."""

    space_id: bytes
    rows: int
    cols: int
    channels: int
    layers: int
    kind: int
