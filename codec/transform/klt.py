"""The Karhunen–Loève transforms over channels, and the mean before them, from training embeddings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codec.errors import InputError
from codec.transform.eigen import klt_basis
from codec.transform.plane import PlaneTransform, TokenTransform
from codec.transform.products import gram
from codec.transform.rotations import WIDEST, fit_rotations
from codec.types import BoolArray, FloatArray

CHUNK = 512  # tiles at a time: bounds the float64 copies


def fit_transform(
    x: FloatArray,
    valid: BoolArray,
    *,
    position_mean: bool,
    tokens: TokenTransform = "dct",
    rotations: bool = False,
) -> tuple[PlaneTransform, float]:
    """Mean and KLT over the valid tokens, and the deviation of one coefficient (root of the mean variance).

    `x` is N×h×w×C float32 with 0 in invalid tokens, `valid` N×h×w. With `position_mean` a mean per token position
    (a position never seen gets the mean of all), else one per channel. `rotations`: each group of frequencies gets a KLT of
    its own behind that of all, from the wholly valid tiles; only where there are several frequencies and at most 1024
    channels. Raises InputError when nothing varies.
    """
    n_tiles, rows, cols, channels = x.shape
    total = np.zeros((rows, cols, channels))
    for start in range(0, n_tiles, CHUNK):
        total += x[start : start + CHUNK].sum(axis=0, dtype=np.float64)
    count = valid.sum(axis=0).astype(np.float64)[..., None]
    if count.sum() < 2:
        raise InputError(
            "a fit needs at least two valid tokens",
            found=int(count.sum()),
            fix="check the nodata value, or give more",
        )
    mean = np.broadcast_to(total.sum(axis=(0, 1)) / count.sum(), total.shape)
    if position_mean:
        mean = np.where(count > 0, total / np.maximum(count, 1), mean)
    mean = mean.astype(np.float32)

    covariance = np.zeros((channels, channels))
    for start in range(0, n_tiles, CHUNK):
        part = slice(start, start + CHUNK)
        centred = ((x[part] - mean) * valid[part][..., None]).reshape(-1, channels).astype(np.float64)
        covariance += gram(centred)
    covariance /= count.sum()
    deviation = float(np.sqrt(np.trace(covariance) / channels))
    if not deviation > 0:
        raise InputError(
            "all embeddings are equal; there is nothing to fit",
            fix="give embeddings that differ; what is one vector needs no codec",
        )
    basis = klt_basis(covariance)
    transform = PlaneTransform(mean, basis.astype(np.float32), tokens)
    whole = valid.all(axis=(1, 2))
    if rotations and tokens != "none" and rows * cols > 1 and channels <= WIDEST and whole.any():
        transform = replace(transform, rotations=fit_rotations(transform.analyse(x[whole]), rows, cols))
    return transform, deviation
