"""Where the parts of a coefficient payload lie (bitstream §5): lengths only, nothing is decoded or allocated."""

from __future__ import annotations

from dataclasses import dataclass

from codec.bitstream import record as rec
from codec.bitstream.derived import own_tokens
from codec.bitstream.header import FileHeader
from codec.errors import Corrupt
from codec.types import Record, RecordKind

_HAS_TILE_MASK, _HAS_TOKEN_MASK = 1, 2


@dataclass(frozen=True, slots=True)
class PayloadParts:
    """Bytes of each part; their sum is the payload."""

    form: int  # 0 where the record header has it
    tile_mask: int
    token_mask: int
    states: int
    symbols: int  # words, signs and escapes


class PayloadParser:
    """Cuts the payloads of one file."""

    def __init__(self, header: FileHeader) -> None:
        self._header = header
        self._n_own: dict[tuple[int, bool, bool], tuple[int, int]] = {}

    def _own(self, plane: int, tile: int) -> tuple[int, int]:
        """Rows and columns of the tile's own tokens; along an axis only the last tile differs from the others."""
        grid, spec = self._header.grid, self._header.planes[plane]
        row, col = divmod(tile, grid.n_cols)
        key = plane, row == grid.n_rows - 1, col == grid.n_cols - 1
        if key not in self._n_own:
            self._n_own[key] = (
                int(own_tokens(grid.height, grid.core_height, spec.rows, row).sum()),
                int(own_tokens(grid.width, grid.core_width, spec.cols, col).sum()),
            )
        return self._n_own[key]

    def parts(self, record: Record) -> PayloadParts:
        """Raises Corrupt where the payload ends before its parts."""
        head = record.header
        if not head.is_coefficients:
            raise Corrupt("only coefficient records have these parts", offset=record.offset)
        payload = rec.payload(record)
        if head.kind == RecordKind.COMPACT:
            states = (head.state_form & 3) + 1
            if states > len(payload):
                raise Corrupt("a payload ends before its lane states", offset=record.offset)
            return PayloadParts(0, 0, 0, states, len(payload) - states)
        form = payload[0]
        tile_mask = -(-head.tile_count // 8) if form & _HAS_TILE_MASK else 0
        token_mask = self._token_mask_bytes(record, payload, tile_mask) if form & _HAS_TOKEN_MASK else 0
        states = 4 << head.log2_lanes if head.log2_lanes else (form >> 2 & 3) + 1
        symbols = len(payload) - 1 - tile_mask - token_mask - states
        if symbols < 0:
            raise Corrupt("a payload ends before its lane states", offset=record.offset)
        return PayloadParts(1, tile_mask, token_mask, states, symbols)

    def _token_mask_bytes(self, record: Record, payload: bytes, tile_mask_bytes: int) -> int:
        head = record.header
        masked = int.from_bytes(payload[1 : 1 + tile_mask_bytes], "little")
        # Python's shifts copy the number: keep it as bytes and look at single bits.
        bits = payload[1 + tile_mask_bytes :]
        position = 0

        def next_bit() -> int:
            nonlocal position
            if position >> 3 >= len(bits):
                raise Corrupt("a payload ends inside its token mask", offset=record.offset)
            bit = bits[position >> 3] >> (position & 7) & 1
            position += 1
            return bit

        for i in range(head.tile_count):
            if masked >> i & 1 or not next_bit():
                continue
            n_rows, n_cols = self._own(head.plane, head.first_tile + i)
            for _ in range(n_rows):
                if not next_bit():
                    position += n_cols
        if position > 8 * len(bits):
            raise Corrupt("a payload ends inside its token mask", offset=record.offset)
        return -(-position // 8)
