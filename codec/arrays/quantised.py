"""What the integers of public int8 embedding products mean.

AlphaEarth (Brown et al., "AlphaEarth Foundations", 2025, arXiv 2507.22291): 64 × int8 per pixel, companded on the unit
sphere, value = sign(q) · (q / 127.5)², −128 masked. TESSERA (Feng et al., 2025, arXiv 2506.20380): 128 × int8 and one
float32 scale per pixel, value = q · scale.
"""

from __future__ import annotations

import numpy as np

from codec.bitstream.array_shape import Quantisation
from codec.errors import InputError
from codec.types import FloatArray

_ALPHAEARTH_UNIT = 127.5
ALPHAEARTH_NODATA = -128


def dequantise(q: np.ndarray, quantisation: Quantisation, scale: np.ndarray | None = None) -> FloatArray:
    """Integers …×C → float32; `scale` (…) only for TESSERA. AlphaEarth's −128 becomes NaN.

    Raises InputError for TESSERA without scales of the array's tokens.
    """
    if quantisation == Quantisation.ALPHAEARTH:
        x = q.astype(np.float32) / np.float32(_ALPHAEARTH_UNIT)
        x = np.sign(x) * np.square(x)
        x[q == ALPHAEARTH_NODATA] = np.nan
        return x
    x = q.astype(np.float32)
    if quantisation == Quantisation.TESSERA:
        if scale is None or scale.shape != q.shape[:-1]:
            raise InputError(
                "TESSERA integers need one scale per token", expected=q.shape[:-1],
                found=None if scale is None else scale.shape, fix="give the product's scales",
            )  # fmt: skip
        with np.errstate(invalid="ignore"):  # 0 · inf: scales are kept whatever they are
            x *= scale[..., None].astype(np.float32)
    return x


def bytes_of(values: np.ndarray) -> np.ndarray:
    """int16 …×C → …×2C: the upper bytes (−128 … 127) of all channels, then the lower ones (0 … 255)."""
    return np.concatenate([values >> 8, values & 255], axis=-1)


def from_bytes(parts: np.ndarray) -> np.ndarray:
    """The inverse of `bytes_of`."""
    upper, lower = np.split(parts, 2, axis=-1)
    return upper * np.int16(256) + lower


def scale_channels(scale: np.ndarray) -> np.ndarray:
    """float32 scales … → the three integers …×3 (int16) that plane 1 holds: the upper half and two bytes."""
    bits = np.ascontiguousarray(scale, dtype="<f4").view("<u4")
    upper = (bits >> 16).astype(np.uint16).view(np.int16)
    return np.stack([upper, (bits >> 8 & 255).astype(np.int16), (bits & 255).astype(np.int16)], axis=-1)


def scale_from(channels: np.ndarray) -> FloatArray:
    """The inverse of `scale_channels`, to the bit."""
    upper = channels[..., 0].astype(np.int16).view(np.uint16).astype(np.uint32)
    middle, lower = (channels[..., k].astype(np.uint32) for k in (1, 2))
    return (upper << 16 | middle << 8 | lower).view(np.float32)
