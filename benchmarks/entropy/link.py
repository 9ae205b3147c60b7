"""Link profile: thousands of small one-lane records in one call, and the smallest records against compressai.ans."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.entropy import buffers, ideal, latents, static_tables, timing
from benchmarks.entropy.archive import GIGA
from benchmarks.entropy.machine import row
from benchmarks.entropy.peer_compressai import CompressAIAns
from benchmarks.entropy.peers import check
from benchmarks.entropy.plane_coder import LINK_TARGET, OVERHEAD, TILE_ORDER, PlaneCoder
from benchmarks.entropy.settings import Settings
from benchmarks.results import Row

ROWS, COLS = 7, 14  # 98 tokens × 768 channels at 0.1 bit: about 940 bytes, one tile a record
_DISTINCT = 256  # tiles that are drawn; more records repeat them, which no predictor can remember


def many(isa: str, settings: Settings, *, order: str = TILE_ORDER) -> list[Row]:
    """4,096 records of about 960 bytes at 0.1 bit per symbol, one call each way."""
    n = settings.link_records
    drawn = latents.make("sparse", min(n, _DISTINCT), tokens=ROWS * COLS)
    tables = static_tables.fit(drawn.frequencies, rows=ROWS, cols=COLS)
    few = np.ascontiguousarray(drawn.symbols.transpose(0, 2, 1))
    given = few if order == TILE_ORDER else drawn.symbols
    symbols = np.tile(given, (-(-n // len(few)), 1, 1))[:n]
    coder = PlaneCoder(tables, n, order=order, target_bytes=LINK_TARGET)
    # A tile that is larger than the target by chance still makes a record of its own.
    coder.plan_equal(symbols, 1)
    if (coder.lanes() != 1).any():
        raise ValueError("a link record has more than one lane")
    records = coder.check(symbols, (0, 1))
    out = buffers.empty(symbols.shape, np.int8, 0)
    where = f"link, {n} records of about 960 B, {isa}, {order} order"
    rounds = settings.n_rounds(7)
    decoding = timing.alone(
        lambda _: coder.decode(records, out), unit=symbols.size, rounds=rounds, seconds=settings.seconds
    )
    encoding = timing.alone(
        lambda _: coder.encode(symbols), unit=symbols.size, rounds=rounds, seconds=settings.seconds
    )
    payload = sum(map(len, records)) - OVERHEAD * n
    static = ideal.static_bits(tables, few) / few.size * symbols.size / 8
    return [
        row(
            isa, where, "decode", *(v / GIGA for v in timing.rate(decoding)), unit="Gsym/s, min/max", n=rounds
        ),
        row(
            isa, where, "encode", *(v / GIGA for v in timing.rate(encoding)), unit="Gsym/s, min/max", n=rounds
        ),
        row(isa, where, "record", payload / n + OVERHEAD, unit="B, mean", n=n),
        row(isa, where, "header and CRC of a record", OVERHEAD, unit="B", n=n),
        row(isa, where, "payload over static tables", 100 * (payload / static - 1), unit="%", n=n),
    ]


def tiny(isa: str, settings: Settings, *, shared: bool = False) -> list[Row]:
    """Records of 768 symbols at 0.1 bit: bytes, and speed against compressai.ans with one string a record."""
    rival = CompressAIAns(shared=shared)
    n = settings.tiny_records
    drawn = latents.make("sparse", n, tokens=1)
    tables = static_tables.fit(drawn.frequencies, rows=1, cols=1)
    symbols = np.ascontiguousarray(drawn.symbols.transpose(0, 2, 1))
    coder = PlaneCoder(tables, n)
    coder.plan_equal(symbols, 1)
    records = coder.check(symbols)
    out = buffers.empty(symbols.shape, np.int8, 0)
    rival.prepare(drawn)
    size = check(rival, drawn)
    coded = rival.encode()
    where = f"link, records of 768 symbols, {isa}"
    rounds = settings.n_rounds(rival.rounds)
    rows = []
    for metric, mine, other in (
        ("decode", lambda _: coder.decode(records, out), lambda _: rival.decode(coded)),
        ("encode", lambda _: coder.encode(symbols), lambda _: rival.encode()),
    ):
        found = timing.paired(mine, other, rounds=rounds, seconds=settings.seconds)
        common: dict[str, Any] = {"rival": rival.name, "n": rounds, "software": [rival.version()]}
        rows.append(row(isa, where, f"{metric}, times as fast", *found.ratio(), unit="x, 95 %", **common))
        rows.append(row(isa, where, f"{metric}, a record", _time(found.ours, n), unit="us, median", n=rounds))
        rows.append(
            row(
                isa,
                where,
                f"{metric} of the rival, a record",
                _time(found.theirs, n),
                unit="us, median",
                **common,
            )
        )
    return [
        *rows,
        row(isa, where, "payload", sum(map(len, records)) / n - OVERHEAD, unit="B, mean", n=n),
        row(isa, where, "payload of the rival", size / n, unit="B, mean", rival=rival.name, n=n),
        row(isa, where, "cross-entropy", drawn.cross_entropy_bits() / 8 / n, unit="B, mean", n=n),
        row(
            isa,
            where,
            "cross-entropy of static tables",
            ideal.static_bits(tables, symbols) / 8 / n,
            unit="B, mean",
            n=n,
        ),
    ]


def _time(seconds: tuple[float, ...], n: int) -> float:
    return 1e6 * float(np.median(seconds)) / n
