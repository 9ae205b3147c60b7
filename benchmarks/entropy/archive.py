"""Archive profile: dense and sparse latents, records of about 60 KiB, ours against one rival at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.entropy import buffers, ideal, latents, static_tables, timing
from benchmarks.entropy.latents import SIDE, LatentSet
from benchmarks.entropy.machine import row
from benchmarks.entropy.peers import PEERS, check
from benchmarks.entropy.plane_coder import OVERHEAD, TILE_ORDER, TOKEN_ORDER, PlaneCoder, Symbols
from benchmarks.entropy.settings import Settings
from benchmarks.results import Row

GIGA = 1e9
# An image is four tiles: a record takes whole tiles, and one of 34 KB would leave half of each record empty.
ROWS = COLS = SIDE // 2


class Ours:
    """A set of latents with its coder, planned, checked, and laid out at every alignment."""

    def __init__(self, found: LatentSet, order: str = TOKEN_ORDER, threads: int = 1) -> None:
        self.latents = found
        self.tables = static_tables.fit(found.frequencies, rows=ROWS, cols=COLS)
        self.tiles = found.symbols.reshape(-1, ROWS * COLS, found.symbols.shape[2])
        self.coder = PlaneCoder(self.tables, len(self.tiles), order=order, threads=threads)
        self.symbols = self._in(order)
        self.records = self.coder.check(self.symbols)
        self._inputs = buffers.copies(self.symbols)
        self._outputs = [
            buffers.empty(self.symbols.shape, self.symbols.dtype, offset) for offset in buffers.OFFSETS
        ]
        self._moved = [[buffers.moved(r, offset) for r in self.records] for offset in buffers.OFFSETS]

    def _in(self, order: str) -> Symbols:
        return np.ascontiguousarray(self.tiles.transpose(0, 2, 1) if order == TILE_ORDER else self.tiles)

    def encode(self, number: int) -> object:
        return self.coder.encode(self._inputs[number % len(self._inputs)])

    def plan_and_encode(self, number: int) -> object:
        at = self._inputs[number % len(self._inputs)]
        self.coder.plan(at)
        return self.coder.encode(at)

    def decode(self, number: int) -> object:
        at = number % len(self._outputs)
        return self.coder.decode(self._moved[at], self._outputs[at])

    @property
    def n_bytes(self) -> int:
        """Complete records, headers and CRCs included."""
        return sum(map(len, self.records))

    @property
    def over_cross_entropy(self) -> float:
        """Bytes as sent over the exact cross-entropy of the generator."""
        return 8 * self.n_bytes / self.latents.cross_entropy_bits()


def ours(settings: Settings, name: str, order: str = TOKEN_ORDER) -> Ours:
    return Ours(latents.make(name, settings.images(name)), order)


def case(name: str, isa: str, order: str = TOKEN_ORDER) -> str:
    """How rows call it."""
    return f"archive, {name}, {isa}, {order} order"


def against(isa: str, settings: Settings, *, name: str, peer: str, order: str = TOKEN_ORDER) -> list[Row]:
    """Speed and bytes against one rival."""
    rival = PEERS[peer]()  # first: where it is missing, nothing else is worth doing
    own = ours(settings, name, order)
    theirs = latents.make(name, rival.images)
    rival.prepare(theirs)
    size = check(rival, theirs)
    coded = rival.encode()
    rounds = settings.n_rounds(rival.rounds)
    rows = []
    for metric, mine, other in (
        ("decode", own.decode, lambda _: rival.decode(coded)),
        ("encode", own.encode, lambda _: rival.encode()),
    ):
        found = timing.paired(
            mine,
            other,
            units=(own.symbols.size, theirs.symbols.size),
            rounds=rounds,
            seconds=settings.seconds,
        )
        common: dict[str, Any] = {"rival": rival.name, "n": rounds, "software": [rival.version()]}
        rows.append(
            row(
                isa,
                case(name, isa, order),
                f"{metric}, times as fast",
                *found.ratio(),
                unit="x, 95 %",
                **common,
            )
        )
        speed = [v / 1e6 for v in timing.rate(found.theirs)]
        rows.append(
            row(
                isa,
                case(name, isa, order),
                f"{metric} of the rival",
                *speed,
                unit="Msym/s, min/max",
                **common,
            )
        )
    # Each against the ideal of its own images: a slow rival is measured on fewer of them.
    over = 8 * size / theirs.cross_entropy_bits()
    about: dict[str, Any] = {"rival": rival.name, "software": [rival.version()]}
    rows.append(
        row(isa, case(name, isa, order), "bytes, ratio", own.over_cross_entropy / over, unit="x", **about)
    )
    rows.append(
        row(
            isa,
            case(name, isa, order),
            "bytes of the rival over cross-entropy",
            100 * (over - 1),
            unit="%",
            **about,
        )
    )
    return rows


def alone(isa: str, settings: Settings, *, name: str, order: str = TOKEN_ORDER) -> list[Row]:
    """Ours: speeds, the spread over alignments, and where the bytes go."""
    own = ours(settings, name, order)
    where = case(name, isa, order)
    rounds = max(len(buffers.OFFSETS), settings.n_rounds(4 * len(buffers.OFFSETS)))
    rows = []
    for metric, work in (
        ("decode", own.decode),
        ("encode", own.encode),
        ("encode, with planning", own.plan_and_encode),
    ):
        seconds = timing.alone(work, unit=own.symbols.size, rounds=rounds, seconds=settings.seconds)
        speed = [v / GIGA for v in timing.rate(seconds)]
        rows.append(row(isa, where, metric, *speed, unit="Gsym/s, min/max", n=rounds))
        per_offset = [
            float(np.median(seconds[i :: len(buffers.OFFSETS)])) for i in range(len(buffers.OFFSETS))
        ]
        spread = max(per_offset) / min(per_offset)
        rows.append(row(isa, where, f"{metric}, slowest alignment over fastest", spread, unit="x", n=rounds))
    return rows + _bytes(isa, where, own)


def _bytes(isa: str, where: str, own: Ours) -> list[Row]:
    exact = own.latents.cross_entropy_bits()
    channels_first = own.tiles.transpose(0, 2, 1)
    static = ideal.static_bits(own.tables, channels_first)
    apart = OVERHEAD * len(own.records)
    lanes = own.coder.lanes()
    return [
        row(isa, where, "bytes over cross-entropy", 100 * (own.over_cross_entropy - 1), unit="%"),
        row(isa, where, "static tables over cross-entropy", 100 * (static / exact - 1), unit="%"),
        row(
            isa, where, "payload over static tables", 100 * (8 * (own.n_bytes - apart) / static - 1), unit="%"
        ),
        row(isa, where, "header and CRC of all bytes", 100 * apart / own.n_bytes, unit="%"),
        row(
            isa,
            where,
            "bytes of a record",
            own.n_bytes / len(own.records),
            unit="B, mean",
            n=len(own.records),
        ),
        row(isa, where, "lanes of a record", float(np.mean(lanes)), unit="mean", n=len(lanes)),
        row(isa, where, "entropy", exact / own.symbols.size, unit="bit/symbol"),
        row(isa, where, "thresholds per symbol", ideal.mean_thresholds(own.tables)),
    ]
