"""One case of the performance suite: warm up, time a window with its energy, record rows. The fixture is `measure`."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.energy.find import cuda_uuid, gpu_missing, this_machine
from benchmarks.energy.machine import Machine
from benchmarks.latency import Timed, Window, idle_row, rows, warm_up
from benchmarks.results import Row, versions
from codec.errors import SwathpackError
from onboard.power.find import power_source
from onboard.power.meter import Meter
from onboard.power.source import PowerSource

_SETTLE_S, _IDLE_S = 2.0, 3.0  # clocks fall back after what ran before; then idle power is measured
_ON_GPU = ("swathpack", "numpy", "torch", "triton")


@dataclass
class Conditions:
    """Of all cases of one session on one kind of device."""

    gpu: bool
    record: Callable[[Row], None]
    window: Window = field(default_factory=Window.asked)
    power: PowerSource | None = None

    def __post_init__(self) -> None:
        """Find what energy is read from, and measure idle power; without any, say why once."""
        try:
            self.power = power_source(gpu=self.gpu, uuid=self._uuid())
            time.sleep(_SETTLE_S)
            with Meter(self.power) as meter:
                time.sleep(_IDLE_S)
            self.record(idle_row(meter.consumed, self.machine(), self.device()))
        except SwathpackError as error:
            self.power = None
            warnings.warn(f"rows of energy will be absent: {error}", stacklevel=1)

    def machine(self) -> Machine:
        """As it is now: clocks move."""
        return this_machine(gpu=self.gpu, uuid=self._uuid())

    def device(self) -> str:
        if not self.gpu:
            return "cpu"
        if gpu_missing():  # TensorRT runs without torch
            from onboard.cuda_memory import CudaMemory

            return CudaMemory().name
        import torch

        return str(torch.cuda.get_device_name())

    def _uuid(self) -> str | None:
        return cuda_uuid() if self.gpu else None

    def place(self, packages: Sequence[str] = _ON_GPU) -> dict[str, str]:
        """Fields of a row: where it was measured, under which clocks, with what."""
        machine = self.machine()
        return {
            "hardware": machine.hardware,
            "isa_or_device": ", ".join(filter(None, (self.device(), machine.state))),
            "versions": "; ".join((versions(packages), *machine.software)),
        }


def placed(row: Row) -> Row:
    """A row that names a GPU and no machine gets it, with power mode, clocks, driver: rows of two modes stay apart."""
    if row.hardware or not row.isa_or_device or gpu_missing():
        return row
    import torch

    if row.isa_or_device != torch.cuda.get_device_name():
        return row
    machine = this_machine(gpu=True, uuid=cuda_uuid())
    return replace(
        row, hardware=machine.hardware, isa_or_device=", ".join(filter(None, (row.isa_or_device, machine.state))),
        versions=row.versions or "; ".join((versions(_ON_GPU), *machine.software)),
    )  # fmt: skip


class Measure:
    """Times a call under the session's conditions."""

    def __init__(self, benchmark: Any, record: Callable[[Row], None], conditions: Conditions) -> None:
        self.benchmark, self.record, self.conditions = benchmark, record, conditions

    def __call__(
        self,
        case: str,
        run: Callable[[], object],
        batch: int,
        *,
        threads: int | None = None,
        packages: Sequence[str] = ("swathpack", "numpy"),
    ) -> Timed:
        """`run` handles `batch` images and returns when they are done, on a GPU too. Rows are recorded."""
        at = self.conditions
        calls = warm_up(run, at.window)
        with nullcontext() if at.power is None else Meter(at.power) as meter:
            self.benchmark.pedantic(run, rounds=calls, iterations=1, warmup_rounds=0)
        machine = at.machine()  # before the clocks fall back
        consumed = None
        if meter is not None:
            try:
                consumed = meter.consumed
            except SwathpackError as error:
                warnings.warn(f"{case}: its row of energy is absent: {error}", stacklevel=2)
        timed = Timed(batch, self.benchmark.stats.stats.data, consumed)
        for row in rows(
            case, timed, at.window, machine, device=at.device(),
            threads=threads or os.cpu_count(), packages=packages,
        ):  # fmt: skip
            self.record(row)
        return timed
