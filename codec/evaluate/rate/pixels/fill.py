"""Smooth values for pixels that were not measured, so that they cost a picture codec next to nothing.

Which pixels those are is known on the ground, for rivals and for our own codec alike: nothing is sent for it here.
"""

from __future__ import annotations

import numpy as np

from codec.types import BoolArray, FloatArray


def _padded_to_even(x: FloatArray) -> FloatArray:
    """C×H×W with zeros (weight nothing) at the end of odd axes."""
    return np.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)])


def _halved(x: FloatArray) -> FloatArray:
    """Sums of 2×2."""
    c, h, w = x.shape
    return np.asarray(x.reshape(c, h // 2, 2, w // 2, 2).sum((2, 4)), np.float32)


def filled(planes: FloatArray, validity: BoolArray) -> FloatArray:
    """C×H×W with invalid pixels (`validity` H×W) taken from the mean of the smallest 2ⁿ×2ⁿ cell around them that has
    a valid pixel (the pull half of push–pull interpolation); 0 where nothing is valid. Valid pixels are unchanged.
    """
    if validity.all():
        return planes
    known = np.where(validity, planes, np.float32(0)).astype(np.float32)
    if not validity.any():
        return known
    weight = validity[None].astype(np.float32)
    total_half, weight_half = (_halved(_padded_to_even(x)) for x in (known, weight))
    mean = np.asarray(total_half / np.maximum(weight_half, 1), np.float32)
    coarse = filled(mean, weight_half[0] > 0)
    fine = coarse.repeat(2, axis=1).repeat(2, axis=2)[:, : planes.shape[1], : planes.shape[2]]
    return np.where(validity, known, fine).astype(np.float32)
