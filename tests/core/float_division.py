"""The vector encoders' division (docs/range_coding.md §9), step by step in NumPy's float32 and in integers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from drawn_records import WORD, Counts, mixed

FREQUENCIES = np.arange(1, WORD, dtype=np.int64)


def states_near_multiples(q: int) -> list[tuple[Counts, Counts]]:
    """(x, f) for all frequencies, where the encoder can meet them: f ≤ x < 65536·f.

    x is q·f − 1, q·f, q·f + 1, and what leaves x − (q − 1)·f = 65535 or 65536: the remainder's 17th bit.
    """
    pairs = []
    for above in (-1, 0, 1, 65535 - FREQUENCIES, 65536 - FREQUENCIES):
        x = q * FREQUENCIES + above
        legal = (x >= FREQUENCIES) & (x < WORD * FREQUENCIES)
        pairs.append((x[legal], FREQUENCIES[legal]))
    return pairs


def quotients() -> list[int]:
    """Around each power of two, where roundings change their size, the largest, and some others."""
    near = {2**i + d for i in range(17) for d in (-1, 0, 1)}
    others = {int(z % np.uint64(WORD)) for z in mixed(60, 1)}
    return sorted(q for q in near | others | set(range(WORD - 16, WORD + 1)) if 1 <= q <= WORD)


@dataclass
class FloatPath:
    """The steps of the kernels' `quotient` and `retreat`, on arrays; all but two roundings in halves of 16 bits."""

    y: npt.NDArray[np.float32]  # after two roundings, before the subtraction
    difference: npt.NDArray[np.float32]
    trial: Counts
    over: Counts
    quotient: Counts
    remainder: Counts

    @classmethod
    def of(cls, x: Counts, f: Counts) -> FloatPath:
        high, low = x >> 16, x & 0xFFFF
        y = x.astype(np.float32) / f.astype(np.float32)
        assert y.dtype == np.float32
        difference = y - np.float32(1 / 64)
        trial = difference.astype(np.int64)  # towards zero
        product = trial * f
        rest = (low - (product & 0xFFFF)) & 0xFFFF
        borrow = low < (product & 0xFFFF)
        over = (high - (product >> 16) - borrow) & 0xFFFF
        once_more = (over > 0) | (rest >= f)
        return cls(y, difference, trial, over, trial + once_more, (rest - once_more * f) & 0xFFFF)


@cache
def float_division() -> dict[str, Any]:
    """What came up in the checks; every result is compared with the division of integers."""
    found: dict[str, Any] = {"cases": 0, "largest": 0.0, "too large": 0, "once more": 0, "wide": 0}
    for q in quotients():
        for x, f in states_near_multiples(q):
            path = FloatPath.of(x, f)
            exact = x // f
            error = np.abs(path.y.astype(np.float64) - x / f)
            assert (path.difference.astype(np.float64) == path.y.astype(np.float64) - 1 / 64).all()
            assert ((path.trial == exact) | (path.trial == exact - 1)).all()
            assert (path.over <= 1).all()
            np.testing.assert_array_equal(path.quotient, exact)
            np.testing.assert_array_equal(path.remainder, x % f)
            found["cases"] += len(x)
            found["largest"] = max(found["largest"], float(error.max(initial=0)) * 256)
            found["too large"] += int((path.y.astype(np.int64) > exact).sum())
            found["once more"] += int((path.trial < exact).sum())
            found["wide"] += int(path.over.sum())
    return found
