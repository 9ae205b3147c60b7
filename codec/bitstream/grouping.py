"""Which tiles share a record, and with how many lanes (bitstream §10.3): integers only, so every encoder agrees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.bitstream import record as rec
from codec.bitstream.masks import PlaneMasks
from codec.errors import InputError

LINK_TARGET = 960  # bytes of a record, header and CRC included: one default packet
ARCHIVE_TARGET = 61_440
MAX_RECORD_SYMBOLS = 2**26  # §5.6
_STATE_BYTES = 2  # what one lane's state takes beyond symbols
_FORM_BYTES = 1  # where there are masks (§5.1)
_COST_UNITS_PER_BYTE = 2048  # 8 bits of 256
_MANY_LANES_FROM = 4096  # payload bytes
_BYTES_PER_LANE = 512
_MAX_LOG2_LANES = 6

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Run:
    """The tiles first … first+count−1 in one record."""

    first: int
    count: int
    estimate: int  # payload bytes, one lane
    log2_lanes: int


class Estimates:
    """Payload estimates of every run of tiles of one (plane, layer), from prefix sums."""

    def __init__(self, costs: npt.NDArray[np.uint64], masks: PlaneMasks, *, token_mask: bool) -> None:
        """`costs` are the tiles' one-lane costs in 1/256 bit (N); masked tiles cost nothing. `token_mask`: layer 0."""
        self._costs = _prefix(np.where(masks.tile_mask, 0, costs))
        self._masked = _prefix(masks.tile_mask)
        self._bits = _prefix(masks.token_bits)
        self._partial = _prefix(masks.partial & token_mask)

    def of(self, first: Int64Array, count: Int64Array) -> Int64Array:
        """Estimated payload bytes of the runs; never falls when a run grows."""
        end = first + count
        cost = self._costs[end] - self._costs[first]
        tile_mask = np.where(self._masked[end] > self._masked[first], -(-count // 8), 0)
        token_mask = np.where(
            self._partial[end] > self._partial[first], -(-(self._bits[end] - self._bits[first]) // 8), 0
        )
        masks = tile_mask + token_mask
        estimate: Int64Array = (
            _STATE_BYTES + -(-cost // _COST_UNITS_PER_BYTE) + masks + np.where(masks > 0, _FORM_BYTES, 0)
        )
        return estimate


def runs(
    costs: npt.NDArray[np.uint64],
    masks: PlaneMasks,
    *,
    layer: int,
    coefficients_per_tile: int,
    target_bytes: int = LINK_TARGET,
) -> list[Run]:
    """Cut N tiles, in order, into the records of one (plane, layer).

    Each takes the largest writable count whose estimate, with header and CRC, is at most `target_bytes` and whose
    tiles have at most 2²⁶ coefficients in the layer; at least one tile.
    """
    if target_bytes < rec.OVERHEAD + 1:
        raise InputError(
            "no record is that small", expected=f"at least {rec.OVERHEAD + 1} bytes", found=target_bytes
        )
    n = len(costs)
    estimates = Estimates(costs, masks, token_mask=layer == 0)
    starts = np.arange(n, dtype=np.int64)
    most = min(rec.MAX_TILE_COUNT, max(1, MAX_RECORD_SYMBOLS // max(1, coefficients_per_tile)))
    # For every tile at once: the longest run from it that fits, by bisection (estimates are monotone in the count).
    low, high = np.ones(n, dtype=np.int64), np.minimum(n - starts, most)
    while (low < high).any():
        middle = (low + high + 1) // 2
        fits = estimates.of(starts, middle) + rec.OVERHEAD <= target_bytes
        low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
    high = np.maximum(low, 1)
    longest = high.tolist()
    chosen = []
    first = 0
    while first < n:
        count = rec.largest_writable(longest[first])
        chosen.append((first, count))
        first += count
    first_tiles, counts = np.array(chosen, dtype=np.int64).T
    return [
        Run(first, count, estimate, log2_lanes(estimate))
        for (first, count), estimate in zip(chosen, estimates.of(first_tiles, counts).tolist(), strict=True)
    ]


def log2_lanes(estimate: int) -> int:
    """One lane below 4096 bytes, else the largest power of two ≤ estimate / 512, at most 64."""
    if estimate < _MANY_LANES_FROM:
        return 0
    return min(_MAX_LOG2_LANES, (estimate // _BYTES_PER_LANE).bit_length() - 1)


def _prefix(values: npt.NDArray[np.generic]) -> Int64Array:
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:], dtype=np.int64)
    return sums
