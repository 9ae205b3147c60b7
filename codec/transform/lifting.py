"""Integer lifting `linear` (bitstream §8.3): exact prediction of integers from neighbours and from lower channels.

    x ──── − b − ⌊Σ w·neighbours⌋ ──▶ d ─wrap─▶ r ──── − ⌊Σ a·r of lower channels⌋ ──wrap──▶ symbol

Both steps predict with integer weights in 1/1024 and one rounding, so the way back is exact on every machine. Sums are
taken by floating-point products whose every intermediate is an integer below 2^24 (float32) or 2^53 (float64): exact too,
in whatever order a library adds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.types import BoolArray, SymbolArray

UNIT_BITS = 10  # weights are in 1/1024
_HALF = 1 << (UNIT_BITS - 1)
MAX_MODULUS = 65_535  # one less than int16 has: the symbol −32768 does not exist
NEIGHBOURS = 4  # left, above, above left, above right
_BLOCK = 16  # channels undone one by one between two products

Int16Array = npt.NDArray[np.int16]
Int32Array = npt.NDArray[np.int32]
IntegerArray = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Lifting:
    """What `transform.npz` says of one integer plane of C channels."""

    low: int  # smallest value
    modulus: int  # M: values are low … low + M − 1
    start: Int16Array  # C: b
    neighbours: Int16Array  # C×4: w, 1/1024
    channels: Int16Array  # C×C: a, 1/1024, 0 on and above the diagonal

    def __post_init__(self) -> None:
        n = len(self.start)
        if self.neighbours.shape != (n, NEIGHBOURS) or self.channels.shape != (n, n):
            raise InputError("the arrays of a lifting differ in their channels", found=self.channels.shape)
        if not (self.low >= -32768 and 1 <= self.modulus <= MAX_MODULUS and self.low + self.modulus <= 32768):
            raise InputError("a lifting's range does not fit int16", found=(self.low, self.modulus))
        if self.channels.any() and np.triu(self.channels).any():
            raise InputError("a lifting predicts a channel from itself or a later one")

    @property
    def high(self) -> int:
        """Largest value."""
        return self.low + self.modulus - 1

    def wrap(self, d: IntegerArray) -> IntegerArray:
        """The number that equals d modulo M in −⌊M/2⌋ … M − 1 − ⌊M/2⌋."""
        half = self.modulus // 2
        return self._mod(d + half) - half

    def _mod(self, d: IntegerArray) -> IntegerArray:
        return d & (self.modulus - 1) if self.modulus & (self.modulus - 1) == 0 else d % self.modulus

    def forward(self, values: IntegerArray, known: BoolArray | None = None) -> SymbolArray:
        """Integers N×h×w×C → symbols N×C×F. Tokens that are not `known` (N×h×w) get symbols of zero.

        Raises InputError where a known value is out of range.
        """
        x = np.asarray(values).astype(np.int32)
        known = np.ones(x.shape[:3], dtype=bool) if known is None else known
        everywhere = bool(known.all())
        x[~known] = self.low
        if x.size and not (self.low <= int(x.min()) and int(x.max()) <= self.high):
            wrong = np.argwhere((x < self.low) | (x > self.high))[0]
            raise InputError(
                f"the number {x[tuple(wrong)]} at tile, row, column, channel {tuple(map(int, wrong))} cannot be coded",
                expected=f"{self.low} to {self.high}",
                fix="declare it as nodata, or fit the package to arrays of this range",
            )
        r = np.empty(x.shape, dtype=np.int32)
        if everywhere:
            r[:] = self._spatial(x)
        else:
            whole = known.all(axis=(1, 2))
            r[whole] = self._spatial(x[whole])
            r[~whole] = self._spatial_filling(x[~whole], known[~whole])
        symbols = self._across(r) if self.channels.any() else r
        if not everywhere:
            symbols[~known] = 0  # they are already, but for what lower channels' rounding says of nothing
        n, h, w, c = x.shape
        return np.ascontiguousarray(np.moveaxis(symbols.astype(np.int16), 3, 1)).reshape(n, c, h * w)

    def inverse(self, symbols: SymbolArray, rows: int, cols: int) -> Int16Array:
        """Symbols N×C×F → integers N×h×w×C; undoes `forward` exactly."""
        n, c, _ = symbols.shape
        r = self._undo_across(symbols) if self.channels.any() else symbols.astype(np.int32)
        r = np.ascontiguousarray(r.reshape(n, c, rows, cols).transpose(2, 3, 0, 1))  # h×w×N×C
        if not self.neighbours.any():
            x = self.low + self._mod(r + (self.start.astype(np.int32) - self.low))
        else:
            x = self._undo_spatial(r)
        return np.ascontiguousarray(x.transpose(2, 0, 1, 3)).astype(np.int16)

    # --- over the tokens of a tile

    @property
    def _weights(self) -> IntegerArray:
        """w as 4×C, in a type that holds every sum."""
        largest = int(np.abs(self.neighbours.astype(np.int64)).sum(axis=1).max(initial=0))
        reach = max(abs(self.low), abs(self.high)) + int(np.abs(self.start.astype(np.int64)).max(initial=0))
        exact = np.int32 if largest * reach + _HALF < 2**31 else np.int64
        return self.neighbours.T.astype(exact)

    def _spatial(self, x: Int32Array) -> IntegerArray:
        d = x - self.start.astype(np.int32)
        if not self.neighbours.any():
            return self.wrap(d)
        total = np.full(d.shape, _HALF, dtype=self._weights.dtype)
        for weight, neighbour in zip(self._weights, neighbours_of(d), strict=True):
            total += weight * neighbour
        return self.wrap(d - (total >> UNIT_BITS))

    def _predict(self, d: IntegerArray, i: int, j: int) -> IntegerArray:
        """Sum over the neighbours of token (i, j), rounded; d is h×w×N×C of x − b, done up to that token."""
        w = self._weights
        if i == 0 and j == 0:
            return np.zeros(d.shape[2:], dtype=w.dtype)
        if i == 0:
            left = above = above_left = above_right = d[i, j - 1]
        else:
            above = d[i - 1, j]
            left = d[i, j - 1] if j else above
            above_left = d[i - 1, j - 1] if j else above
            above_right = d[i - 1, j + 1] if j + 1 < d.shape[1] else above
        total = w[0] * left + w[1] * above + w[2] * above_left + w[3] * above_right + w.dtype.type(_HALF)
        return total >> UNIT_BITS

    def _spatial_filling(self, x: Int32Array, known: BoolArray) -> IntegerArray:
        """As `_spatial`, where unknown tokens take the value that makes r zero: they depend on those before them."""
        d = np.ascontiguousarray((x - self.start.astype(np.int32)).transpose(1, 2, 0, 3))
        here = np.ascontiguousarray(known.transpose(1, 2, 0))[..., None]
        r = np.zeros_like(d)
        offset = self.start.astype(np.int32) - self.low
        for i in range(d.shape[0]):
            for j in range(d.shape[1]):
                p = self._predict(d, i, j)
                d[i, j] = np.where(here[i, j], d[i, j], self._mod(p + offset) - offset)
                r[i, j] = np.where(here[i, j], self.wrap(d[i, j] - p), 0)
        return r.transpose(2, 0, 1, 3)

    def _undo_spatial(self, r: Int32Array) -> IntegerArray:
        d = np.empty_like(r)
        offset = self.start.astype(np.int32) - self.low
        for i in range(d.shape[0]):
            for j in range(d.shape[1]):
                d[i, j] = self._mod(self._predict(d, i, j) + r[i, j] + offset) - offset
        return d + self.start.astype(np.int32)

    # --- over channels

    def _exact_float(self) -> type[np.floating]:
        largest = int(np.abs(self.channels.astype(np.int64)).sum(axis=1).max(initial=0))
        return np.float32 if largest * (self.modulus // 2 + 1) + _HALF < 2**24 else np.float64

    def _rounded(self, total: npt.NDArray[np.floating]) -> IntegerArray:
        total += _HALF
        total *= 1.0 / (1 << UNIT_BITS)  # a power of two: exact
        # float32 totals lie below 2^24; of thousands of channels with large weights the sum passes 2^31.
        return np.floor(total, out=total).astype(np.int32 if total.dtype == np.float32 else np.int64)

    def _across(self, r: IntegerArray) -> IntegerArray:
        exact = self._exact_float()
        return self.wrap(r - self._rounded(r.astype(exact) @ self.channels.T.astype(exact)))

    def _undo_across(self, symbols: SymbolArray) -> Int32Array:
        """N×C×F → r, N×C×F. Channel after channel; what whole blocks before contribute is one product."""
        n, c, f = symbols.shape
        exact = self._exact_float()
        a = self.channels.astype(exact)
        r = np.empty((c, n * f), dtype=exact)
        s = np.ascontiguousarray(symbols.transpose(1, 0, 2)).reshape(c, n * f).astype(np.int32)
        for first in range(0, c, _BLOCK):
            end = min(first + _BLOCK, c)
            before = a[first:end, :first] @ r[:first]
            for k in range(first, end):
                total = before[k - first] + a[k, first:k] @ r[first:k]
                r[k] = self.wrap(s[k] + self._rounded(total))
        return np.ascontiguousarray(r.reshape(c, n, f).transpose(1, 0, 2)).astype(np.int32)


def plain(channels: int, low: int, modulus: int) -> Lifting:
    """A lifting that predicts nothing: symbols are the values around the middle of the range."""
    start = np.full(channels, low + modulus // 2, dtype=np.int16)
    none = np.zeros((channels, channels), dtype=np.int16)
    return Lifting(low, modulus, start, np.zeros((channels, NEIGHBOURS), dtype=np.int16), none)


def neighbours_of(d: IntegerArray) -> tuple[IntegerArray, ...]:
    """Left, above, above left, above right of every token of N×h×w×C, with the rules of the tile's edges.

    `d` is relative to b, so the first token's neighbours are 0.
    """
    left, above, above_left, above_right = (np.zeros_like(d) for _ in range(NEIGHBOURS))
    left[:, :, 1:] = d[:, :, :-1]
    above[:, 1:] = d[:, :-1]
    above_left[:, 1:, 1:] = d[:, :-1, :-1]
    above_right[:, 1:, :-1] = d[:, :-1, 1:]
    left[:, 1:, 0] = above_left[:, 1:, 0] = above[:, 1:, 0]
    above_right[:, 1:, -1] = above[:, 1:, -1]
    above[:, 0] = above_left[:, 0] = above_right[:, 0] = left[:, 0]
    return left, above, above_left, above_right
