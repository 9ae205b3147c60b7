"""Decoding straight to numbers: what float16 and float32 cost above symbols alone; and encoding straight from float32.

The plane is of kind float with the dense set's tables and a step of 1, so that every symbol has a reconstruction point.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.entropy import buffers, latents, static_tables, timing
from benchmarks.entropy.archive import case
from benchmarks.entropy.latents import SIDE
from benchmarks.entropy.machine import row
from benchmarks.entropy.missing import Missing
from benchmarks.entropy.plane_coder import TILE_ORDER, TOKEN_ORDER, PlaneCoder, Symbols
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


def measure(isa: str, settings: Settings, *, name: str, dtype: str, order: str = TOKEN_ORDER) -> list[Row]:
    """CPU time of decoding to `dtype` over that of decoding to int8; with float32 also of encoding from it."""
    drawn = latents.make(name, settings.images(name))
    tables = float_tables(drawn.frequencies)
    coder = PlaneCoder(tables, drawn.images, order=order)
    x = drawn.symbols
    symbols = np.ascontiguousarray(x.transpose(0, 2, 1) if order == TILE_ORDER else x)
    records = coder.check(symbols, (0, 1))
    numbers = buffers.empty(symbols.shape, np.dtype(dtype), 0)
    try:
        coder.decode(records, numbers)
    except (SwathpackError, TypeError) as error:
        raise Missing(f"this core does not decode to {dtype} yet ({error})") from error
    want = quant_maps(tables, 0, 0).reconstruct(np.ascontiguousarray(x.transpose(0, 2, 1)).astype(np.int16))
    want = (want if order == TILE_ORDER else want.transpose(0, 2, 1)).astype(dtype)
    if not np.array_equal(numbers, want):
        raise ValueError(f"decoding to {dtype} does not give the reconstruction points")
    plain = buffers.empty(symbols.shape, np.int8, 0)
    works: dict[str, tuple[timing.Work, timing.Work, str]] = {
        "decode to": (
            lambda _: coder.decode(records, numbers),
            lambda _: coder.decode(records, plain),
            "decode to int8",
        )
    }
    if dtype == "float32":
        latents_in = _latents(symbols)
        if coder.encode(latents_in) != records:
            raise ValueError("encoding latents does not give the records of their symbols")
        works["encode from"] = (
            lambda _: coder.encode(latents_in),
            lambda _: coder.encode(symbols),
            "encode from int8",
        )
    rounds = settings.n_rounds(31)
    rows = []
    for what, (with_numbers, with_symbols, rival) in works.items():
        found = timing.paired(with_numbers, with_symbols, rounds=rounds, seconds=settings.seconds)
        extra = timing.median_interval((100 * (1 / found.ratios - 1)).tolist())
        metric = f"{what} {dtype}, extra time"
        rows.append(row(isa, case(name, isa, order), metric, *extra, unit="%, 95 %", rival=rival, n=rounds))
    return rows


def _latents(symbols: Symbols) -> npt.NDArray[np.float32]:
    """Numbers that the quantiser makes these symbols of: each anywhere within less than half a step."""
    within = np.random.default_rng(4).uniform(-0.49, 0.49, symbols.shape)
    return (symbols + within).astype(np.float32)
