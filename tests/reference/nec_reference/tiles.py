"""Tiles and their derived-invalid tokens (§3.1), from the header alone."""

from __future__ import annotations

from dataclasses import dataclass

from nec_reference.header import Header
from nec_reference.plane import Plane


@dataclass(frozen=True)
class Own:
    """The rectangle of a tile's own tokens: rows top … bottom−1, columns left … right−1."""

    top: int
    bottom: int
    left: int
    right: int

    def holds(self, row: int, col: int) -> bool:
        return self.top <= row < self.bottom and self.left <= col < self.right


def _own_range(index: int, extent: int, core: int, tokens: int) -> tuple[int, int]:
    """First own token and the one behind the last, along one axis; `extent` is H or W."""
    first = max(0, min(index * core, extent - core))
    doubled = index * core - first
    inside = min(extent, core)
    own = [
        token
        for token in range(tokens)
        if not ((token + 1) * core <= doubled * tokens or token * core >= inside * tokens)
    ]
    return own[0], own[-1] + 1


def own_tokens(header: Header, plane: Plane, tile: int) -> Own:
    """The own tokens of `tile` in `plane`; all others are derived-invalid."""
    row, col = divmod(tile, header.tile_cols)
    top, bottom = _own_range(row, header.height, header.core_height, plane.rows)
    left, right = _own_range(col, header.width, header.core_width, plane.cols)
    return Own(top, bottom, left, right)
