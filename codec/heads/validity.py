"""Validity as what it is: a mask. Filling what was not measured, and catching a head that learns from the mask.

Where clouds or scene edges lie says much about a label in a small test set and nothing about the ground. A head may leave
invalid tokens out; its answer may not depend on which ones they are in any other way.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from codec.errors import InputError
from codec.heads.pooling import mean_and_spread
from codec.types import BoolArray, FloatArray

Outputs = Callable[[FloatArray, BoolArray], FloatArray]  # tokens N×h×w×C, validity N×h×w → N×…
TOLERANCE = 1e-3  # of the outputs' spread over random tiles; float32 sums in another order are below 1e-5
_TILES = 16


def filled(x: FloatArray, validity: BoolArray | None) -> FloatArray:
    """Tokens N×h×w×C with every invalid one replaced by the mean of its tile's valid ones; zeros where there is none.

    A constant would draw the mask's outline into every convolution.
    """
    x = np.asarray(x, np.float32)
    if validity is None or validity.all():
        return x
    keep = validity[..., None]
    count = np.maximum(keep.sum((1, 2), keepdims=True), 1)
    mean = np.where(keep, x, 0).sum((1, 2), keepdims=True) / count
    return np.where(keep, x, mean).astype(np.float32)


def pooled_vectors(x: FloatArray, validity: BoolArray | None) -> FloatArray:
    """Mean ‖ standard deviation of the valid tokens, N×h×w×C → N×2C; what stands in invalid ones is never touched."""
    return mean_and_spread(filled(x, validity), validity)


def validity_leak(outputs: Outputs, shape: tuple[int, int, int], *, seed: int = 0) -> float:
    """How much a head's outputs change with the mask alone, in units of their spread over random tiles.

    Two probes on tiles h×w×C of standard normal values. *Even tiles*: all tokens of a tile are equal, so that whatever is
    left out, the rest says the same; any change comes from the mask. *Hidden tokens*: what stands in invalid tokens is
    replaced by large numbers; any change was read where nothing was measured.
    """
    rng = np.random.default_rng(seed)
    rows, cols, channels = shape
    x = rng.standard_normal((_TILES, rows, cols, channels)).astype(np.float32)
    even = np.broadcast_to(x[:, :1, :1], x.shape).copy()
    whole = np.ones(x.shape[:3], np.bool_)
    masks = rng.random(x.shape[:3]) < rng.uniform(0.2, 0.9, (_TILES, 1, 1))
    masks[:, rng.integers(rows), rng.integers(cols)] = True  # a tile without a valid token is missing
    junk = np.where(masks[..., None], x, 100 * rng.standard_normal(x.shape)).astype(np.float32)
    spread = float(np.std(outputs(x, whole))) + 1e-12
    by_mask = np.abs(outputs(even, masks) - outputs(even, whole)).max()
    by_hidden = np.abs(outputs(junk, masks) - outputs(x, masks)).max()
    return float(max(by_mask, by_hidden) / spread)


def require_blind(outputs: Outputs, shape: tuple[int, int, int], *, seed: int = 0) -> None:
    """Raises InputError where a head sees validity as more than a mask."""
    leak = validity_leak(outputs, shape, seed=seed)
    if not leak <= TOLERANCE:
        raise InputError(
            "the head sees validity: its answer changes with the mask where the tokens say the same",
            expected=f"at most {TOLERANCE} of its outputs' spread",
            found=f"{leak:.3g}",
            fix="use validity for pooling and for filling only",
        )
