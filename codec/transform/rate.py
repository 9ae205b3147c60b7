"""Rates before anything is coded: integer costs, bytes per tile at each quality, the quality for a byte budget.

Costs are those of bitstream §10.2 (1/256 bit, integers only), so that two machines choose the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.transform.maps import quant_maps
from codec.transform.tables import Level, Tables, index_of
from codec.types import FloatArray, SymbolArray

Int64Array = npt.NDArray[np.int64]
COST_UNITS_PER_BYTE = 8 * 256
_SIGN = 256  # cost of a raw sign


def frequency_costs(frequencies: npt.ArrayLike) -> Int64Array:
    """Cost of symbols of these frequencies (1 … 65535 of 65536), in 1/256 bit (bitstream §10.2)."""
    f = np.asarray(frequencies, dtype=np.uint64)
    n = np.zeros(f.shape, dtype=np.uint64)
    for bit in range(1, 17):
        n += (f >> np.uint64(bit)) > 0
    y = f << (np.uint64(31) - n)
    fraction = np.zeros(f.shape, dtype=np.uint64)
    for _ in range(8):
        y = (y * y) >> np.uint64(31)
        carry = (y >> np.uint64(32)) & np.uint64(1)
        fraction = (fraction << np.uint64(1)) | carry
        y >>= carry
    return np.int64(4096) - (n * np.uint64(256) + fraction).astype(np.int64)


def magnitude_costs(level: Level, n: int) -> Int64Array:
    """Costs of the magnitudes 0 … n−1 under one table, signs, low bits and escape codes included; 0 without thresholds."""
    k = len(level.thresholds)
    if not k:
        return np.zeros(n, dtype=np.int64)
    index = index_of(np.arange(n), level.low_bits)
    cost = frequency_costs(level.frequencies)[np.minimum(index, k)]
    cost[1:] += _SIGN + 256 * level.low_bits
    escaped = index >= k
    beyond = index[escaped] - k + 1
    cost[escaped] += 256 * (2 * np.floor(np.log2(beyond)).astype(np.int64) + 1)
    return cost


def symbol_costs(tables: Tables, plane: int, ladder_index: int, symbols: SymbolArray) -> Int64Array:
    """Costs of every symbol, N×C×F in 1/256 bit; coefficients that are not coded cost 0."""
    maps = quant_maps(tables, plane, ladder_index)
    magnitude = np.abs(symbols.astype(np.int32))
    n = int(magnitude.max(initial=0)) + 1
    table = np.stack([magnitude_costs(level, n) for level in tables.levels])
    cost = table[maps.level, magnitude]
    return np.where(maps.coded, cost, 0)


def bytes_per_tile(tables: Tables, latents: dict[int, FloatArray], ladder_index: int) -> float:
    """Mean payload bytes of a tile over all planes (`latents` by plane number) at one quality; an estimate by costs."""
    total = 0.0
    for plane, values in latents.items():
        symbols = quant_maps(tables, plane, ladder_index).quantise(values)
        total += float(symbol_costs(tables, plane, ladder_index, symbols).sum()) / max(1, len(values))
    return total / COST_UNITS_PER_BYTE


def choose_ladder_index(indices: range, bytes_at: Callable[[int], float], budget: float) -> int:
    """The finest (smallest) index at which `bytes_at` is within `budget`.

    `bytes_at` must not grow with the index; it is asked about log2 of the number of indices. Raises InputError when even
    the coarsest quality exceeds the budget.
    """
    low, high = indices.start, indices.stop - 1
    least = bytes_at(high)
    if least > budget:
        raise InputError(
            f"a budget of {budget:g} bytes cannot be met: the coarsest quality takes {least:.1f}",
            fix="allow more bytes, or send fewer planes",
        )
    while low < high:
        middle = (low + high) // 2
        if bytes_at(middle) <= budget:
            high = middle
        else:
            low = middle + 1
    return high
