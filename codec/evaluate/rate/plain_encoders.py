"""Encoders without training, as grids of tokens: statistics of patches, and random convolutions.

Every claim about a trained encoder must hold against these (pretraining baselines: statistics of the bands, MOSAIKS-like
random features). Both see the normalised pixels of the trained ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from codec.errors import InputError
from codec.evaluate.rate.types import TileSet
from codec.models.bands import NORMALISED_RANGE, is_known, normalisation
from codec.scene.tiling import token_validity
from codec.types import BoolArray, FloatArray

PATCH = 8
STATISTICS = ("log mean", "log deviation", "minimum", "maximum")
_FLOOR = 1e-4  # reflectance below which logarithms say nothing
_FILTERS, _FILTER_SIZE, _FILTER_STRIDE, _PADDING = 256, 8, 4, 2
_BATCH = 64
_AT_ONCE = 16  # tiles whose statistics fit the caches
_T = TypeVar("_T", bound=np.generic)


def grid_validity(tiles: TileSet, patch: int) -> BoolArray:
    """N×h×w: a token is valid when at least half of its pixels are."""
    return np.stack([token_validity(v, patch) for v in tiles.validity])


def normalised_batches(
    tiles: TileSet, bands: tuple[str, ...], batch: int = _BATCH
) -> Iterator[tuple[FloatArray, BoolArray]]:
    """Pixels n×B×T×T in the encoders' fixed units and in the order of `bands`, and which bands are there, n×B.

    Absent bands and invalid pixels are 0. Raises InputError where a tile has none of the bands, or a band no constants.
    """
    mean, spread = np.array([normalisation(band) for band in bands], np.float32).T[:, :, None, None]
    there = [(k, tiles.bands.index(band)) for k, band in enumerate(bands) if band in tiles.bands]
    for start in range(0, len(tiles), batch):
        stop = min(start + batch, len(tiles))
        pixels = np.zeros((stop - start, len(bands), tiles.tile, tiles.tile), np.float32)
        present = np.zeros((stop - start, len(bands)), np.bool_)
        for k, i in there:
            pixels[:, k], present[:, k] = tiles.pixels[start:stop, i], tiles.present[start:stop, i]
        if not present.any(1).all():
            raise InputError(
                f"a tile of {tiles.name!r} has none of the encoder's bands", expected=bands, found=tiles.bands
            )
        usable = present[:, :, None, None] & tiles.validity[start:stop, None]
        z = np.clip((pixels - mean) / spread, *NORMALISED_RANGE)
        yield np.where(usable, z, np.float32(0)).astype(np.float32), present


def known_bands(tiles: TileSet) -> tuple[str, ...]:
    """The bands of a set that the normalisation knows, in its own order: what encoders without weights see."""
    return tuple(band for band in tiles.bands if is_known(band))


def patch_statistics(tiles: TileSet) -> FloatArray:
    """Log mean, log deviation, minimum and maximum of every band over the valid pixels of each patch, N×h×w×4B.

    Statistics of absent bands and of patches without a valid pixel are 0. Columns: all bands of one statistic, then of
    the next.
    """
    shown = tiles.validity[:, None] & tiles.present[:, :, None, None]
    parts = [
        _statistics(
            _patches(tiles.pixels[start : start + _AT_ONCE]), _patches(shown[start : start + _AT_ONCE])
        )
        for start in range(0, len(tiles), _AT_ONCE)
    ]
    return np.concatenate(parts)


def _patches(x: npt.NDArray[_T]) -> npt.NDArray[_T]:
    """N×B×T×T → N×B×h×w×64, the pixels of a patch beside each other: sums over them are quick."""
    n, bands, side, _ = x.shape
    h = side // PATCH
    cut = x.reshape(n, bands, h, PATCH, h, PATCH).transpose(0, 1, 2, 4, 3, 5)
    return np.ascontiguousarray(cut).reshape(n, bands, h, h, PATCH * PATCH)


def _statistics(x: FloatArray, usable: BoolArray) -> FloatArray:
    """Of patches N×B×h×w×64, as `patch_statistics` gives them."""
    count, known = np.maximum(usable.sum(-1), 1), usable.any(-1)
    seen = np.where(usable, x, np.float32(0))
    mean = seen.sum(-1, dtype=np.float64) / count
    apart = np.where(usable, seen - mean[..., None], 0)
    deviation = np.sqrt(np.einsum("...p,...p->...", apart, apart) / count)
    low = np.where(usable, x, np.float32(np.inf)).min(-1)
    high = np.where(usable, x, np.float32(-np.inf)).max(-1)
    parts = [np.log(np.maximum(mean, _FLOOR)), np.log(deviation + _FLOOR), low, high]
    stacked = np.concatenate([np.where(known, part, 0) for part in parts], axis=1)  # N×4B×h×w
    return np.ascontiguousarray(stacked.transpose(0, 2, 3, 1), np.float32)


@torch.inference_mode()
def random_convolution_tokens(tiles: TileSet, seed: int) -> FloatArray:
    """256 random 8×8 filters every 4 pixels, bias, ReLU, mean over the 2×2 responses of each 8×8 patch: N×h×w×256.

    Gaussian filters of unit response to unit noise over the bands that are there, biases from the standard normal.
    """
    rng = np.random.default_rng([seed, 0xF17E])
    bands = known_bands(tiles)
    shown = float(tiles.present[:, [tiles.bands.index(b) for b in bands]].mean()) * len(bands)
    weight = rng.standard_normal((_FILTERS, len(bands), _FILTER_SIZE, _FILTER_SIZE), dtype=np.float32)
    weight /= np.float32((shown * _FILTER_SIZE**2) ** 0.5)  # fewer bands do not mean smaller responses
    bias = torch.from_numpy(rng.standard_normal(_FILTERS, dtype=np.float32))
    filters, found = torch.from_numpy(weight), []
    for z, _ in normalised_batches(tiles, bands):
        y = F.relu(F.conv2d(torch.from_numpy(z), filters, bias, stride=_FILTER_STRIDE, padding=_PADDING))
        found.append(F.avg_pool2d(y, PATCH // _FILTER_STRIDE).permute(0, 2, 3, 1).contiguous().numpy())
    return np.concatenate(found)
