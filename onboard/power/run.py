"""Energy of one run, where the machine tells it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from codec.errors import BackendUnavailable, SwathpackError
from onboard.power.find import power_source
from onboard.power.meter import Meter


@dataclass(slots=True)
class RunEnergy:
    """What a report says of a run's energy, once the run is over."""

    measured: dict[str, object] | None = None  # None: this machine has no source
    note: str = ""  # why a machine that has one gave no number


@contextmanager
def energy_of_run(*, gpu: bool, root: Path = Path("/")) -> Iterator[RunEnergy]:
    """Measures what runs inside: a module's rails, or with `gpu` the card by NVML. It never stops the run."""
    found = RunEnergy()
    try:
        source = power_source(root, gpu=gpu)
    except BackendUnavailable:
        yield found
        return
    except SwathpackError as error:
        found.note = f"energy is not known: {error}"
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
