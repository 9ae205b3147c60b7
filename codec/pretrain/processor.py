"""What the processor multiplies natively, and how memory is given back."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def native_bf16() -> bool:
    """Whether bf16 is fast here: two to three times float32 where the instruction is there, a tenth of it where not."""
    with suppress(OSError):
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    return False


def keep_memory() -> None:
    """Have glibc keep freed arrays: a training step else pays more for fresh pages than for arithmetic on them."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
