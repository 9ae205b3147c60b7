"""The power source of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codec.errors import BackendUnavailable
from onboard.power.nvml import NvmlGpu
from onboard.power.rails import rail_power
from onboard.power.source import PowerSource


def power_source(
    root: Path = Path("/"), *, gpu: bool = True, uuid: str | None = None, library: Any = None
) -> PowerSource:
    """Rails where there are any, since they hold the whole module; else the GPU by NVML, for what runs on one (`gpu`).

    Raises BackendUnavailable, saying what both lack; and what the rails raise where they are there but wrong.
    """
    try:
        return rail_power(root)
    except BackendUnavailable as no_rail:
        if not gpu:
            raise
        try:
            card = NvmlGpu(uuid, library)
            if card.joules() is None:
                card.watts()
        except BackendUnavailable as no_gpu:
            raise BackendUnavailable(
                f"energy cannot be measured: {no_rail.what}; {no_gpu.what}",
                fix="run on a Jetson, or on a machine with an NVIDIA card and its driver",
            ) from no_gpu
        return card
