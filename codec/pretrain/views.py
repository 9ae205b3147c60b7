"""Random views of training images: crop, resize to the tile, flips and turns, cut-and-paste.

All randomness comes from a numpy generator that the caller seeds; the pixels of a view are reflectance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from codec.data.geometry import turn
from codec.data.raster import Raster
from codec.errors import InputError
from codec.types import FloatArray

# Share of each source among the views. Few windows (EuroSAT 258) carry most: they are the cleanest and the
# most
# diverse; aerial RGB is plentiful but far from the sensors this encoder serves.
SOURCE_WEIGHTS: dict[str, float] = {
    "eurosat": 0.47,
    "terramind": 0.11,
    "sen1floods11": 0.06,
    "lahinch": 0.04,
    "beaufort": 0.07,
    "landsat7": 0.05,
    "cloud38": 0.04,
    "naip": 0.04,
    "ucmerced": 0.08,
    "dubai": 0.04,
}
SMALLEST_CROP = 32
CUTMIX_SHARE = 0.15
_ATTEMPTS = 40


@dataclass(frozen=True, slots=True)
class View:
    """One augmented tile."""

    source: str
    image: int  # number of the image inside its source
    bands: tuple[str, ...]
    pixels: FloatArray  # C×tile×tile reflectance, every pixel measured


def crop(raster: Raster, tile: int, rng: np.random.Generator) -> FloatArray | None:
    """A square crop of random size, resized to tile×tile; None when no wholly measured window was found."""
    largest = min(raster.height, raster.width, raster.max_window)
    for _ in range(_ATTEMPTS):
        size = int(np.exp(rng.uniform(np.log(SMALLEST_CROP), np.log(largest + 1))))
        # A third of the views keep the native scale, on which the encoder will be used.
        if rng.random() < 0.33 and largest >= tile:
            size = tile
        row = int(rng.integers(0, raster.height - size + 1))
        col = int(rng.integers(0, raster.width - size + 1))
        if raster.validity[row : row + size, col : col + size].all():
            return resize(raster.reflectance(row, col, size, size), tile)
    return None


def resize(pixels: FloatArray, tile: int) -> FloatArray:
    """Bilinear, low-passed when shrinking; C×S×S → C×tile×tile."""
    if pixels.shape[1] == tile:
        return pixels
    x = torch.from_numpy(pixels)[None]
    y = F.interpolate(x, size=(tile, tile), mode="bilinear", align_corners=False, antialias=True)
    return y[0].numpy()


def draw(
    images: Mapping[str, Sequence[Raster]],
    tile: int,
    rng: np.random.Generator,
    shares: Mapping[str, float] = SOURCE_WEIGHTS,
) -> View:
    """One view from a source drawn by its share."""
    names = [name for name in shares if name in images]
    if not names:
        raise InputError("no training source was given", expected=", ".join(shares))
    weights = np.array([shares[name] for name in names])
    for _ in range(_ATTEMPTS):
        source = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        number = int(rng.integers(len(images[source])))
        raster = images[source][number]
        pixels = crop(raster, tile, rng)
        if pixels is None:
            continue
        pixels = turn(pixels, int(rng.integers(8)))
        if rng.random() < CUTMIX_SHARE:
            pixels = _paste(pixels, raster, images[source], tile, rng)
        return View(source, number, raster.bands, pixels)
    raise InputError("no measured window was found in the training sources")


def _paste(
    pixels: FloatArray, raster: Raster, others: Sequence[Raster], tile: int, rng: np.random.Generator
) -> FloatArray:
    """A rectangle of another image of the same bands over this one; mixed scenes that the sources do not
    have.
    """
    other = others[int(rng.integers(len(others)))]
    patch = crop(other, tile, rng) if other.bands == raster.bands else None
    if patch is None:
        return pixels
    height, width = (int(rng.integers(tile // 4, 3 * tile // 4 + 1)) for _ in range(2))
    row, col = int(rng.integers(tile - height + 1)), int(rng.integers(tile - width + 1))
    mixed = pixels.copy()
    mixed[:, row : row + height, col : col + width] = patch[:, row : row + height, col : col + width]
    return mixed
