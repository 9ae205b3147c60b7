"""Whether a kernel can run, and the kernel as Triton runs it; `triton` is imported here and nowhere before it is needed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor


@cache
def jitted(function: Callable[..., None]) -> Any:
    """The kernel to launch: compiled for the GPU, or, in a process with TRITON_INTERPRET=1, interpreted on any tensor."""
    import triton

    return triton.jit(function)


def power_of_two(n: int) -> int:
    """The smallest that is not less."""
    return 1 << (n - 1).bit_length()


@cache
def has_triton() -> bool:
    """Whether the package is there; its absence is said once."""
    try:
        import triton  # noqa: F401
    except ImportError:
        warnings.warn("triton is not installed: GPU kernels run as their PyTorch twins", stacklevel=3)
        return False
    return True


@cache
def said_once(what: str) -> None:
    """A warning, the first time that it is true."""
    warnings.warn(what, stacklevel=3)


def on_gpu(first: Tensor, obstacle: str) -> bool:
    """Whether the kernel runs for these tensors; `obstacle`: what of them it cannot do, which is said once."""
    if first.device.type != "cuda":
        return False
    if not obstacle and (torch.version.hip or torch.cuda.get_device_capability(first.device) < (8, 0)):
        obstacle = "kernels are for NVIDIA GPUs of compute capability 8.0 and later"
    if obstacle:
        said_once(f"{obstacle}: its PyTorch twin runs instead")
        return False
    return has_triton()
