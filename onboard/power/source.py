"""What power is read from."""

from __future__ import annotations

from typing import Protocol


class PowerSource(Protocol):
    """One or more rails, or a GPU."""

    @property
    def name(self) -> str:
        """As a row names it: which rail, which chip."""
        ...

    def watts(self) -> float:
        """Power now. Raises InputError or Corrupt for what cannot be read, BackendUnavailable for what is not told."""
        ...

    def joules(self) -> float | None:
        """A counter that only grows; None where there is none, and power has to be sampled."""
        ...
