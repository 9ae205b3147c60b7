"""From tokens to one vector per tile."""

from __future__ import annotations

import numpy as np

from codec.types import BoolArray, FloatArray


def mean_and_spread(tokens: FloatArray, validity: BoolArray | None = None) -> FloatArray:
    """Mean ‖ standard deviation over the valid tokens: N×h×w×C → N×2C. A tile without valid tokens gives
    zeros.
    """
    flat = tokens.reshape(len(tokens), -1, tokens.shape[-1]).astype(np.float32)
    if validity is None:
        weight = np.ones(flat.shape[:2], np.float32)
    else:
        weight = validity.reshape(len(tokens), -1).astype(np.float32)
    weight = (weight / np.maximum(weight.sum(1, keepdims=True), 1.0))[:, :, None]
    mean = (flat * weight).sum(1)
    variance = ((flat - mean[:, None]) ** 2 * weight).sum(1)
    return np.concatenate([mean, np.sqrt(variance)], axis=1)
