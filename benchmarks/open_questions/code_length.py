"""Ideal code lengths of quantised coefficients under static tables, fitted on some tiles and asked of others.

Magnitudes up to 15 are symbols of their own, larger ones fall into quarter-octave bins and take the bits to tell them apart
inside; signs take a bit. Both are the same under every table, so that what differs is the tables alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.transform.fit import FittedCodec
from codec.transform.layout import QUARTER_OCTAVES
from codec.transform.maps import quant_maps
from codec.types import FloatArray

EXACT = 16
_BINS_PER_OCTAVE = 4
_LARGEST = 32768
PRIOR = 32.0  # observations that a table of a context starts with, drawn from the table of its level
_FLOOR = 0.002  # observations of every bin: what neither training nor the prior has seen
_LEVEL_OF_ONE_STEP = (
    4 * QUARTER_OCTAVES
)  # where a scale is one step, in the tables that `codec.transform.fit` makes
Bits = npt.NDArray[np.float64]
Bins = npt.NDArray[np.int16]


def _edges() -> npt.NDArray[np.int64]:
    octaves = int(np.log2(_LARGEST / EXACT))
    steps = np.arange(octaves * _BINS_PER_OCTAVE + 1)
    return np.unique(np.ceil(EXACT * 2.0 ** (steps / _BINS_PER_OCTAVE)).astype(np.int64))


EDGES = _edges()
N_BINS = EXACT + len(EDGES) - 1
_INSIDE = np.concatenate([np.zeros(EXACT), np.log2(np.diff(EDGES))])  # bits to tell apart what one bin holds
_SIGN = np.concatenate([np.zeros(1), np.ones(N_BINS - 1)])


def bin_of(magnitude: npt.NDArray[np.integer]) -> Bins:
    """Bins of magnitudes 0 … 32767."""
    beyond = EXACT + np.searchsorted(EDGES, magnitude, side="right") - 1
    return np.where(magnitude < EXACT, magnitude, np.minimum(beyond, N_BINS - 1)).astype(np.int16)


@dataclass(frozen=True)
class Symbols:
    """Quantised latents of N tiles of one plane at one quality."""

    magnitude: npt.NDArray[np.int32]  # N×C×F
    level: npt.NDArray[np.int16]  # C×F
    layer: npt.NDArray[np.uint8]  # C×F
    coded: npt.NDArray[np.bool_]  # C×F; all others are 0 and cost nothing
    n_levels: int

    @classmethod
    def of(cls, codec: FittedCodec, latents: FloatArray, index: int) -> Symbols:
        maps = quant_maps(codec.tables, 0, index)
        magnitude = np.abs(maps.quantise(latents).astype(np.int32))
        return cls(magnitude, maps.level, maps.layer, maps.coded, len(codec.tables.levels))

    @property
    def bins(self) -> Bins:
        """N×M, of the M coded cells."""
        return bin_of(self.magnitude[:, self.coded])

    @property
    def levels(self) -> npt.NDArray[np.int16]:
        """M."""
        return self.level[self.coded]


def counted(rows: npt.NDArray[np.integer], bins: Bins, n_rows: int) -> npt.NDArray[np.float64]:
    """How often each bin occurs in each row: `rows` broadcasts against `bins`; n_rows×N_BINS."""
    index = (np.broadcast_to(rows, bins.shape).astype(np.int64) * N_BINS + bins).ravel()
    found = np.bincount(index, minlength=n_rows * N_BINS).reshape(n_rows, N_BINS)
    return np.asarray(found, np.float64)


def laplace(n_levels: int) -> npt.NDArray[np.float64]:
    """Probabilities of the bins of each level for a Laplace density of the level's scale, levels×N_BINS."""
    scale = 2.0 ** ((np.arange(n_levels) - _LEVEL_OF_ONE_STEP) / QUARTER_OCTAVES)
    starts = np.concatenate([np.arange(EXACT), EDGES[:-1]])
    beyond = np.exp(-np.sqrt(2.0) / scale[:, None] * np.maximum(starts - 0.5, 0))
    return np.asarray(-np.diff(beyond, append=0.0), np.float64)


def level_costs(counts: npt.NDArray[np.float64]) -> Bits:
    """Bits of every bin under the table of every level, levels×N_BINS; rare levels fall back to a Laplace density."""
    p = counts + PRIOR * laplace(len(counts)) + _FLOOR
    return _bits(p / p.sum(1, keepdims=True))


def context_costs(counts: npt.NDArray[np.float64], of_level: npt.NDArray[np.integer], levels: Bits) -> Bits:
    """Of tables that each belong to a level, `counts` K×N_BINS; `levels`: `level_costs` that they fall back to."""
    prior = 2.0 ** -(levels[of_level] - _INSIDE - _SIGN)
    p = counts + PRIOR * prior
    return _bits(p / p.sum(1, keepdims=True))


def _bits(p: npt.NDArray[np.float64]) -> Bits:
    return np.asarray(-np.log2(p) + _INSIDE + _SIGN, np.float64)
