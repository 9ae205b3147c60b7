"""Tokens by integer costs, as whole files send them: a mean vector for each file where it pays for itself.

Costs are within 1 % of real records (bitstream §10.2), without record headers, and need no coder: what codecs cost can be
compared by the dozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from benchmarks.nec.equal_error import Point
from codec.transform.maps import QuantMaps, quant_maps
from codec.transform.plane import PlaneTransform
from codec.transform.rate import COST_UNITS_PER_BYTE, magnitude_costs
from codec.transform.tables import Tables
from codec.types import FloatArray, SymbolArray

IntArray = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]
_MEAN_HEADER = 6  # bytes of the extension besides its payload


@dataclass(frozen=True)
class Codec:
    """One plane's transform and tables, however they were fitted."""

    transform: PlaneTransform
    tables: Tables  # plane 0 is the one that is coded

    @property
    def indices(self) -> list[int]:
        return list(self.tables.usable_indices())


@dataclass(frozen=True)
class Costed:
    """Of N tiles at one quality."""

    tokens: Point
    mean: Point  # layer 0 alone; errors of the tile's mean token, times the tokens


def costed(codec: Codec, tokens: FloatArray, file: IntArray, index: int) -> Costed:
    """Bytes and squared errors of N×h×w×C at one quality. `file`: which file each tile lies in."""
    latents = codec.transform.analyse(tokens)
    maps = quant_maps(codec.tables, 0, index)
    sizes, errors = _coded(codec.tables, maps, latents)
    mean_bytes, mean_errors = _with_file_means(codec.tables, maps, latents[:, :, :1], file)
    return Costed(
        Point(sizes[:, 1:].sum(axis=1) + mean_bytes, errors[:, 1:].sum(axis=1) + mean_errors),
        Point(mean_bytes, mean_errors),
    )


def curve(codec: Codec, tokens: FloatArray, file: IntArray) -> list[Costed]:
    """At every index, from the finest to the coarsest."""
    return [costed(codec, tokens, file, index) for index in codec.indices]


def _coded(tables: Tables, maps: QuantMaps, latents: FloatArray) -> tuple[FloatVector, FloatVector]:
    """Bytes and squared errors of each tile and frequency, N×F."""
    symbols = maps.quantise(latents)
    errors = np.square(maps.reconstruct(symbols) - latents, dtype=np.float64).sum(axis=1)
    return _bytes(tables, maps, symbols), errors


def _bytes(tables: Tables, maps: QuantMaps, symbols: SymbolArray) -> FloatVector:
    magnitude = np.abs(symbols.astype(np.int32))
    n = int(magnitude.max(initial=0)) + 1
    cost = np.stack([magnitude_costs(level, n) for level in tables.levels])[maps.level, magnitude]
    return np.asarray(np.where(maps.coded, cost, 0).sum(axis=1) / COST_UNITS_PER_BYTE, dtype=np.float64)


def _with_file_means(
    tables: Tables, maps: QuantMaps, latents: FloatArray, file: IntArray
) -> tuple[FloatVector, FloatVector]:
    """Bytes and squared errors of layer 0 of each tile, with its share of the file's mean vector where that pays."""
    first = _only_first(maps)
    plain, error = (part[:, 0] for part in _coded(tables, first, latents))
    _, index, count = np.unique(file, return_inverse=True, return_counts=True)
    if len(count) == len(file):
        return plain, error
    step = maps.step[:, 0]
    means = np.stack([latents[index == k, :, 0].mean(axis=0) for k in range(len(count))])
    symbols = np.rint(means / step).astype(np.int16)[:, :, None]
    vector = _bytes(tables, first, symbols)[:, 0] + _MEAN_HEADER
    relieved, left = (
        part[:, 0] for part in _coded(tables, first, latents - (symbols * step[:, None])[index])
    )
    relieved = relieved + (vector / count)[index]
    pays = (np.bincount(index, relieved) < np.bincount(index, plain))[index]
    return np.where(pays, relieved, plain), np.where(pays, left, error)


def _only_first(maps: QuantMaps) -> QuantMaps:
    """The maps of frequency 0 alone."""
    arrays = {f.name: getattr(maps, f.name)[:, :1] for f in fields(maps) if f.name != "kind"}
    return replace(maps, **arrays)


def nearest(points: Sequence[Costed], rate: float) -> Costed:
    """The one whose tokens take about so many bytes a tile."""
    return min(points, key=lambda p: abs(float(np.log(p.tokens.bytes.mean() / rate))))
