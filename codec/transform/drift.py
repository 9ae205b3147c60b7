"""Drift: bits that decoded symbols took against what their tables expect, by layer, band and channel.

A table is a promise: coefficients of this scale cost so many bits on average. Where a sensor, a season or a region moves
the embeddings away from what the tables were fitted to, symbols cost more (or fewer) bits than promised. That shows
without the encoder, without labels, from records alone.

*Expectation.* A table's code lengths are a distribution (2^−bits, signs apart); its mean length is the expectation.
Levels are quarter octaves apart, so a table that fits perfectly may be half a class off: what such an error would cost,
root-sum-squared over the (band, channel) of a row, is the row's *tolerance*, and no drift. (Without it two fifths of
s2-nano's channels would be flagged on its own training tiles at the default quality; with it one in 27.)

*Interval.* Neighbouring tiles are alike, so tiles are no independent samples: the pass is cut, in tile order, into about
√N runs, and the ratio's standard error comes from the runs (batch means; t distribution with one degree less than
runs). It is never taken smaller than the tables' own variance says, which is all there is where every symbol is 0.
Intervals hold for all layers of a plane together, for all its bands, for all its channels (95 %, Bonferroni). A row is
flagged when its whole interval lies beyond the limit and the tolerance; rows of fewer than 200 expected bits, and passes
of fewer than four runs, are not judged. A pass over one kind of landscape moves the bits too: what is flagged says that
these tables do not fit these data, not why.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.transform.maps import quant_maps
from codec.transform.rate import magnitude_costs
from codec.transform.student import two_sided_quantile
from codec.transform.tables import Tables
from codec.types import SymbolArray

FloatMatrix = npt.NDArray[np.float64]

LIMIT = 0.05  # of the expectation
CONFIDENCE = 0.95
LEAST_RUNS = 4
LEAST_BITS = 200.0  # below it a handful of symbols decides, and no normal law holds
_MAGNITUDES = 4096  # of a table's distribution; what lies beyond has less than 10⁻⁶ of it
_TILES = 256  # at a time


@dataclass(frozen=True, slots=True)
class Row:
    """What is judged together: one layer, band or channel of a plane; all None: the whole plane."""

    layer: int | None = None
    band: int | None = None
    channel: int | None = None

    @property
    def family(self) -> str:
        """Rows whose intervals hold together."""
        return "channel" if self.channel is not None else "band" if self.band is not None else "layer"


@dataclass(frozen=True)
class Tally:
    """Bits of N tiles of one plane, for R rows. Tallies of one package add up to a pass."""

    rows: tuple[Row, ...]
    measured: FloatMatrix  # N×R bits
    expected: FloatMatrix  # N×R bits
    variance: FloatMatrix  # R bits², of independent symbols as the tables have them
    more: FloatMatrix  # bands×channels bits: what scales half a class larger would add
    fewer: FloatMatrix  # … and half a class smaller would save
    layer_map: npt.NDArray[np.uint8]  # bands×channels
    relieved: bool = False  # a mean vector took bits from layer 0 that the tables know nothing of

    def __add__(self, other: Tally) -> Tally:
        if self.rows != other.rows or self.layer_map.shape != other.layer_map.shape:
            raise InputError("drift adds up over files of one package only")
        return replace(
            self,
            measured=np.concatenate([self.measured, other.measured]),
            expected=np.concatenate([self.expected, other.expected]),
            variance=self.variance + other.variance,
            more=self.more + other.more,
            fewer=self.fewer + other.fewer,
            relieved=self.relieved or other.relieved,
        )


@dataclass(frozen=True, slots=True)
class Drift:
    """One row judged. `drift` = measured / expected − 1; `low` and `high` are its interval, None where not judged."""

    row: Row
    tiles: int
    measured_bits: float
    expected_bits: float
    drift: float
    low: float | None
    high: float | None
    tolerance_low: float  # ≤ 0: what half a class may make of it
    tolerance_high: float
    flag: str  # "more", "fewer", or empty


@dataclass(frozen=True)
class _Promise:
    """Of every level: lengths of the magnitudes in bits, their mean and variance, and what half a class costs."""

    bits: FloatMatrix  # levels×magnitudes
    mean: FloatMatrix
    variance: FloatMatrix
    more: FloatMatrix
    fewer: FloatMatrix

    @classmethod
    def of(cls, tables: Tables, magnitudes: int) -> _Promise:
        n = max(_MAGNITUDES, magnitudes)
        bits = np.stack([magnitude_costs(level, n) for level in tables.levels]) / 256
        signed = bits - (np.arange(n) > 0)
        share = 2.0**-signed
        coded = np.array([bool(level.thresholds) for level in tables.levels])
        share[~coded] = np.arange(n) == 0  # no table: always 0
        share /= share.sum(axis=1, keepdims=True)
        mean = (share * bits).sum(axis=1)
        above = np.append(np.arange(1, len(bits)), len(bits) - 1)
        below = np.append(0, np.arange(len(bits) - 1))
        return cls(
            bits,
            mean,
            (share * bits**2).sum(axis=1) - mean**2,
            # Half-way to a neighbour, the distribution is half the neighbour's.
            np.maximum(0, ((share[above] * bits).sum(axis=1) - mean) / 2),
            np.maximum(0, (mean - (share[below] * bits).sum(axis=1)) / 2),
        )


def tally(
    tables: Tables,
    plane: int,
    ladder_index: int,
    symbols: SymbolArray,
    layers: npt.NDArray[np.uint16],
    offsets: npt.NDArray[np.int8],
    *,
    relieved: bool = False,
) -> Tally:
    """Measured and expected bits of N tiles of one plane.

    `symbols` N×C×F as decoded; `layers` N, bit l = layer l arrived; `offsets` N×n_layers, ladder offsets of the records.
    Give wholly valid tiles: what an encoder fills masked tokens with is smoother than the tables expect.
    """
    maps = tables.planes[plane]
    n_bands, channels = maps.class_map.shape
    n_layers = len(maps.layer_shift)
    rows = (
        Row(),
        *(Row(layer=i) for i in range(n_layers)),
        *(Row(band=i) for i in range(n_bands)),
        *(Row(channel=i) for i in range(channels)),
    )
    largest = int(np.abs(symbols.astype(np.int32)).max(initial=0))
    promise = _Promise.of(tables, largest + 1)
    measured, expected = np.zeros((len(symbols), len(rows))), np.zeros((len(symbols), len(rows)))
    variance = np.zeros(len(rows))
    more, fewer = np.zeros(maps.class_map.shape), np.zeros(maps.class_map.shape)
    band_of = np.broadcast_to(maps.bands, (channels, len(maps.bands)))
    channel_of = np.broadcast_to(np.arange(channels)[:, None], band_of.shape)

    keys = np.concatenate([layers[:, None].astype(np.int64), offsets.astype(np.int64)], axis=1)
    kinds, kind_of = np.unique(keys, axis=0, return_inverse=True)
    for number, kind in enumerate(kinds):
        at = np.flatnonzero(kind_of.reshape(-1) == number)
        q = quant_maps(tables, plane, ladder_index, kind[1:].tolist())
        arrived = (int(kind[0]) >> np.minimum(q.layer, 16).astype(np.int64)) & 1
        cells = np.flatnonzero(q.coded & (arrived == 1))
        level = q.level.reshape(-1)[cells]
        layer, band = q.layer.reshape(-1)[cells], band_of.reshape(-1)[cells]
        channel = channel_of.reshape(-1)[cells]

        def by_row(values: FloatMatrix, place=(layer, band, channel)) -> FloatMatrix:  # type: ignore[no-untyped-def]
            parts = [np.array([values.sum()])]
            sizes = (n_layers, n_bands, channels)
            parts += [np.bincount(p, values, size) for p, size in zip(place, sizes, strict=True)]
            return np.concatenate(parts)

        expected[at] = by_row(promise.mean[level])
        variance += len(at) * by_row(promise.variance[level])
        np.add.at(more, (band, channel), len(at) * promise.more[level])
        np.add.at(fewer, (band, channel), len(at) * promise.fewer[level])
        for start in range(0, len(at), _TILES):
            some = at[start : start + _TILES]
            magnitude = np.abs(symbols[some].reshape(len(some), -1)[:, cells].astype(np.int32))
            bits = promise.bits[level, magnitude]
            for place, tile_bits in zip(some.tolist(), bits, strict=True):
                measured[place] = by_row(tile_bits)
    return Tally(rows, measured, expected, variance, more, fewer, maps.layer_map, relieved)


def judge(found: Tally, *, limit: float = LIMIT) -> list[Drift]:
    """Every row of a pass that has expected bits, with its interval and whether it is flagged."""
    n = len(found.measured)
    totals, promised = found.measured.sum(axis=0), found.expected.sum(axis=0)
    judged = promised >= LEAST_BITS
    n_runs = math.isqrt(n)
    error = np.sqrt(found.variance)
    widths: dict[str, float] = {}
    if n_runs >= LEAST_RUNS and judged.any():
        edges = np.linspace(0, n, n_runs + 1).astype(np.int64)[:-1]
        measured = np.add.reduceat(found.measured, edges, axis=0)
        expected = np.add.reduceat(found.expected, edges, axis=0)
        ratio = totals / np.maximum(promised, 1e-300)
        spread = ((measured - ratio * expected) ** 2).sum(axis=0)
        error = np.maximum(error, np.sqrt(n_runs / (n_runs - 1) * spread))
        sizes = Counter(row.family for row, enough in zip(found.rows, judged, strict=True) if enough)
        widths = {
            family: two_sided_quantile(1 - (1 - CONFIDENCE) / size, n_runs - 1)
            for family, size in sizes.items()
        }
    result = []
    for i, row in enumerate(found.rows):
        if not promised[i]:
            continue
        drift = totals[i] / promised[i] - 1
        up, down = (_tolerance(a, row, found.layer_map) / promised[i] for a in (found.more, found.fewer))
        low = high = None
        flag = ""
        if judged[i] and row.family in widths:
            half = widths[row.family] * error[i] / promised[i]
            low, high = float(drift - half), float(drift + half)
            if low > limit + up:
                flag = "more"
            elif high < -limit - down and not (found.relieved and _touches_layer_0(row)):
                flag = "fewer"
        result.append(
            Drift(
                row, n, float(totals[i]), float(promised[i]), float(drift), low, high, -float(down), float(up), flag
            )
        )  # fmt: skip
    return result


def _tolerance(bits: FloatMatrix, row: Row, layer_map: npt.NDArray[np.uint8]) -> float:
    """Bits that half a class may make of a row: classes were rounded apart, so squares add up."""
    if row.layer is not None:
        bits = np.where(layer_map == row.layer, bits, 0)
    elif row.band is not None:
        bits = bits[row.band]
    elif row.channel is not None:
        bits = bits[:, row.channel]
    return float(np.sqrt((bits**2).sum()))


def _touches_layer_0(row: Row) -> bool:
    """Whether a row holds bits of layer 0, which is band 0 (bitstream §6)."""
    return not (row.layer or row.band)


def flags(judged: Sequence[Drift]) -> list[Drift]:
    """Those that are flagged."""
    return [entry for entry in judged if entry.flag]


__all__ = ["LIMIT", "Drift", "Row", "Tally", "flags", "judge", "tally"]
