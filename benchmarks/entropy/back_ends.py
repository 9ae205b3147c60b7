"""Which back ends are measured: the processor's usual one against all rivals, the others against it."""

from __future__ import annotations

import os
import platform

PORTABLE = "scalar"
WIDE = "avx512"
_USUAL = {"x86_64": "avx2", "AMD64": "avx2", "aarch64": "neon", "arm64": "neon"}


def usual() -> str:
    """The back end that the rivals' numbers are asked of."""
    return _USUAL.get(platform.machine(), PORTABLE)


def measured() -> tuple[str, ...]:
    """Back ends that meet all rivals: the usual one, or those named in SWATHPACK_BENCH_ISAS."""
    named = os.environ.get("SWATHPACK_BENCH_ISAS", "")
    return tuple(name.strip() for name in named.split(",") if name.strip()) or (usual(),)


def every() -> tuple[str, ...]:
    """All that this processor's kind could have."""
    wide = (WIDE,) if usual() == "avx2" else ()
    return tuple(dict.fromkeys((*measured(), PORTABLE, *wide)))
