"""Rate over the static cross-entropy, from records of a few bytes to records of 60 KiB; header and CRC apart.

A record of many lanes carries a state per lane, so what is allowed grows with the lanes. One cell is one kind of record;
a size class is judged by its worst cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.entropy import ideal, latents, static_tables
from benchmarks.entropy.machine import row
from benchmarks.entropy.plane_coder import OVERHEAD, PlaneCoder
from benchmarks.entropy.settings import Settings
from benchmarks.results import Row
from codec.bitstream.record import largest_writable

CHANNELS = 768


@dataclass(frozen=True, slots=True)
class Cell:
    """Records of `tokens` × 768 symbols of one density."""

    name: str
    bits: float
    tokens: int


@dataclass(frozen=True, slots=True)
class SizeClass:
    """Which records, by the bytes of their static cross-entropy, and what they may take above it."""

    name: str
    low: float
    high: float
    share: float  # of the cross-entropy
    per_lane: bool  # is the rest counted per lane, or per record?


CLASSES = (
    SizeClass("15-500 B", 15, 512, 0.01, False),
    SizeClass("0.5-30 KB", 512, 30_000, 0.003, True),
    SizeClass("30 KB and more", 30_000, 65_536, 0.002, True),
)
CELLS = (
    Cell("sparse", 0.02, 10), Cell("sparse", 0.1, 2), Cell("sparse", 0.5, 1), Cell("sparse", 0.1, 8),
    Cell("sparse", 0.02, 49), Cell("dense", 1.78, 1), Cell("sparse", 0.1, 49),
    Cell("sparse", 0.1, 98), Cell("sparse", 0.1, 196), Cell("sparse", 0.5, 49), Cell("dense", 1.78, 16),
    Cell("sparse", 0.1, 784), Cell("sparse", 0.5, 196), Cell("dense", 1.78, 98),
    Cell("sparse", 0.1, 4096), Cell("sparse", 0.5, 784), Cell("dense", 1.78, 196), Cell("dense", 1.78, 340),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """Means over the records of a cell."""

    cell: Cell
    tokens: int  # as written: some counts are not writable
    records: int
    ideal: float  # bytes
    payload: float
    lanes: float

    @property
    def size_class(self) -> SizeClass:
        return next(c for c in CLASSES if c.low <= self.ideal < c.high)

    @property
    def excess(self) -> float:
        """Bytes above the share that is allowed, per record or per lane."""
        above = self.payload - (1 + self.size_class.share) * self.ideal
        return above / self.lanes if self.size_class.per_lane else above


def measure_cell(cell: Cell, records: int) -> Found:
    """Code that many records, check them, and compare their bytes."""
    tokens = largest_writable(cell.tokens)
    drawn = latents.make(cell.name, 1, tokens=tokens * records, bits=cell.bits)
    tables = static_tables.fit(drawn.frequencies, rows=1, cols=1)
    symbols = np.ascontiguousarray(drawn.symbols.reshape(-1, CHANNELS, 1))  # a tile is one token
    coder = PlaneCoder(tables, len(symbols))
    coder.plan_equal(symbols, tokens)
    coded = coder.check(symbols, (0, 1))
    return Found(
        cell, tokens, records, ideal.static_bits(tables, symbols) / 8 / records,
        sum(map(len, coded)) / records - OVERHEAD, float(coder.lanes().mean()),
    )  # fmt: skip


def _records(tokens: int, settings: Settings) -> int:
    """Enough for a mean, within 20 million symbols (65,536 tiles at most)."""
    most = max(4, min(65_000 // tokens, 20_000_000 // (tokens * CHANNELS), 512))
    return most if settings.rounds >= 1 else min(most, 8)


def measure(isa: str, settings: Settings) -> list[Row]:
    """A row per cell, and the worst of each size class."""
    found = [measure_cell(cell, _records(cell.tokens, settings)) for cell in CELLS]
    rows = []
    for f in found:
        where = f"rate, {f.cell.name} {f.cell.bits:g} bit, {f.tokens * CHANNELS} symbols"
        rows += [
            row(isa, where, "cross-entropy of static tables", f.ideal, unit="B, mean", n=f.records),
            row(isa, where, "payload", f.payload, unit="B, mean", n=f.records),
            row(
                isa,
                where,
                "payload over static tables",
                100 * (f.payload / f.ideal - 1),
                unit="%",
                n=f.records,
            ),
            row(isa, where, "lanes", f.lanes, unit="mean", n=f.records),
        ]
    for size in CLASSES:
        cells = [f for f in found if f.size_class is size]
        worst = max(cells, key=lambda f: f.excess)
        unit = f"B per {'lane' if size.per_lane else 'record'}, worst of {len(cells)} kinds"
        metric = f"payload above {100 * (1 + size.share):g} % of static tables"
        rows.append(
            row(isa, f"rate, records of {size.name}", metric, worst.excess, unit=unit, n=worst.records)
        )
    return rows
