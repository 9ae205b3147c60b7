"""CPU time of pairs: ours and a rival by turns in one process, so that what slows one slows the other."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Clock = Callable[[], float]
_MANY = 500  # values, above which binomial coefficients outgrow floats
Work = Callable[[int], Any]  # gets the number of the round: buffers of another alignment in every round


@dataclass(frozen=True)
class Paired:
    """Seconds per unit of both sides, round by round."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratios(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """How many times as fast as the rival, one a round."""
        return np.array(self.theirs) / np.array(self.ours)

    def ratio(self) -> tuple[float, float, float]:
        """Median ratio with its 95 % interval."""
        return median_interval(self.ratios.tolist())


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Median and the order statistics that enclose the true median with at least 95 % (fewer than 6 values: all).

    Distribution-free: the i-th smallest and i-th largest of n enclose it with probability 1 − 2·P(Binomial(n, ½) < i).
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    i, below = 0, 0.0
    if n > _MANY:  # by the normal approximation, with its correction for whole numbers
        i = math.floor((n + 1 - 1.96 * math.sqrt(n)) / 2)
    else:
        while (below := below + math.comb(n, i) / 2.0**n) <= 0.025:
            i += 1
    at = max(i, 1) - 1
    return float(np.median(ordered)), float(ordered[at]), float(ordered[n - 1 - at])


def repeats_for(work: Work, seconds: float, clock: Clock = time.process_time) -> int:
    """How many calls take at least `seconds`; the first call, which warms up, is not counted."""
    work(0)
    n = 1
    while True:
        start = clock()
        for _ in range(n):
            work(0)
        took = clock() - start
        if took >= seconds:
            return n
        # Clocks are coarse and may show nothing at all: grow, but not to absurd counts at once.
        n = min(8 * n, max(n + 1, int(n * 1.3 * seconds / max(took, seconds / 64))))


def timed(work: Work, number: int, repeats: int, clock: Clock = time.process_time) -> float:
    """Seconds of one call in round `number`."""
    start = clock()
    for _ in range(repeats):
        work(number)
    return (clock() - start) / repeats


def paired(
    ours: Work,
    theirs: Work,
    *,
    units: tuple[float, float] = (1.0, 1.0),
    rounds: int = 15,
    seconds: float = 0.03,
    clock: Clock = time.process_time,
) -> Paired:
    """Both by turns, the first of a round alternating. `units`: how much work a call of each does, in symbols or bytes."""
    n_ours, n_theirs = repeats_for(ours, seconds, clock), repeats_for(theirs, seconds, clock)
    first: list[float] = []
    second: list[float] = []
    for number in range(rounds):
        sides = [(ours, n_ours, units[0], first), (theirs, n_theirs, units[1], second)]
        for work, repeats, unit, found in sides if number % 2 == 0 else reversed(sides):
            found.append(timed(work, number, repeats, clock) / unit)
    return Paired(tuple(first), tuple(second))


def alone(
    work: Work,
    *,
    unit: float = 1.0,
    rounds: int = 15,
    seconds: float = 0.03,
    clock: Clock = time.process_time,
) -> list[float]:
    """Seconds per unit, round by round, where no rival is timed."""
    repeats = repeats_for(work, seconds, clock)
    return [timed(work, number, repeats, clock) / unit for number in range(rounds)]


def rate(seconds: Sequence[float]) -> tuple[float, float, float]:
    """Median, lowest and highest units per second."""
    values = 1.0 / np.asarray(seconds, dtype=np.float64)
    return float(np.median(values)), float(values.min()), float(values.max())
