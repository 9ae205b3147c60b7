"""Records of symbols that are drawn from their table, by numbers that are the same everywhere."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from table_files import PlaneTableSpec, TableFile, TableSpec, packed_header

from _swathpack_core import TableSet, crc8, crc32c, decode_records, encode_records

WORD = 65536

Counts = npt.NDArray[np.int64]


def mixed(n: int, seed: int) -> npt.NDArray[np.uint64]:
    """n numbers of 64 bits that look random: SplitMix64, so that they are the same with every version of NumPy."""
    z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@dataclass
class Records:
    """Records of one table, with symbols drawn from the table's own distribution: cross-entropy is entropy."""

    thresholds: list[int]
    channels: int
    side: int
    tiles: int
    log2_lanes: int
    seed: int = 0

    def __post_init__(self) -> None:
        f = self.side**2
        shape = (self.tiles, self.channels, f)
        maps = np.zeros((1, self.channels), np.uint8)
        spec = PlaneTableSpec(self.side, self.side, self.channels, 1, (0,) * f, maps, maps, (0,), 1)
        self.tables = TableSet(TableFile([TableSpec(tuple(self.thresholds))], [spec], [1.0]).encode())
        z = mixed(math.prod(shape), self.seed)
        magnitudes = np.searchsorted(
            np.array(self.thresholds), (z % np.uint64(WORD)).astype(np.int64), side="right"
        )
        is_negative = (z >> np.uint64(16) & np.uint64(1)).astype(np.int64)
        self.symbols = (magnitudes * (1 - 2 * is_negative)).astype(np.int8).reshape(shape)
        self.none = np.zeros((self.tiles, f), np.bool_)

    def encode(self, tiles_each: int) -> list[bytes]:
        headers = [
            packed_header(first, tiles_each - 1, log2_lanes=self.log2_lanes)
            for first in range(0, self.tiles, tiles_each)
        ]
        no_tile = np.zeros(self.tiles, np.bool_)
        return encode_records(
            self.tables, np.array(headers, np.uint64), 0, self.symbols, no_tile, self.none, self.none
        )

    def accepted(self, records: list[bytes]) -> int:
        out = np.zeros(self.symbols.shape, np.int16)
        mask, layers = np.ones_like(self.none), np.zeros(self.tiles, np.uint16)
        outcomes = decode_records(self.tables, records, 0, self.tiles, self.none, out, mask, layers, 0)
        return sum(outcome is None for outcome in outcomes)

    def counts(self, tiles: slice) -> Counts:
        """Of each magnitude."""
        return np.bincount(np.abs(self.symbols[tiles]).ravel(), minlength=len(self.thresholds) + 1)

    def start_states(self, tiles: slice) -> npt.NDArray[np.int64]:
        """Of the lanes of a record of these tiles, when there are as many lanes as channels (bitstream §5.5)."""
        in_order = self.symbols[tiles].transpose(0, 2, 1).ravel()
        lanes = 1 << self.log2_lanes
        first = in_order[in_order != 0][: 16 * lanes] < 0
        bits = np.zeros((lanes, 16), np.int64)
        bits.flat[: len(first)] = first
        return WORD + bits @ (1 << np.arange(16))

    def raw_bytes(self, counts: Counts) -> int:
        """Of the payload: signs that no start state carries, and escapes, which are 0 here: one bit each."""
        signs, codes = int(counts.sum() - counts[0]), int(counts[-1])
        behind = max(0, signs - 16 * (1 << self.log2_lanes))
        if self.log2_lanes == 0:
            return -(-(behind + codes) // 8)
        return -(-behind // 8) - (-codes // 8)

    def cost_bits(self, counts: Counts) -> float:
        """Ideal length of the magnitudes."""
        frequencies = np.diff([0, *self.thresholds, WORD])
        return float((counts * np.log2(WORD / frequencies)).sum())


def sealed(head: bytes, payload: bytes) -> bytes:
    """A record of this payload whose checks are right."""
    head = head[:5] + struct.pack("<H", len(payload) - 1)
    body = head + bytes([crc8(head)]) + payload
    return body + struct.pack("<I", crc32c(body))
