"""Land cover of the Landsat 7 sample (Raleigh): a sensor that was never in training as raw numbers.

5,000 random pixels of classes 1–6 inside the rectangle where all bands are measured, blocks of 40×40 pixels, five blocked
folds. Tokens of the scene at ×2, interpolated bilinearly at the pixel. The labels are of 1996, the image of 2000, so part
of the error is change. The scene has no splits; choices that were made on it are not blind.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from codec.evaluate.bank import Bank
from codec.evaluate.dense import CONTEXT, scored, task_rows
from codec.evaluate.features import teacher_tokens, tokens, tokens_and_spectra, without_position
from codec.evaluate.rows import Row
from codec.evaluate.scenes import eurosat
from codec.evaluate.token_maps import Picture, TokenFunction, token_map
from codec.scene.samples import LANDSAT7_RALEIGH
from codec.types import BoolArray, FloatArray

ZOOM = 2
PIXELS, BLOCK, WINDOW = 5000, 40, 9
CLASSES = 6  # 1 … 6; sediment has too few pixels
PLACE = "strata"


def rectangle(validity: BoolArray, share: float = 0.5) -> tuple[slice, slice]:
    """The rows and columns at least half of whose pixels are measured in all bands, first to last."""
    sides = []
    for axis in (1, 0):
        enough = np.flatnonzero(validity.mean(axis=axis) >= share * validity.mean(axis=axis).max())
        sides.append(slice(int(enough[0]), int(enough[-1]) + 1))
    return sides[0], sides[1]


def windowed(pixels: FloatArray, validity: BoolArray, size: int = WINDOW) -> FloatArray:
    """Log reflectance, and mean and std of the valid pixels of the window around each pixel: H×W×3B."""
    log = np.log(np.maximum(pixels, 1e-4))
    valid = torch.from_numpy(validity.astype(np.float32))[None, None]
    x = torch.from_numpy(log * validity)[:, None]

    def box(values: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(values, size, stride=1, padding=size // 2, count_include_pad=True)

    share = box(valid).clamp(min=1e-6)
    mean = box(x) / share
    spread = (box(x * x) / share - mean * mean).clamp(min=0).sqrt()
    return np.concatenate([log, mean[:, 0].numpy(), spread[:, 0].numpy()]).transpose(1, 2, 0)


def at_pixels(
    tokens_of_map: FloatArray,
    rows: npt.NDArray[np.int64],
    cols: npt.NDArray[np.int64],
    pixels_per_token: float,
) -> FloatArray:
    """Token map h×w×D, interpolated bilinearly at the centres of these pixels, N×D; edges are held."""
    height, width = tokens_of_map.shape[:2]
    y = np.clip((rows + 0.5) / pixels_per_token - 0.5, 0, height - 1)
    x = np.clip((cols + 0.5) / pixels_per_token - 0.5, 0, width - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    below, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    dy, dx = (y - top)[:, None], (x - left)[:, None]
    upper = tokens_of_map[top, left] * (1 - dx) + tokens_of_map[top, right] * dx
    lower = tokens_of_map[below, left] * (1 - dx) + tokens_of_map[below, right] * dx
    return np.asarray(upper * (1 - dy) + lower * dy, np.float32)


def rows(bank: Bank, split: str, samples: Path) -> list[Row]:
    """`dense-<split>/strata/<feature>`; `samples`: the folder that `make setup` unpacks the sample scenes to."""
    config = bank.encoders[0].config
    with LANDSAT7_RALEIGH.open(samples) as scene:
        bands = tuple(name for name in scene.bands if name in bank.bands)
        pixels, validity = scene.read((0, 0, scene.height, scene.width), bands)
    with LANDSAT7_RALEIGH.open(samples, zoom=ZOOM) as scene:
        wide, wide_validity = scene.read((0, 0, scene.height, scene.width), bands)
    inside = rectangle(validity)
    classes = LANDSAT7_RALEIGH.read_labels(samples)[inside].astype(np.int64) - 1
    pixels, validity = pixels[:, inside[0], inside[1]], validity[inside]
    zoomed = tuple(slice(ZOOM * s.start, ZOOM * s.stop) for s in inside)
    picture = Picture(wide[:, zoomed[0], zoomed[1]], bands, wide_validity[zoomed]).cropped(8)
    usable = np.flatnonzero((validity & (classes >= 0) & (classes < CLASSES)).ravel())
    chosen = np.sort(np.random.default_rng(0).choice(usable, min(PIXELS, len(usable)), replace=False))
    row, col = np.unravel_index(chosen, validity.shape)
    labels = classes[row, col]
    blocks = np.asarray(1000 * (row // BLOCK) + col // BLOCK, np.int64)

    def of(function: TokenFunction, patch: int = config.patch) -> FloatArray:
        laid, _ = token_map(function, picture, tile=config.tile, patch=patch, margin=bank.margin)
        return at_pixels(laid, row, col, patch / ZOOM)

    everything = windowed(pixels, validity)[row, col]
    ours = [of(partial(tokens, encoder)) for encoder in bank.encoders]
    name = bank.subject.name
    features = {
        "pixel-spectra": [everything[:, : len(bands)]],
        CONTEXT: [everything],
        "random-twin": [of(partial(tokens, twin)) for twin in bank.twins],
        name: ours,
        f"{name}+spectral": [of(partial(tokens_and_spectra, encoder)) for encoder in bank.encoders],
        f"{name}+pixels": [np.concatenate([x, everything], axis=1) for x in ours],
    }
    if "teacher" in bank.functions:
        pool = teacher_tokens(bank.teacher, eurosat(bank.data, ("train",)).with_bands(bands))
        features["teacher"] = [of(lambda s: without_position(teacher_tokens(bank.teacher, s), pool), 8)]
    sums = scored({f: seeds for f, seeds in features.items() if seeds}, labels, blocks, CLASSES)
    return task_rows(bank, f"dense-{split}/{PLACE}", sums, len(labels))
