"""The training-free entry: random 3×3 kernels, rectified, pooled, reduced by PCA.

After the fourth place of the 2025 Embed2Scale challenge (isaaccorley/embed2scale-challenge-solution-4th-place: README @
09e0077, `solution.ipynb` @ 9894607), which follows MOSAIKS (Nature Communications 12, 4392, 2021) with torchgeo's random
convolutional features (microsoft/torchgeo `models/rcf.py` @ 01d75a0). Written from the description:

- F features come from F/2 kernels, each with both signs: mean over the picture of max(0, k∗x + b) and max(0, −(k∗x + b)),
  b = −1, no padding. The entry's README says 4,096 kernels; the library it calls makes 2,048 of them.
- The entry's kernels are patches of its own pictures, each centred and of unit length, whitened twice (ZCA + 0.001, as
  MOSAIKS does); its README's example has Gaussian kernels. Both are here.
- Features of several dates are averaged. PCA to 1,024 is fitted on the scored pictures themselves, without labels.

It is entered like any other: below 1,024 pictures PCA gives fewer columns, and the protocol pads.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from codec.errors import InputError
from codec.evaluate.neuco.protocol import CAP
from codec.types import FloatArray

FEATURES, SIZE, BIAS = 4096, 3, -1.0
_RIDGE = 1e-3  # added to the eigenvalues before whitening
_LEAST_LENGTH = 1e-8
_BATCH, _KERNELS = 8, 128  # pictures and kernels at a time: responses that stay near the processor
KernelKind = Literal["patches", "gaussian"]


def gaussian_kernels(bands: int, count: int, seed: int) -> FloatArray:
    """count×B×3×3 of independent standard normals."""
    return np.random.default_rng(seed).standard_normal((count, bands, SIZE, SIZE), dtype=np.float32)


def patch_kernels(pixels: FloatArray, count: int, seed: int) -> FloatArray:
    """count×B×3×3 patches of N×B×H×W pictures, centred, of unit length, whitened twice."""
    rng = np.random.default_rng(seed)
    n, bands, height, width = pixels.shape
    if height < SIZE or width < SIZE:
        raise InputError(f"a picture is smaller than a {SIZE}×{SIZE} kernel", found=(height, width))
    picks = zip(
        rng.integers(n, size=count).tolist(),
        rng.integers(height - SIZE + 1, size=count).tolist(),
        rng.integers(width - SIZE + 1, size=count).tolist(),
        strict=True,
    )
    flat = np.stack([pixels[i, :, r : r + SIZE, c : c + SIZE].ravel() for i, r, c in picks]).astype(
        np.float64
    )
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    flat /= np.where(length < _LEAST_LENGTH, 1, length)
    values, basis = np.linalg.eigh(flat.T @ flat / count)
    # Once for the patches, once for the pictures that they are compared with: the filter takes both.
    flat = flat @ (basis / (np.maximum(values, 0) + _RIDGE)) @ basis.T
    return flat.reshape(count, bands, SIZE, SIZE).astype(np.float32)


@torch.inference_mode()
def pooled_responses(pixels: FloatArray, kernels: FloatArray, bias: float = BIAS) -> FloatArray:
    """N×2K: the mean over each picture of both rectified signs of K responses. N×B×H×W, or N×dates×B×H×W (averaged)."""
    if pixels.ndim == 5:
        n, dates = pixels.shape[:2]
        each = pooled_responses(pixels.reshape(-1, *pixels.shape[2:]), kernels, bias)
        return np.asarray(each.reshape(n, dates, -1).mean(1), np.float32)
    found = np.empty((2, len(pixels), len(kernels)), np.float32)
    for start in range(0, len(pixels), _BATCH):
        x = torch.from_numpy(np.ascontiguousarray(pixels[start : start + _BATCH]))
        for first in range(0, len(kernels), _KERNELS):
            weight = torch.from_numpy(kernels[first : first + _KERNELS])
            y = F.conv2d(x, weight, torch.full((len(weight),), bias))
            above = F.relu(y).mean((2, 3))
            at = np.s_[start : start + _BATCH, first : first + _KERNELS]
            found[0][at] = above.numpy()
            found[1][at] = (above - y.mean((2, 3))).numpy()  # max(0, −y) = max(0, y) − y
    return np.concatenate([found[0], found[1]], axis=1)


def principal(features: FloatArray, components: int = CAP) -> FloatArray:
    """Scores of the first principal components, N×min(components, N − 1, F), largest variance first."""
    if len(features) < 2:
        raise InputError("one vector has no principal components", found=len(features))
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    n, width = centred.shape
    keep = min(components, n - 1, width)
    if n < width:
        values, basis = np.linalg.eigh(centred @ centred.T)
        scores = basis[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0))
    else:
        _, basis = np.linalg.eigh(centred.T @ centred)
        scores = centred @ basis[:, ::-1]
    return np.ascontiguousarray(scores[:, :keep], np.float32)


def random_kernel_vectors(
    pixels: FloatArray,
    *,
    features: int = FEATURES,
    kind: KernelKind = "patches",
    seed: int = 0,
    components: int = CAP,
) -> FloatArray:
    """Vectors of normalised pictures N×B×H×W or N×dates×B×H×W, at most 1,024 numbers each."""
    if features % 2 or features < 2:
        raise InputError("features come in pairs of signs", expected="an even number", found=features)
    single = pixels.reshape(-1, *pixels.shape[-3:])
    kernels = (
        patch_kernels(single, features // 2, seed)
        if kind == "patches"
        else gaussian_kernels(single.shape[1], features // 2, seed)
    )
    return principal(pooled_responses(pixels, kernels), components)
