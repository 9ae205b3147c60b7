"""What a row says about the processor: its name, which instruction sets it has, which one the core uses, its clock."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.entropy.missing import Missing
from benchmarks.results import Row, versions

# As /proc/cpuinfo calls them, and as a row does.
_FLAGS = {
    "avx2": "avx2", "avx512bw": "avx512", "avx512vbmi": "vbmi", "avx512_vbmi2": "vbmi2", "gfni": "gfni",
    "asimd": "neon", "sve": "sve",
}  # fmt: skip

# Of a register, not of a number: some processors add up small numbers before they execute anything.
_ADD_CHAIN = r"""
#if defined(__x86_64__)
#define STEP "add %1, %0\n\t"
#elif defined(__aarch64__)
#define STEP "add %0, %0, %1\n\t"
#endif
#define TEN STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP
unsigned long chain(unsigned long n) {
  unsigned long x = 0, one = 1;
  for (unsigned long i = 0; i < n; ++i) __asm__ volatile(TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN : "+r"(x) : "r"(one));
  return x;
}
"""
_ADDS_PER_TURN = 100


def flags(cpuinfo: str | None = None) -> tuple[str, ...]:
    """The instruction sets of this processor that matter here."""
    if cpuinfo is None:
        try:
            cpuinfo = Path("/proc/cpuinfo").read_text()
        except OSError:
            return ()
    found = {
        word
        for line in cpuinfo.splitlines()
        if line.startswith(("flags", "Features"))
        for word in line.split()
    }
    return tuple(name for flag, name in _FLAGS.items() if flag in found)


def device(isa: str) -> str:
    """The instruction set in use, and those that the processor has."""
    return f"{isa} ({' '.join(flags()) or platform.machine()})"


def row(
    isa: str,
    case: str,
    metric: str,
    value: float,
    lo: float | None = None,
    hi: float | None = None,
    *,
    unit: str = "",
    rival: str = "",
    n: int | None = None,
    threads: int = 1,
    software: Iterable[str] = (),
) -> Row:
    """A row of suite `entropy`; `software`: names and versions of the rivals."""
    return Row(
        "entropy", case, metric, value, lo, hi, unit=unit, rival=rival, n=n, isa_or_device=device(isa),
        threads=threads, versions="; ".join([versions(), *software]),
    )  # fmt: skip


def clock_hz(seconds: float = 0.05) -> float:
    """Cycles per CPU-second now, by a chain of additions of one cycle each. Missing where nothing compiles it.

    What /proc/cpuinfo says is neither the clock under load nor, on virtual machines, this machine's.
    """
    compiler = shutil.which("cc") or shutil.which("c++")
    if compiler is None or platform.machine() not in ("x86_64", "aarch64"):
        raise Missing("the clock cannot be measured: no C compiler, or an unknown processor")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "chain.c"), Path(folder, "chain.so")
        source.write_text(_ADD_CHAIN)
        subprocess.run([compiler, "-O1", "-x", "c", "-shared", "-fPIC", "-o", library, source], check=True)
        chain = ctypes.CDLL(str(library)).chain
    chain.argtypes = [ctypes.c_ulong]
    turns, best, spent = 10_000, 0.0, 0.0
    # The fastest of many short runs by the wall: interruptions only ever slow it.
    while spent < seconds:
        start = time.perf_counter()
        chain(turns)
        took = time.perf_counter() - start
        spent += took
        best = max(best, turns * _ADDS_PER_TURN / took)
    return best
