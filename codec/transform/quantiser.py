"""The reference quantiser (bitstream §10.1) and its inverse (§8.1).

Reproduced bit for bit by every back end. numpy evaluates one ufunc at a time in float32, so nothing is contracted
into a fused multiply-add; keep every step its own call.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.types import FloatArray, SymbolArray

MAX_MAGNITUDE = 32767


def quantise(values: FloatArray, inv_step: FloatArray | float, theta: FloatArray | float) -> SymbolArray:
    """Coefficients → symbols: clamp(copysign(rint(max(|x| · inv_step − θ, 0)), x)), rint half to even.

    `inv_step` = 1/step rounded to float32 and the dead zone `theta` (0 … 0.5) broadcast against `values`. Infinite
    values clamp to ±32767. Raises InputError where a value is NaN.
    """
    x = np.asarray(values, dtype=np.float32)
    if np.isnan(x).any():
        where = tuple(int(i) for i in np.argwhere(np.isnan(x))[0])
        raise InputError(
            f"a latent is not a number, first at index {where}",
            fix="look for NaN pixels or weights before the encoder; mark unmeasured pixels invalid instead",
        )
    scaled = np.abs(x)
    with np.errstate(over="ignore"):
        scaled = np.multiply(scaled, np.asarray(inv_step, dtype=np.float32), dtype=np.float32)
    scaled = np.subtract(scaled, np.asarray(theta, dtype=np.float32), dtype=np.float32)
    np.maximum(scaled, np.float32(0), out=scaled)
    np.rint(scaled, out=scaled)
    np.minimum(scaled, np.float32(MAX_MAGNITUDE), out=scaled)
    return np.copysign(scaled, x).astype(np.int16)


def reconstruct(
    symbols: npt.NDArray[np.integer], step: FloatArray | float, r1: FloatArray | float, r2: FloatArray | float
) -> FloatArray:
    """Symbols → coefficients: ±step · r1 for magnitude 1, ±step · (magnitude + r2) above, 0 for 0; float32."""
    value = symbols.astype(np.float32)
    # Sums of signs in place of masks, which take several times as long: `one` is ±1 at magnitude 1, `more` above it.
    one, more = np.clip(value, -1, 1), np.clip(value, -2, 2)
    more -= one
    one -= more
    more *= np.asarray(r2, np.float32)
    one *= np.asarray(r1, np.float32) - np.float32(1)
    value += more
    value += one
    value *= np.asarray(step, np.float32)
    return value
