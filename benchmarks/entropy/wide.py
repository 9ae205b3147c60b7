"""Wide integers: what low bits of tables (bitstream §5.3) are worth, against the same table without.

Symbols are int16 from one Laplace density for all channels, its deviation in steps. Both tables are fitted to the density
itself by the product's own rule, one of them with no low bits allowed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.entropy import buffers, ideal, timing
from benchmarks.entropy.archive import GIGA
from benchmarks.entropy.latents import SIDE, laplace_cdf
from benchmarks.entropy.machine import row
from benchmarks.entropy.plane_coder import TOKEN_ORDER, PlaneCoder, Symbols
from benchmarks.entropy.settings import Settings
from benchmarks.results import Row
from codec.transform.levels import level_of_counts
from codec.transform.tables import Level, PlaneMaps, Tables
from codec.types import PlaneKind

_CHANNELS = 256
_COUNTS = 1 << 40  # observations that stand for the density: the fit's prior weighs nothing against them
_RIVAL = "tables without low bits"


def tables_of(level: Level) -> Tables:
    """One plane of kind integer, with one table."""
    n = SIDE * SIDE
    cells = np.zeros((1, _CHANNELS), dtype=np.uint8)
    plane = PlaneMaps(
        SIDE, SIDE, _CHANNELS, PlaneKind.INTEGER, (0,), np.zeros(n, dtype=np.uint8), cells, cells
    )
    return Tables(np.array([1.0], dtype=np.float32), (level,), (plane,))


def draw(sigma: float, tiles: int) -> Symbols:
    """Tiles × tokens × channels, int16."""
    values = np.random.default_rng(1).laplace(scale=sigma / np.sqrt(2), size=(tiles, SIDE * SIDE, _CHANNELS))
    return np.rint(values).astype(np.int16)


def counts(sigma: float) -> npt.NDArray[np.int64]:
    """Of the magnitudes 0, 1, …, as the density has them."""
    edges = np.arange(int(20 * sigma) + 2) - 0.5
    probability = 2 * np.diff(laplace_cdf(edges, np.array(sigma / np.sqrt(2))))
    probability[0] /= 2
    return np.rint(probability * _COUNTS).astype(np.int64)


class _Side:
    """A coder, and its symbols and records at every alignment."""

    def __init__(self, level: Level, symbols: Symbols) -> None:
        self.tables = tables_of(level)
        self.coder = PlaneCoder(self.tables, len(symbols), order=TOKEN_ORDER)
        self.records = self.coder.check(symbols)
        self._inputs = buffers.copies(symbols)
        self._outputs = [buffers.empty(symbols.shape, symbols.dtype, offset) for offset in buffers.OFFSETS]
        self._moved = [[buffers.moved(r, offset) for r in self.records] for offset in buffers.OFFSETS]

    @property
    def n_bytes(self) -> int:
        return sum(map(len, self.records))

    def encode(self, number: int) -> object:
        return self.coder.encode(self._inputs[number % len(self._inputs)])

    def decode(self, number: int) -> object:
        at = number % len(self._outputs)
        return self.coder.decode(self._moved[at], self._outputs[at])


def measure(isa: str, settings: Settings, *, sigma: float) -> list[Row]:
    """Speed and bytes with low bits by the fit's rule, and against none."""
    symbols = draw(sigma, 2 * settings.dense_images)
    density = counts(sigma)
    level = level_of_counts(density)
    own, without = _Side(level, symbols), _Side(level_of_counts(density, most_low_bits=0), symbols)
    where = f"wide, Laplace of {sigma:g} steps, {isa}"
    rounds = settings.n_rounds(4 * len(buffers.OFFSETS))
    units = (symbols.size, symbols.size)
    rows = []
    for metric, mine, other in (
        ("decode", own.decode, without.decode),
        ("encode", own.encode, without.encode),
    ):
        found = timing.paired(mine, other, units=units, rounds=rounds, seconds=settings.seconds)
        ratio = found.ratio()
        rows.append(
            row(isa, where, f"{metric}, times as fast", *ratio, unit="x, 95 %", rival=_RIVAL, n=rounds)
        )
        speed = [v / GIGA for v in timing.rate(found.ours)]
        rows.append(row(isa, where, metric, *speed, unit="Gsym/s, min/max", n=rounds))
    static = ideal.static_bits(own.tables, symbols.transpose(0, 2, 1)) / 8
    more = 100 * (own.n_bytes / without.n_bytes - 1)
    return [
        *rows,
        row(isa, where, "bytes more", more, unit="%", rival=_RIVAL),
        row(isa, where, "bytes over static tables", 100 * (own.n_bytes / static - 1), unit="%"),
        row(isa, where, "low bits", level.low_bits),
        row(isa, where, "thresholds", len(level.thresholds)),
        row(isa, where, "thresholds without low bits", ideal.mean_thresholds(without.tables)),
    ]
