"""Energy of one run, where the machine tells it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codec.errors import BackendUnavailable, SwathpackError
from onboard.power.find import power_source
from onboard.power.meter import Meter
from onboard.power.nvml import NvmlGpu
from onboard.power.source import PowerSource


@dataclass(slots=True)
class RunEnergy:
    """What a report says of a run's energy, once the run is over."""

    measured: dict[str, object] | None = None  # None: this machine has no source
    note: str = ""  # why a machine that has one gave no number


@contextmanager
def energy_of_run(*, gpu: bool, root: Path = Path("/"), library: Any = None) -> Iterator[RunEnergy]:
    """Measures what runs inside: a module's rails, or with `gpu` the host's only card by NVML. It never stops the run."""
    found = RunEnergy()
    source = _source(found, gpu, root, library)
    if source is None:
        yield found
        return
    meter = Meter(source)
    with meter:
        yield found
    try:
        said = meter.consumed
    except SwathpackError as error:
        found.note = f"energy is not known: {error}"
    else:
        found.measured = {"joules": said.joules, "seconds": said.seconds, "source": said.source}


def _source(found: RunEnergy, gpu: bool, root: Path, library: Any) -> PowerSource | None:
    """What can be believed of this machine; else None, with the reason noted where there is something."""
    try:
        source = power_source(root, gpu=gpu, library=library)
        cards = source.cards() if isinstance(source, NvmlGpu) else 1
    except BackendUnavailable:
        return None
    except SwathpackError as error:
        found.note = f"energy is not known: {error}"
        return None
    if cards > 1:
        found.note = f"energy is not known: {cards} cards are here, and NVML does not say which of them ran"
        return None
    return source
