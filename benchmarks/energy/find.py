"""The facts of this machine, whichever it is, and what stands between it and GPU benchmarks."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.energy.machine import Ask, Machine, ask, jetson, with_card
from benchmarks.results import hardware
from codec.errors import SwathpackError
from onboard.power.nvml import NvmlGpu


def this_machine(
    *, gpu: bool, root: Path = Path("/"), uuid: str | None = None, library: Any = None, ask: Ask = ask
) -> Machine:
    """What rows say of it; `gpu`: whether they were measured on one."""
    board = jetson(root, ask)
    if not gpu:
        return board or Machine(hardware())
    machine = board or _with_gpu(uuid, library)
    return replace(machine, software=(*machine.software, *_cuda()))


def _with_gpu(uuid: str | None, library: Any) -> Machine:
    try:
        return with_card(NvmlGpu(uuid, library))
    except (
        SwathpackError
    ):  # a driver that tells nothing of it: torch may, and rows of two cards must not meet
        if gpu_missing():
            return Machine(hardware())
        import torch

        return Machine(f"{hardware()}; {torch.cuda.get_device_name()}")


def _cuda() -> tuple[str, ...]:
    """The version that torch was built for; its own version says it in some wheels only."""
    if find_spec("torch") is None:
        return ()
    import torch

    return (f"CUDA {torch.version.cuda}",) if torch.version.cuda else ()


def cuda_uuid() -> str | None:
    """CUDA's first device as NVML calls it, whose own order is another; None where torch does not say."""
    if gpu_missing():
        return None
    import torch

    uuid = getattr(torch.cuda.get_device_properties(0), "uuid", None)
    return None if uuid is None else f"GPU-{uuid}"


def gpu_missing() -> str:
    """What stands between this machine and its GPU benchmarks; empty: nothing."""
    if find_spec("torch") is None:
        return "torch is not installed: pip install 'swathpack[gpu]'"
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA: install one for the GPU's driver"
    if not torch.cuda.is_available():
        return "no NVIDIA GPU with a working driver: see what nvidia-smi says"
    return ""


def kernels_missing() -> str:
    """What stands between a GPU and our kernels; empty: nothing."""
    if find_spec("triton") is None:
        return "triton is not installed, kernels and torch.compile are left out: pip install 'swathpack[gpu]'"
    return ""
