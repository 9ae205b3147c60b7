"""The GPU's entropy coder: records of archives and of the link, beside the compiled core on this machine's processor.

    python -m pytest benchmarks/test_gpu_rans.py -m gpu --benchmark-only

Kernels alone, what they read and write on the device; every symbol is compared before anything is timed. Rows:
`benchmarks/results/kernels.csv`; without a GPU they stay not measured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pytest

from benchmarks.results import Row
from codec.bitstream import core
from codec.bitstream.record import pack_fields
from codec.transform.tables import Level, PlaneMaps, Tables
from codec.types import PlaneKind, RecordHeader, RecordKind

SUITE = "kernels"
CORE = "compiled core, all threads"
SIDE, SCALES = 8, 16  # tokens of a tile; tables, from nearly always 0 to a spread of 6


@dataclass(frozen=True)
class Load:
    """Records of equal tables, symbols drawn from them."""

    records: int
    tiles: int  # of a record
    channels: int
    log2_lanes: int

    @cached_property
    def tables(self) -> core.TableSet:
        scales = np.geomspace(0.15, 6, SCALES)
        levels = []
        for scale in scales:
            tail = np.exp(-(np.arange(1, 16) - 0.5) / scale)  # of a magnitude that is not smaller
            edges = np.unique(np.clip(np.rint(65536 * (1 - tail)), 1, 65535).astype(int))
            levels.append(Level(tuple(edges.tolist()), 1.0, 0.0))
        bands = np.minimum(np.arange(SIDE * SIDE), 7).astype(np.uint8)
        classes = (
            np.add.outer(np.arange(8)[::-1], np.arange(self.channels)[::-1]) * SCALES // (8 + self.channels)
        )
        layers = np.zeros_like(classes, np.uint8)
        maps = PlaneMaps(
            SIDE, SIDE, self.channels, PlaneKind.FLOAT, (0,), bands, layers, classes.astype(np.uint8)
        )
        return core.TableSet(Tables(np.ones(1, np.float32), tuple(levels), (maps,)).encode())

    @property
    def n_tiles(self) -> int:
        return self.records * self.tiles

    @property
    def n_symbols(self) -> int:
        return self.n_tiles * self.channels * SIDE * SIDE

    @cached_property
    def symbols(self) -> np.ndarray[Any, np.dtype[np.int16]]:
        """N×C×F, each drawn from its own table."""
        rng = np.random.default_rng(self.records)
        layout = core.plane_layout(self.tables, 0)
        found = np.empty((self.n_tiles, self.channels, SIDE * SIDE), np.int16)
        levels = self.tables.levels(0, 0)[layout["bands"]].T  # C×F
        for level in range(SCALES):
            channel, token = np.nonzero(levels == level)
            slots = rng.integers(0, 65536, (self.n_tiles, len(channel)), np.uint16)
            k = np.searchsorted(self.tables.thresholds(level), slots, side="right")
            k = np.minimum(k, len(self.tables.thresholds(level)) - 1)
            found[:, channel, token] = k * rng.choice(np.array([-1, 1], np.int8), k.shape)
        return found

    @cached_property
    def headers(self) -> np.ndarray[Any, np.dtype[np.uint64]]:
        return np.array(
            [
                pack_fields(
                    RecordHeader(RecordKind.COEFFICIENTS, 0, 0, self.log2_lanes, 0, first, self.tiles, 0, 0)
                )
                for first in range(0, self.n_tiles, self.tiles)
            ],
            np.uint64,
        )

    @cached_property
    def masks(self) -> tuple[Any, Any, Any]:
        none = np.zeros((self.n_tiles, SIDE * SIDE), bool)
        return np.zeros(self.n_tiles, bool), none, none


LOADS = {
    "archive, 32 lanes": Load(4096, 16, 32, 5),
    "archive, 64 lanes": Load(4096, 8, 64, 6),
    "link, one lane": Load(65536, 1, 16, 0),
}


def core_seconds(load: Load) -> tuple[float, float, list[bytes]]:
    """Encoding and decoding by the core on every thread, best of three, and its records."""
    threads = os.cpu_count() or 1
    out, mask = np.zeros_like(load.symbols), np.ones((load.n_tiles, SIDE * SIDE), bool)
    encode, decode = [], []
    for _ in range(3):
        start = time.perf_counter()
        records = core.encode_records(
            load.tables, load.headers, 0, load.symbols, *load.masks, threads=threads
        )
        encode.append(time.perf_counter() - start)
        layers = np.zeros(load.n_tiles, np.uint16)
        start = time.perf_counter()
        outcomes = core.decode_records(
            load.tables, records, 0, load.n_tiles, load.masks[1], out, mask, layers, 0, threads=threads
        )
        decode.append(time.perf_counter() - start)
        assert not any(outcomes)
    assert np.array_equal(out, load.symbols)
    return min(encode), min(decode), records


@pytest.mark.gpu
@pytest.mark.parametrize("name", LOADS)
def test_rans(benchmark: Any, record: Callable[[Row], None], cuda: str, name: str) -> None:
    torch = pytest.importorskip("torch")
    triton = pytest.importorskip("triton")
    from kernels.rans.encode import Task, encode_on
    from kernels.rans.opened import open_records
    from kernels.rans.tables import DeviceTables, PlanePlans
    from kernels.rans_lanes import launch as lanes_launch
    from kernels.rans_one_lane import launch as one_lane_launch

    load = LOADS[name]
    launch: Any = lanes_launch if load.log2_lanes else one_lane_launch
    core_encode, core_decode, records = core_seconds(load)
    symbols = torch.from_numpy(load.symbols).to(cuda).movedim(1, 2).contiguous()
    assert encode_on(load.tables, load.headers, 0, symbols, *load.masks) == dict(enumerate(records))

    plans, tables = PlanePlans(load.tables, 0), DeviceTables.of(load.tables, symbols.device)
    opened = open_records(plans, records, 0, load.n_tiles, 0)
    assert len(opened) == load.records
    found = torch.zeros_like(symbols)
    decode, status = launch.prepare_decode(tables, plans, opened, found)
    decode()
    assert not status.any()
    assert torch.equal(found, symbols)
    tasks = [Task(one.number, one.lanes, one.live, b"", one.plan) for one in opened]
    encode, _ = launch.prepare_encode(tables, plans, tasks, symbols)
    alone, _ = launch.prepare_decode(tables, plans, opened[:1], found)

    times = {
        what: triton.testing.do_bench(call, warmup=100, rep=500, quantiles=(0.5, 0.2, 0.8))
        for what, call in (("decode", decode), ("encode", encode), ("one", alone))
    }
    benchmark.pedantic(lambda: (decode(), torch.cuda.synchronize()), rounds=5, warmup_rounds=1)
    case = f"rANS/{name}"
    row = partial(Row, SUITE, case, isa_or_device=torch.cuda.get_device_name())
    for what, theirs in (("decode", core_decode), ("encode", core_encode)):
        rate, low, high = (load.n_symbols / ms / 1e6 for ms in (times[what][i] for i in (0, 2, 1)))
        record(row(f"{what}, symbols", rate, low, high, "G/s [20 to 80 % of calls]", n=load.records))
        record(row(f"{what}, times as fast", 1e3 * theirs / times[what][0], unit="x", rival=CORE))
    middle, low, high = (1e3 * ms for ms in times["one"])
    record(row("decode, latency of one record", middle, low, high, "µs [20 to 80 % of calls]"))
