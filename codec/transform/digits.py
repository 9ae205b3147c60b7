"""Symbols as ternary digits: what a plane and the planes that refine it code together (bitstream §8.4, §10.6).

A coefficient that is t steps of Δ/3 is 3·s + d of them, with s steps of Δ and d ∈ {−1, 0, 1}: the bins of the two steps
are nested. Whatever number of digits has arrived, their sum is the symbol that quantising with that step gives; so a prefix
decodes to what a file made for its rate would.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.transform.maps import QuantMaps
from codec.transform.quantiser import MAX_MAGNITUDE, reconstruct
from codec.transform.tables import NEVER_SENT
from codec.types import BoolArray, FloatArray, SymbolArray

RADIX = 3

Int64Array = npt.NDArray[np.int64]


def split(
    totals: npt.NDArray[np.integer], n_digits: int, coded: Sequence[BoolArray] | None = None
) -> list[SymbolArray]:
    """Multiples of the finest step → the symbol of the coarsest, then `n_digits` digits, from the coarse to the fine.

    `coded`: for each of them where it may be other than 0 (broadcasts against `totals`); what one may not say is left to
    the next, so that a digit may be larger than 1. Symbols are int16.
    """
    left = np.array(totals, dtype=np.int64)
    found = []
    for number in range(n_digits + 1):
        place = RADIX ** (n_digits - number)
        symbol = np.clip((left + place // 2) // place, -MAX_MAGNITUDE, MAX_MAGNITUDE)  # odd: no halves
        if coded is not None:
            symbol = np.where(coded[number], symbol, 0)
        left -= place * symbol
        found.append(symbol.astype(np.int16))
    return found


def join(symbols: Sequence[npt.NDArray[np.integer]]) -> Int64Array:
    """A symbol and its digits → multiples of the step of the last."""
    total = symbols[0].astype(np.int64)
    for digit in symbols[1:]:
        total = RADIX * total + digit
    return total


def quantise(latents: FloatArray, maps: Sequence[QuantMaps]) -> list[SymbolArray]:
    """Latents N×C×F → symbols of a plane and of those that refine it, one after another; `maps` are theirs, in that order.

    Raises InputError where a latent is NaN.
    """
    x = np.asarray(latents, dtype=np.float32)
    if np.isnan(x).any():
        raise InputError("a latent is not a number", fix="mark unmeasured pixels invalid")
    n_digits = len(maps) - 1
    most = float(RADIX**n_digits * MAX_MAGNITUDE)
    steps = x.astype(np.float64) * (RADIX**n_digits / maps[0].step.astype(np.float64))
    totals = np.rint(np.clip(steps, -most, most)).astype(np.int64)
    return split(totals, n_digits, [each.coded for each in maps])


def reconstructed(
    symbols: Sequence[SymbolArray], layers: Sequence[npt.NDArray[np.uint16]], maps: Sequence[QuantMaps]
) -> FloatArray:
    """Symbols N×C×F of a plane and of those that refine it, with the layers that arrived (N each) → latents N×C×F.

    A digit counts where all before it have arrived; the last that counts gives the points.
    """
    first = maps[0]
    value = first.reconstruct(symbols[0], layers[0])
    if len(symbols) == 1:
        return value
    total, step = symbols[0].astype(np.int64), first.step.astype(np.float64)
    counts = _arrived(first, layers[0])
    for number in range(1, len(symbols)):
        own = maps[number]
        counts &= _arrived(own, layers[number])
        if not counts.any():
            break
        total = RADIX * total + symbols[number]
        step = step / RADIX
        finer = reconstruct(total, step.astype(np.float32), own.r1, own.r2)
        value = np.where(counts, finer, value)
    return value


def _arrived(maps: QuantMaps, layers: npt.NDArray[np.uint16]) -> BoolArray:
    """N×C×F: the coefficient's layer is there."""
    bit = np.where(maps.layer == NEVER_SENT, 16, maps.layer).astype(np.uint32)
    return ((layers.astype(np.uint32)[:, None, None] >> bit) & 1).astype(bool)
