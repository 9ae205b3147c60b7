"""Decoding straight to numbers: what float16 and float32 cost above symbols alone.

The plane is of kind float with the dense set's tables and a step of 1, so that every symbol has a reconstruction point.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.entropy import buffers, latents, static_tables, timing
from benchmarks.entropy.archive import case
from benchmarks.entropy.latents import SIDE
from benchmarks.entropy.machine import row
from benchmarks.entropy.missing import Missing
from benchmarks.entropy.plane_coder import CHANNEL_ORDER, PlaneCoder
from benchmarks.entropy.settings import Settings
from benchmarks.results import Row
from codec.errors import SwathpackError
from codec.transform.maps import quant_maps
from codec.transform.tables import Tables
from codec.types import PlaneKind

_POINTS = (0.94, -0.05)  # r1 and r2 of every table: numbers that no integer output could hold


def float_tables(frequencies: latents.Int64Array) -> Tables:
    """The set's tables for a plane of numbers."""
    tables = static_tables.fit(frequencies, rows=SIDE, cols=SIDE, kind=PlaneKind.FLOAT)
    levels = tuple(replace(level, r1=_POINTS[0], r2=_POINTS[1]) for level in tables.levels)
    return replace(tables, levels=levels)


def measure(isa: str, settings: Settings, *, name: str, dtype: str, order: str = CHANNEL_ORDER) -> list[Row]:
    """CPU time of decoding to `dtype` over that of decoding to int8."""
    drawn = latents.make(name, settings.images(name))
    tables = float_tables(drawn.frequencies)
    coder = PlaneCoder(tables, drawn.images, order=order)
    x = drawn.symbols
    symbols = np.ascontiguousarray(x.transpose(0, 2, 1) if order == CHANNEL_ORDER else x)
    records = coder.check(symbols, (0, 1))
    numbers = buffers.empty(symbols.shape, np.dtype(dtype), 0)
    try:
        coder.decode(records, numbers)
    except (SwathpackError, TypeError) as error:
        raise Missing(f"this core does not decode to {dtype} yet ({error})") from error
    want = quant_maps(tables, 0, 0).reconstruct(np.ascontiguousarray(x.transpose(0, 2, 1)).astype(np.int16))
    want = (want if order == CHANNEL_ORDER else want.transpose(0, 2, 1)).astype(dtype)
    if not np.array_equal(numbers, want):
        raise ValueError(f"decoding to {dtype} does not give the reconstruction points")
    plain = buffers.empty(symbols.shape, np.int8, 0)
    rounds = settings.n_rounds(31)
    found = timing.paired(
        lambda _: coder.decode(records, numbers), lambda _: coder.decode(records, plain), rounds=rounds,
        seconds=settings.seconds,
    )  # fmt: skip
    extra = 100 * (1 / found.ratios - 1)
    middle, low, high = timing.median_interval(extra.tolist())
    return [
        row(
            isa, case(name, isa, order), f"decode to {dtype}, extra time", middle, low, high, unit="%, 95 %",
            rival="decode to int8", n=rounds,
        )
    ]  # fmt: skip
