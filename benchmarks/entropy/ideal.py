"""Bits that a perfect coder would take: static cross-entropy under the tables of a table file.

This follows docs/bitstream.md §5.2 and §5.3, in floating point and without the core: the frequency of the magnitude (or of
the escape), a bit for the sign and each low bit, the escape's code. What a record takes above it is the coder's overhead.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codec.transform.maps import quant_maps
from codec.transform.tables import TOTAL, Level, Tables, index_of

Symbols = npt.NDArray[np.int8] | npt.NDArray[np.int16]


def magnitude_bits(level: Level, n: int) -> npt.NDArray[np.float64]:
    """Bits of the magnitudes 0 … n−1 under one table; infinite where it cannot code them."""
    k = len(level.thresholds)
    result = np.full(n, np.inf)
    result[0] = 0.0
    if not k:
        return result
    index = index_of(np.arange(n), level.low_bits)
    result = -np.log2(level.frequencies / TOTAL)[np.minimum(index, k)]
    result[1:] += 1 + level.low_bits  # the sign, and what is not in the index
    escaped = index >= k
    result[escaped] += 2 * np.floor(np.log2(index[escaped] - k + 1)) + 1  # Exp-Golomb of order 0
    return result


def static_bits(tables: Tables, symbols: Symbols, *, plane: int = 0, ladder_index: int = 0) -> float:
    """Bits of N×C×F symbols, all layers; coefficients that are not coded cost nothing."""
    return float(static_bits_of_tiles(tables, symbols, plane=plane, ladder_index=ladder_index).sum())


def static_bits_of_tiles(
    tables: Tables, symbols: Symbols, *, plane: int = 0, ladder_index: int = 0, layer: int | None = None
) -> npt.NDArray[np.float64]:
    """Bits of each of N tiles; of one layer alone if it is named."""
    maps = quant_maps(tables, plane, ladder_index)
    coded = maps.coded if layer is None else maps.coded & (maps.layer == layer)
    largest = int(np.abs(symbols.astype(np.int32)).max(initial=0))
    cost = np.stack([magnitude_bits(level, largest + 1) for level in tables.levels])
    result = np.zeros(len(symbols))
    for channel in np.flatnonzero(coded.any(axis=1)):  # a channel at a time: the costs of all would be large
        at = np.flatnonzero(coded[channel])
        magnitude = np.abs(symbols[:, channel, at].astype(np.int32))
        result += cost[maps.level[channel, at][None, :], magnitude].sum(axis=1)
    return result


def mean_thresholds(tables: Tables, *, plane: int = 0, ladder_index: int = 0) -> float:
    """Mean number K of thresholds per coefficient, what a linear search walks; 0 where nothing is coded."""
    maps = quant_maps(tables, plane, ladder_index)
    k = np.array([len(level.thresholds) for level in tables.levels])
    return float(np.where(maps.coded, k[maps.level], 0).mean())
