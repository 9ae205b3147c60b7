"""Two threads against one, in wall time: the only measurement here that is not CPU time, and needs two idle cores."""

from __future__ import annotations

import os
import time

from benchmarks.entropy import latents, timing
from benchmarks.entropy.archive import Ours, case
from benchmarks.entropy.machine import row
from benchmarks.entropy.missing import Missing
from benchmarks.entropy.settings import Settings
from benchmarks.results import Row

THREADS = 2
_LONGER = (
    10  # spans than elsewhere: a core that the other side's turn left idle needs some calls to be there again
)


def measure(isa: str, settings: Settings, *, name: str) -> list[Row]:
    """Times as fast with two threads; equal bytes are checked first."""
    if (os.cpu_count() or 1) < THREADS:
        raise Missing(f"this machine has fewer than {THREADS} cores")
    drawn = latents.make(name, 8 * settings.images(name))  # enough records for an even share
    one, two = Ours(drawn, threads=1), Ours(drawn, threads=THREADS)
    if one.records != two.records:
        raise ValueError("the number of threads changes the records")
    rounds = settings.n_rounds(31)
    rows = []
    for metric, many, single in (("decode", two.decode, one.decode), ("encode", two.encode, one.encode)):
        found = timing.paired(
            many, single, rounds=rounds, seconds=_LONGER * settings.seconds, clock=time.perf_counter
        )
        rows.append(
            row(
                isa, case(name, isa), f"{metric}, two threads, times as fast", *found.ratio(), unit="x wall, 95 %",
                rival="one thread", n=rounds, threads=THREADS,
            )
        )  # fmt: skip
    return rows
