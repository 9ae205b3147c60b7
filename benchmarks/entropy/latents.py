"""Synthetic latents with known distributions: what every coder of this folder is measured on.

Two sets of int8 symbols, images × 196 tokens × 768 channels. Each channel is a discretised density at 0, its scale
log-normal over the channels: `dense` Gaussian with log-deviation 0.55 and 1.78 bit per symbol, `sparse` Laplace with 0.75
and 0.10 bit. One common factor on all scales makes the mean entropy what the set is called for.

Probabilities are integers of 65536, and symbols are drawn from exactly these: the cross-entropy under them is what the
best static coder could reach, to the bit. Equal arguments give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

Int8Array = npt.NDArray[np.int8]
Int64Array = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]

SIDE, CHANNELS = 14, 768
TOKENS = SIDE * SIDE
LARGEST = 60  # magnitude: fits int8 and leaves room for an escape
TOTAL = 65_536
_VALUES = np.arange(-LARGEST, LARGEST + 1)


def gaussian_cdf(x: FloatVector, scale: FloatVector) -> FloatVector:
    """Of a normal density with deviation `scale`."""
    return np.asarray(ndtr(x / scale))


def laplace_cdf(x: FloatVector, scale: FloatVector) -> FloatVector:
    """Of a two-sided exponential density with mean magnitude `scale`."""
    half = 0.5 * np.exp(-np.abs(x) / scale)
    return np.where(x < 0, half, 1 - half)


@dataclass(frozen=True, slots=True)
class Density:
    """What a set is made of."""

    cdf: Callable[[FloatVector, FloatVector], FloatVector]
    spread: float  # deviation of the logarithm of the scales
    bits: float  # mean entropy per symbol


DENSITIES = {"dense": Density(gaussian_cdf, 0.55, 1.78), "sparse": Density(laplace_cdf, 0.75, 0.10)}


@dataclass(frozen=True)
class LatentSet:
    """Symbols and the distributions that they were drawn from; channels by falling scale.

    An encoder sorts its channels once, for nothing, by folding the permutation into its last linear layer; so all
    coders get them sorted. `unsorted` gives the symbols as they would come without that.
    """

    name: str
    symbols: npt.NDArray[Any]  # int8 or int16, images × tokens × channels
    frequencies: Int64Array  # channels × 121, sums 65536; column i is the value i − 60

    @property
    def images(self) -> int:
        return len(self.symbols)

    @property
    def entropy(self) -> float:
        """Mean bits per symbol of the distributions."""
        return float(entropy_bits(self.frequencies).mean())

    def cross_entropy_bits(self) -> float:
        """Bits of exactly these symbols under exactly these distributions."""
        return cross_entropy_bits(self.symbols, self.frequencies)

    def first(self, images: int) -> LatentSet:
        """The set's first images alone."""
        return LatentSet(self.name, self.symbols[:images], self.frequencies)

    def unsorted(self, seed: int = 3) -> LatentSet:
        """The same with the channels in a fixed arbitrary order."""
        order = np.random.default_rng(seed).permutation(self.symbols.shape[2])
        return LatentSet(self.name, np.ascontiguousarray(self.symbols[:, :, order]), self.frequencies[order])


def integer_frequencies(probability: FloatVector) -> Int64Array:
    """Rows of probabilities as integers that sum to 65536; the most frequent value takes what rounding leaves."""
    rows = np.atleast_2d(probability)
    result = np.rint(rows / rows.sum(axis=1, keepdims=True) * TOTAL).astype(np.int64)
    top = result.argmax(axis=1)
    result[np.arange(len(result)), top] += TOTAL - result.sum(axis=1)
    return result


def entropy_bits(frequencies: Int64Array) -> FloatVector:
    """Entropy of each row in bits."""
    p = frequencies / TOTAL
    logarithm = np.log2(p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(-(p * logarithm).sum(axis=1))


def cross_entropy_bits(symbols: npt.NDArray[Any], frequencies: Int64Array) -> float:
    """Bits of N × T × C symbols under one distribution per channel; infinite if one of them is impossible."""
    with np.errstate(divide="ignore"):
        cost = -np.log2(frequencies / TOTAL)
    total = 0.0
    for channel in range(symbols.shape[2]):
        counts = np.bincount(
            symbols[:, :, channel].ravel().astype(np.int64) + LARGEST, minlength=len(_VALUES)
        )
        total += float((counts[counts > 0] * cost[channel][counts > 0]).sum())
    return total


def channel_frequencies(density: Density, channels: int) -> Int64Array:
    """The distributions of a set, largest scale first."""
    # Exact quantiles instead of draws: the spread is the one named, whatever the number of channels.
    normal = ndtri((np.arange(channels) + 0.5) / channels)[::-1]
    log_scales = density.spread * normal
    low, high = -8.0, 6.0
    for _ in range(40):  # entropy grows with the scale, so bisection finds the one common factor
        middle = (low + high) / 2
        if entropy_bits(_discretised(density, log_scales + middle)).mean() < density.bits:
            low = middle
        else:
            high = middle
    return _discretised(density, log_scales + high)


def _discretised(density: Density, log_scales: FloatVector) -> Int64Array:
    edges = np.append(_VALUES - 0.5, LARGEST + 0.5)
    cumulative = density.cdf(edges[None, :], np.exp(log_scales)[:, None])
    return integer_frequencies(np.diff(cumulative, axis=1))


def make(
    name: str,
    images: int,
    *,
    seed: int = 1,
    channels: int = CHANNELS,
    tokens: int = TOKENS,
    bits: float | None = None,
) -> LatentSet:
    """The set `name` with this many images; `bits` gives its density another entropy."""
    density = DENSITIES[name]
    if bits is not None:
        density = Density(density.cdf, density.spread, bits)
    frequencies = channel_frequencies(density, channels)
    return LatentSet(name, draw(frequencies, images, tokens, seed), frequencies)


def draw(frequencies: Int64Array, images: int, tokens: int, seed: int) -> Int8Array:
    """Independent symbols, images × tokens × channels: one 16-bit number each, looked up in its distribution."""
    generator = np.random.default_rng(seed)
    channels = len(frequencies)
    result = np.empty((images * tokens, channels), dtype=np.int8)
    words = generator.integers(0, TOTAL, result.shape, dtype=np.uint16)
    for channel in range(channels):
        value_of_word = np.repeat(_VALUES.astype(np.int8), frequencies[channel])
        result[:, channel] = value_of_word[words[:, channel]]
    return result.reshape(images, tokens, channels)
