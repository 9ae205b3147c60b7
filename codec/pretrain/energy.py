"""Energy of a run: measured where the machine says it, else a stated model, and never the one sold as the other."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

# The model where nothing can be read: power of one busy core with its share of memory and mains losses.
WATTS_PER_CORE = 10.0
# World average of electricity, kg CO₂e per kWh: the figure that GFM (arXiv 2302.04476) uses.
KG_PER_KWH = 0.475
RAPL = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True)
class Energy:
    """What a run has cost so far."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    measured_j: float = 0.0  # processor packages and GPU, whole machine; 0 where nothing could be read
    source: str = "model"

    @property
    def kwh(self) -> float:
        joules = self.measured_j if self.measured_j else self.cpu_s * WATTS_PER_CORE
        return joules / 3.6e6

    def report(self) -> dict[str, float | str]:
        """JSON-able, with the assumptions beside the numbers."""
        said = "measured: " + self.source if self.measured_j else f"model: {WATTS_PER_CORE:g} W per busy core"
        return {
            **asdict(self),
            "kwh": self.kwh,
            "kg_co2e": self.kwh * KG_PER_KWH,
            "kg_co2e_per_kwh": KG_PER_KWH,
            "basis": said,
        }


class Meter:
    """Adds what passes between `Meter(...)` and `read()` to what an earlier piece of the run has cost."""

    def __init__(self, before: Energy | None = None, gpu: int | None = None) -> None:
        self.before, self.gpu = before or Energy(), gpu
        self.wall, self.cpu = time.monotonic(), time.process_time()
        self.joules, self.source = _joules(gpu)

    def read(self) -> Energy:
        joules, _ = _joules(self.gpu)
        # A counter that wrapped, or vanished, gives no measurement for the piece.
        passed = max(0.0, joules - self.joules)
        return Energy(
            self.before.wall_s + time.monotonic() - self.wall,
            self.before.cpu_s + time.process_time() - self.cpu,
            self.before.measured_j + passed,
            self.source,
        )


def _joules(gpu: int | None) -> tuple[float, str]:
    """Counters of the machine in joules, and which they are."""
    total, sources = 0.0, []
    for counter in sorted(RAPL.glob("intel-rapl:?/energy_uj")):
        try:
            total += int(counter.read_text()) * 1e-6
        except (OSError, ValueError):
            continue
        sources.append("RAPL")
    if gpu is not None:
        try:
            import pynvml

            pynvml.nvmlInit()
            total += pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(gpu)) * 1e-3
            sources.append("NVML")
        except Exception:
            pass
    return total, " + ".join(dict.fromkeys(sources)) or "model"
