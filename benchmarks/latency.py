"""How fast calls are, one after another: images per second, median and 99th percentile, energy of an image.

SWATHPACK_BENCH_WARM_UP_S and SWATHPACK_BENCH_WINDOW_S set how long a case warms up and is measured. What is published of a
Jetson warms up for 10 s and is measured for 30 s or more (docs/performance.md).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.energy.machine import Machine
from benchmarks.entropy.timing import median_interval
from benchmarks.results import Row, versions
from codec.errors import UsageError
from onboard.power.meter import Consumed

SUITE = "performance"
CALLS_FOR_P99 = 100  # with fewer the 99th percentile is the slowest call
_MOST_CALLS = 200_000
_PARTS = 10  # of a window, for the spread of its rate


@dataclass(frozen=True)
class Window:
    """Seconds of every case."""

    warm_up_s: float = 0.5
    window_s: float = 2.5

    @classmethod
    def asked(cls, environment: dict[str, str] | None = None) -> Window:
        """From the environment. Raises UsageError for what is no positive number."""
        given = dict(os.environ) if environment is None else environment
        return cls(
            _seconds(given, "SWATHPACK_BENCH_WARM_UP_S", cls.warm_up_s),
            _seconds(given, "SWATHPACK_BENCH_WINDOW_S", cls.window_s),
        )

    def __str__(self) -> str:
        return f"{self.window_s:g} s after {self.warm_up_s:g} s"


def _seconds(environment: dict[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{name} is no time", expected="seconds above 0", found=text)
    return value


def warm_up(run: Callable[[], object], window: Window, clock: Callable[[], float] = time.perf_counter) -> int:
    """Call until the warm-up is over, at least twice; how many calls then fill the window."""
    run()  # the first builds and compiles what the others use
    start, calls = clock(), 0
    while calls == 0 or clock() - start < window.warm_up_s:
        run()
        calls += 1
    each = (clock() - start) / calls
    return min(_MOST_CALLS, max(3, math.ceil(window.window_s / max(each, 1e-9))))


@dataclass(frozen=True)
class Timed:
    """One window of calls with a batch of images each."""

    batch: int
    seconds: Sequence[float]  # of each call, in order
    consumed: Consumed | None = None

    @property
    def images(self) -> int:
        return self.batch * len(self.seconds)

    def rate(self) -> tuple[float, float, float]:
        """Images per second over the window, and of its slowest and fastest tenth."""
        parts = np.array_split(np.asarray(self.seconds, np.float64), min(_PARTS, len(self.seconds)))
        rates = [self.batch * len(part) / part.sum() for part in parts]
        return self.images / float(np.sum(self.seconds)), min(rates), max(rates)

    def p99(self) -> float | None:
        """Seconds that 99 of 100 calls stay below or reach; None of too few calls."""
        if len(self.seconds) < CALLS_FOR_P99:
            return None
        ordered = sorted(self.seconds)
        return float(ordered[math.ceil(0.99 * len(ordered)) - 1])


def rows(
    case: str,
    timed: Timed,
    window: Window,
    machine: Machine,
    *,
    device: str = "cpu",
    threads: int | None = None,
    packages: Sequence[str] = ("swathpack", "numpy"),
) -> Iterator[Row]:
    """What one window says; energy only where it was measured."""

    def row(metric: str, value: float, lo: float | None, hi: float | None, unit: str) -> Row:
        return Row(
            SUITE, case, metric, value, lo, hi, unit=unit, n=len(timed.seconds), threads=threads,
            hardware=machine.hardware, isa_or_device=", ".join(filter(None, (device, machine.state))),
            versions="; ".join((versions(packages), *machine.software)),
        )  # fmt: skip

    yield row("images/s", *timed.rate(), f"images/s [slowest and fastest tenth of {window}]")
    low_middle_high = median_interval([1e3 * s for s in timed.seconds])
    yield row("latency, median", *low_middle_high, "ms [95 % interval of the median]")
    slow = timed.p99()
    if slow is not None:
        yield row("latency, 99th percentile", 1e3 * slow, None, None, "ms")
    if timed.consumed is not None:
        used = timed.consumed
        yield row(
            "energy", 1e3 * used.per(timed.images), None, None, f"mJ an image, idle included, {used.source}"
        )


def idle_row(consumed: Consumed, machine: Machine, device: str = "cpu") -> Row:
    """Power with nothing to do, which energies of images include."""
    return Row(
        SUITE, "idle", "power", consumed.watts, unit=f"W, {consumed.source}", hardware=machine.hardware,
        isa_or_device=", ".join(filter(None, (device, machine.state))),
        versions="; ".join((versions(), *machine.software)),
    )  # fmt: skip
