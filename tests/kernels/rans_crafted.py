"""Payloads that no encoder writes: each holds but for one thing (bitstream §5.1 to §5.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rans_cases import PlaneTableSpec, TableFile, TableSpec, packed_header, sealed

from codec.bitstream.core import TableSet

TOKENS, CHANNELS = 20, 2
_EDGES = (0, 1, 65535, 65536)  # thresholds 1 and 65535: 2 is the escape
_KIND_COMPACT = 6
_maps = np.zeros((1, CHANNELS), np.uint8)
_PLANE = PlaneTableSpec(4, 5, CHANNELS, 1, (0,) * TOKENS, _maps, _maps, (0,), 1)
TABLES = TableSet(TableFile([TableSpec(_EDGES[1:3])], [_PLANE], [1.0]).encode())


def coded(indices: Sequence[int], starts: Sequence[int], *, forced: int = 0) -> tuple[list[int], bytes]:
    """States and words of the indices in coding order, backward from the start states. `forced`: so many of the first
    symbols give a word that they need not give, which leaves a state below 65536.
    """
    x, words = list(starts), b""
    lanes = len(x)
    steps = [(i, i % lanes) for i in range(len(indices))]
    for i, lane in reversed(steps):
        first, share = _EDGES[indices[i]], _EDGES[indices[i] + 1] - _EDGES[indices[i]]
        if i < forced or x[lane] >> 16 >= share:
            words = (x[lane] & 0xFFFF).to_bytes(2, "little") + words
            x[lane] >>= 16
        x[lane] = (x[lane] // share << 16) + first + x[lane] % share
    return x, words


@dataclass(frozen=True)
class Crafted:
    """One record of one tile, or of two with a tile mask. All symbols are positive, unless signs are given."""

    name: str
    indices: tuple[int, ...]
    starts: tuple[int, ...]  # one for each lane
    form: int  # of one lane without the bytes of the state
    raw: bytes = b""
    mask: bytes = b""
    forced: int = 0
    holds: bool = False
    extra: bytes = b""  # of the state, above its fewest bytes
    is_compact: bool | None = None  # None: as lanes and mask demand

    @property
    def tiles(self) -> int:
        return 2 if self.mask else 1

    def record(self) -> bytes:
        x, words = coded(self.indices, self.starts, forced=self.forced)
        lanes = len(x)
        form = self.form
        if lanes > 1:
            states = b"".join(state.to_bytes(4, "little") for state in x)
        else:
            states = x[0].to_bytes((x[0].bit_length() + 7) // 8, "little") + self.extra
            form |= (len(states) - 1) << 2
        is_compact = lanes == 1 and not self.mask if self.is_compact is None else self.is_compact
        header = packed_header(0, self.tiles - 1, log2_lanes=lanes.bit_length() - 1)
        if is_compact:
            header = header & ~7 | _KIND_COMPACT | form >> 2 << 10
        before = b"" if is_compact else bytes([form])
        return sealed(header.to_bytes(8, "little")[:5], before + self.mask + states + words + self.raw)


ONES = (1,) * 40
FEW = (1,) * 10 + (0,) * 30
ESCAPED = (1,) * 9 + (2,) + (0,) * 30
TWO, LONG = (65536, 65536), (65536,)
# 40 non-zero symbols: of two lanes 8 signs stand in raw, of one lane 24.
CRAFTED = (
    Crafted("lanes", (*ONES[:39], 0), TWO, 28, b"\x7f", holds=True),
    Crafted("lanes, few", FEW, (65536 + 1023, 65536), 28, holds=True),
    Crafted("lanes, an escape", ESCAPED, TWO, 28, b"\x01", holds=True),
    Crafted("lanes, a mask", FEW, TWO, 29, mask=b"\x02", holds=True),
    Crafted("lanes: padding of the signs", (*ONES[:39], 0), TWO, 28, b"\xff"),
    Crafted("lanes: a sign too many in the first state", FEW, (65536 + 1024, 65536), 28),
    Crafted("lanes: a sign too many in the second state", FEW, (65536, 65537), 28),
    Crafted("lanes: a start state above", ONES[:32] + (0,) * 8, (3 << 16, 65536), 28),
    Crafted("lanes: a start state below", (0,) * 40, (65536, 1), 28),
    Crafted("lanes: a state below 65536", ONES, (65536 + 60000, 65536 + 60000), 28, b"\x00", forced=2),
    Crafted("lanes: padding of the escapes", ESCAPED, TWO, 28, b"\x81"),
    Crafted("lanes: an escape is missing", ESCAPED, TWO, 28),
    Crafted("lanes: an escape cut", ESCAPED, TWO, 28, b"\x80"),
    Crafted("lanes: an escape of sixteen zeros", ESCAPED, TWO, 28, b"\x00\x00\x01\x00\x00"),
    Crafted("lanes: a magnitude of 32768", ESCAPED, TWO, 28, (1 << 14 | (32767 - 16384) << 15).to_bytes(4, "little")),
    Crafted("lanes: a byte too many", FEW, TWO, 28, b"\x00"),
    Crafted("lanes: two bytes too many", ESCAPED, TWO, 28, b"\x01\x00\x00"),
    Crafted("lanes: signs missing", ONES, TWO, 28),
    Crafted("lanes: a reserved bit", FEW, TWO, 28 | 32),
    Crafted("lanes: a state of three bytes", FEW, TWO, 24),
    Crafted("lanes: the short form", FEW, TWO, 12),
    Crafted("lanes: padding of the mask", FEW, TWO, 29, mask=b"\x06"),
    Crafted("lanes: a mask of no tile", FEW + FEW, TWO, 29, mask=b"\x00"),
    Crafted("short", FEW, (1024,), 0, holds=True),
    Crafted("short, 16", ONES[:16] + (0,) * 24, (65536 + 9,), 0, holds=True),
    Crafted("long", ONES, (65536 + 9,), 16, b"\x00\x01\x02", holds=True),
    Crafted("long, an escape", ESCAPED, LONG, 16, b"\x01", holds=True),
    Crafted("one lane, a mask", FEW, (1024,), 1, mask=b"\x02", holds=True),
    Crafted("one lane, all masked", (), (1,), 1, mask=b"\x03", holds=True),
    Crafted("short: no leading one", FEW, (2048,), 0),
    Crafted("short: where signs are more than 16", ONES[:17] + (0,) * 23, (65536 + 9,), 0),
    Crafted("short: where an escape is", ESCAPED, (1024,), 0),
    Crafted("short: a word too many", ONES[:16] + (0,) * 24, (65536,), 0, b"\x00\x00"),
    Crafted("short: half a word", ONES[:16] + (0,) * 24, (65536,), 0, b"\x00"),
    Crafted("short: a state below 65536 and words", ONES[:16] + (0,) * 24, (65536 + 60000,), 0, forced=1),
    Crafted("long: where signs are 16", ONES[:16] + (0,) * 24, (65536 + 9,), 16),
    Crafted("long: a state below 65536", ONES, (65536 + 60000,), 16, b"\x00\x01\x02", forced=1),
    Crafted("long: a start state above", ONES, (3 << 16,), 16, b"\x00\x01\x02"),
    Crafted("long: a sign too many", ESCAPED, (65537,), 16, b"\x01"),
    Crafted("long: padding", ESCAPED, LONG, 16, b"\x81"),
    Crafted("long: padding of the signs", (*ONES[:39], 0), LONG, 16, b"\x00\x01\x80"),
    Crafted("long: an escape is missing", ESCAPED, LONG, 16),
    Crafted("long: an escape cut", ESCAPED, LONG, 16, b"\x80"),
    Crafted("long: a magnitude of 32768", ESCAPED, LONG, 16, (1 << 14 | (32767 - 16384) << 15).to_bytes(4, "little")),
    Crafted("long: signs missing", ONES, LONG, 16),
    Crafted("long: a byte too many", ONES, LONG, 16, b"\x00\x01\x02\x00"),
    Crafted("one lane: a state not in its fewest bytes", (), (1,), 1, mask=b"\x03", extra=b"\x00"),
    Crafted("one lane: a reserved bit", FEW, (1024,), 1 | 64, mask=b"\x02"),
    Crafted("one lane: no mask and not compact", FEW, (1024,), 0, is_compact=False),
    Crafted("one lane: padding of the mask", FEW, (1024,), 1, mask=b"\x82"),
    Crafted("one lane: a mask of no tile", FEW + (0,) * 40, (1024,), 1, mask=b"\x00"),
)  # fmt: skip
