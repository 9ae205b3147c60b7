"""Tokens of large arrays → symbols, in pieces, without ever holding latents of all tiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.package import Package
from codec.transform.maps import QuantMaps
from codec.transform.plane import PlaneTransform
from codec.transform.products import tiles_to_channels
from codec.transform.quantiser import MAX_MAGNITUDE
from codec.types import BoolArray, FloatArray, SymbolArray

# Tiles first … end−1 → values n×h×w×C (any float type) and known tokens n×h×w.
ReadTokens = Callable[[range], tuple[np.ndarray, BoolArray]]

CHUNK_VALUES = 1 << 21  # of one piece: stays in the processor's cache


def symbols_of(
    package: Package, plane: int, ladder_index: int, n_tiles: int, read: ReadTokens
) -> tuple[np.ndarray, BoolArray]:
    """Symbols N×C×F (int8 where all fit, else int16) and token validity N×h×w of one float plane at one quality.

    Numbers are those of the reference quantiser on the plane's transform; channels that are not coded at this quality
    are never computed.
    """
    entry = package.planes[plane]
    spec, transform = entry.spec, package.transforms[entry.name]
    maps = package.maps(plane, ladder_index)
    work = _Analysis(transform, maps)
    narrow = np.int8 if work.largest(n_tiles, read) <= 100 else np.int16
    symbols = np.zeros((n_tiles, spec.channels, spec.n_frequencies), dtype=narrow)
    validity = np.zeros((n_tiles, spec.rows, spec.cols), dtype=bool)
    step = max(1, CHUNK_VALUES // (spec.channels * spec.n_frequencies))
    for first in range(0, n_tiles, step):
        part = range(first, min(first + step, n_tiles))
        values, known = read(part)
        found, largest = work.quantise(values, known)
        if largest > 127 and symbols.dtype == np.int8:
            symbols = symbols.astype(np.int16)
        symbols[first : part.stop, work.channels] = found
        validity[first : part.stop] = known
    return symbols, validity


class _Analysis:
    """Transform and quantiser of one plane at one quality, for the channels that are coded in it."""

    def __init__(self, transform: PlaneTransform, maps: QuantMaps) -> None:
        numbers = np.flatnonzero(maps.coded.any(axis=1))
        # In order of scale the coded ones come first, mostly without a gap: a slice writes faster than their numbers.
        together = np.array_equal(numbers, np.arange(len(numbers)))
        self.channels: slice | npt.NDArray[np.intp] = slice(0, len(numbers)) if together else numbers
        self._transform, self._maps = transform, maps
        self._basis = np.ascontiguousarray(transform.basis[self.channels])
        self._inv_step = np.ascontiguousarray(maps.inv_step[self.channels])  # k×F
        self._coded = maps.coded[self.channels]
        self._plain = not maps.theta.any()

    def largest(self, n_tiles: int, read: ReadTokens) -> int:
        """The largest magnitude in a tile at the beginning, in the middle and at the end: spares most a wider copy."""
        return max(self.quantise(*read(range(t, t + 1)))[1] for t in {0, n_tiles // 2, n_tiles - 1})

    def quantise(self, values: np.ndarray, known: BoolArray) -> tuple[np.ndarray, int]:
        """Symbols n×k×F of n×h×w×C (float, integral) and the largest magnitude."""
        n, n_frequencies = len(values), self._inv_step.shape[1]
        if self._transform.tokens != "none" or not self._plain:
            whole = None if known.all() else known
            q = self._maps.quantise(self._transform.analyse(values, whole))
            result = q[:, self.channels]
            return result, int(np.abs(result.astype(np.int32)).max(initial=0))
        centred = values.astype(np.float32) - self._transform.mean
        if not known.all():
            centred[~known] = 0
        with np.errstate(over="ignore", invalid="ignore"):  # judged below
            y: FloatArray = tiles_to_channels(centred.reshape(n, n_frequencies, -1), self._basis)
        # θ is 0, so copysign(rint(|x|/Δ), x) is rint(x/Δ): halves go to the even neighbour on both sides.
        np.multiply(y, self._inv_step, out=y)
        np.rint(y, out=y)
        np.clip(y, -MAX_MAGNITUDE, MAX_MAGNITUDE, out=y)
        if not self._coded.all():
            y *= self._coded
        largest = float(max(y.max(initial=0), -y.min(initial=0)))
        if np.isnan(largest):  # ∞ − ∞ in the product
            raise InputError(
                "the array holds numbers too large for float32", fix="scale them to a deviation near 1"
            )
        return y.astype(np.int8 if largest <= 127 else np.int16), int(largest)


def integer_symbols(
    package: Package, plane: int, n_tiles: int, read: ReadTokens
) -> tuple[SymbolArray, BoolArray]:
    """Symbols N×C×F (int16) and token validity N×h×w of one integer plane with lifting `linear`. Raises as `Lifting`."""
    entry = package.planes[plane]
    spec, lifting = entry.spec, package.liftings[entry.name]
    symbols = np.zeros((n_tiles, spec.channels, spec.n_frequencies), dtype=np.int16)
    validity = np.zeros((n_tiles, spec.rows, spec.cols), dtype=bool)
    step = max(1, CHUNK_VALUES // (spec.channels * spec.n_frequencies))
    for first in range(0, n_tiles, step):
        part = range(first, min(first + step, n_tiles))
        values, known = read(part)
        symbols[first : part.stop] = lifting.forward(values, known)
        validity[first : part.stop] = known
    return symbols, validity
