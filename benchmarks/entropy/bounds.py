"""How far from what the machine allows: copying the output, the search's arithmetic ports, and memory."""

from __future__ import annotations

import resource

import numpy as np

from benchmarks.entropy import buffers, ideal, timing
from benchmarks.entropy.archive import case, ours
from benchmarks.entropy.machine import clock_hz, row
from benchmarks.entropy.plane_coder import TILE_ORDER, TOKEN_ORDER
from benchmarks.entropy.settings import Settings
from benchmarks.results import Row

# Of the linear threshold search on 16 lanes of 16 bits: a fixed part, and three operations on two ports per threshold.
# Fitted to a prototype's decoder on AVX2 (Zen 4); the same shape bounds any back end that searches linearly.
STEP_CYCLES, THRESHOLD_CYCLES, STEP_SYMBOLS = 9.5, 1.5, 16


def port_bound_cycles(mean_thresholds: float) -> float:
    """Cycles per 16 symbols that the search alone takes."""
    return STEP_CYCLES + THRESHOLD_CYCLES * mean_thresholds


def measure(isa: str, settings: Settings, *, name: str, order: str = TOKEN_ORDER) -> list[Row]:
    """Decoding against a copy of its output, by turns, and against the port bound at the clock of this moment."""
    own = ours(settings, name, order)
    source = buffers.empty(own.symbols.shape, own.symbols.dtype, 0)
    source[...] = own.symbols
    target = buffers.empty(own.symbols.shape, own.symbols.dtype, 0)
    rounds = settings.n_rounds(31)
    found = timing.paired(
        own.decode, lambda _: np.copyto(target, source), units=(own.symbols.size, own.symbols.size), rounds=rounds,
        seconds=settings.seconds,
    )  # fmt: skip
    where = case(name, isa, order)
    k = ideal.mean_thresholds(own.tables)
    # The clock is asked between blocks of decoding, so that both see the same one.
    cycles = []
    for _ in range(settings.n_rounds(7)):
        seconds = timing.alone(
            own.decode, unit=own.symbols.size, rounds=len(buffers.OFFSETS), seconds=settings.seconds
        )
        cycles.append(float(np.median(seconds)) * clock_hz() * STEP_SYMBOLS)
    middle, low, high = float(np.median(cycles)), min(cycles), max(cycles)
    bound = port_bound_cycles(k)
    copy = [1e-9 * v for v in timing.rate(found.theirs)]
    share = [100 * v for v in found.ratio()]
    times = [v / bound for v in (middle, low, high)]
    unit = f"cycles per 16 symbols at K = {k:.3g}"
    return [
        row(isa, where, "copying the output", *copy, unit="GB/s, min/max", rival="copy", n=rounds),
        row(isa, where, "decode, share of a copy's speed", *share, unit="%, 95 %", rival="copy", n=rounds),
        row(isa, where, "decode, cycles per 16 symbols", middle, low, high, unit="min/max", n=len(cycles)),
        row(isa, where, "port bound of the search", bound, unit=unit),
        row(isa, where, "decode, times the port bound", *times, unit="x, min/max", n=len(cycles)),
    ]


def memory(isa: str, settings: Settings, *, name: str, order: str = TOKEN_ORDER) -> list[Row]:
    """What encoding and decoding take beyond their arrays, by the process' peak; run in a process of its own."""
    from benchmarks.entropy import latents, static_tables
    from benchmarks.entropy.latents import SIDE
    from benchmarks.entropy.plane_coder import PlaneCoder

    drawn = latents.make(name, settings.images(name))
    tables = static_tables.fit(drawn.frequencies, rows=SIDE, cols=SIDE)
    x = drawn.symbols
    symbols = np.ascontiguousarray(x.transpose(0, 2, 1) if order == TILE_ORDER else x)
    coder = PlaneCoder(tables, drawn.images, order=order)
    coder.plan(symbols)
    out = buffers.empty(symbols.shape, symbols.dtype, 0)
    out[...] = 1
    # Making the data has a peak of its own, which would hide ours: the kernel's counter is set back where it can be.
    reset = _reset_peak()
    before = _now() if reset else _peak()
    records = coder.encode(symbols)
    after_encoding = _peak()
    if reset:
        _reset_peak()
    between = _now() if reset else after_encoding
    coder.decode(records, out)
    after_decoding = _peak()
    if not np.array_equal(out, symbols):
        raise ValueError("decoding does not give back what was encoded")
    where = case(name, isa, order)
    coded = sum(map(len, records)) / 1e6
    unit = "MB" if reset else "MB above the peak of making the data"
    return [
        row(isa, where, "encode, peak memory beyond input", (after_encoding - before) / 1e6, unit=unit),
        row(
            isa,
            where,
            "decode, peak memory beyond records and output",
            (after_decoding - between) / 1e6,
            unit=unit,
        ),
        row(isa, where, "symbols in memory", symbols.nbytes / 1e6, unit="MB"),
        row(isa, where, "records in memory", coded, unit="MB"),
    ]


def _reset_peak() -> bool:
    """Linux forgets VmHWM when 5 is written there (proc(5))."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def _peak() -> int:
    """Bytes."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _now() -> int:
    """Resident bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
