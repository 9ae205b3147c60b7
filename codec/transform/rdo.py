"""Rate–distortion-optimised quantisation: the encoder's free choice of symbols, weighed by what they cost.

Tables are static and independent, so the best symbol of a coefficient is its own affair: the one of least
(x − x̂)² + λ·bits among what rounding gives, one less, and zero. Distortion is in squared steps, so one λ means the same
trade at every quality: 0 is plain rounding, and 0.1155 = 2 ln 2 / 12 the slope of a fine uniform quantiser (6 dB a bit).
A decoder needs to know nothing of it.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.transform.maps import QuantMaps
from codec.transform.rate import magnitude_costs
from codec.transform.tables import Level
from codec.types import BoolArray, FloatArray, SymbolArray

_COST_UNITS_PER_BIT = 256
LARGEST_TRADEOFF = 1.0  # squared steps for a bit; beyond it all but the strongest coefficients vanish


def check_tradeoff(value: object) -> float:
    """λ as a float. Raises InputError for what is no number from 0 to 1."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0 <= float(value) <= LARGEST_TRADEOFF:  # type: ignore[arg-type]
        raise InputError(
            f"the trade-off is a number from 0 (plain rounding) to {LARGEST_TRADEOFF:g} squared steps for a bit",
            found=repr(value),
            fix="give such a number",
        )
    return float(value)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Choice:
    """What every magnitude of every table costs and decodes to."""

    levels: Sequence[Level]

    def reconsider(
        self,
        symbols: SymbolArray,
        latents: FloatArray,
        level: npt.NDArray[np.int16],
        inv_step: FloatArray,
        tradeoff: float,
    ) -> None:
        """Replace symbols N×K, in place, by better ones of the same latents.

        `symbols` are those of plain rounding, 0 where nothing is coded; `level` and `inv_step` (K) are the cells' own;
        `tradeoff` is λ in squared steps for a bit. Magnitudes fall or stay, signs stay, and what is 0 remains 0.
        """
        if not tradeoff:
            return
        n, k = np.nonzero(symbols)
        if not len(n):
            return
        magnitude = np.abs(symbols[n, k].astype(np.int64))
        table = level[k].astype(np.int64)
        costs, values = self._tables(int(magnitude.max()) + 1)
        x = np.abs(latents[n, k].astype(np.float64)) * inv_step[k]
        best, least = magnitude, np.full(len(n), math.inf)
        for candidate in (magnitude, magnitude - 1, np.zeros_like(magnitude)):
            loss = np.square(x - values[table, candidate]) + tradeoff * costs[table, candidate]
            better = loss < least  # ties stay with the larger magnitude
            best, least = np.where(better, candidate, best), np.where(better, loss, least)
        symbols[n, k] = np.copysign(best, symbols[n, k]).astype(np.int16)

    def _tables(self, n: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Bits and values in steps (bitstream §8.1) of magnitudes 0 … n−1, levels × n."""
        costs = np.stack([magnitude_costs(level, n) for level in self.levels]) / _COST_UNITS_PER_BIT
        values = np.stack([reconstructed(level, n) for level in self.levels])
        return costs, values


def reconstructed(level: Level, n: int) -> npt.NDArray[np.float64]:
    """What magnitudes 0 … n−1 decode to, in steps."""
    values = np.arange(n, dtype=np.float64)
    values[2:] += level.r2
    values[1:2] = level.r1
    return values


def quantise(
    levels: Sequence[Level],
    maps: QuantMaps,
    latents: FloatArray,
    tradeoff: float,
    cells: BoolArray | None = None,
) -> SymbolArray:
    """Latents N×C×F → symbols: plain rounding, reconsidered in the given cells (C×F; default: above layer 0).

    Layer 0 is the protected mean: its steps are finer than squared error asks for, and a trade would undo that.
    """
    symbols = maps.quantise(latents)
    chosen = maps.layer > 0 if cells is None else cells
    part = symbols[:, chosen]
    Choice(levels).reconsider(part, latents[:, chosen], maps.level[chosen], maps.inv_step[chosen], tradeoff)
    symbols[:, chosen] = part
    return symbols
