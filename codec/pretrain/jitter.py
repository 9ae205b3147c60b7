"""What only the student's input suffers: atmosphere and gain, missing bands, missing pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codec.data.bandsets import FOUR, FOUR_NARROW, RGB, SIX, SIX_NARROW, TEN
from codec.types import FloatArray

# How much of an additive haze each band sees; scattering falls steeply from blue to the short-wave infrared.
HAZE_WEIGHT: dict[str, float] = {
    "coastal": 1.0,
    "blue": 0.75,
    "green": 0.5,
    "red": 0.33,
    "rededge071": 0.25,
    "rededge075": 0.20,
    "rededge078": 0.16,
    "nir": 0.13,
    "nir08": 0.10,
    "nir09": 0.08,
    "swir16": 0.02,
    "swir22": 0.01,
}
# Colour is repeated: it is the weakest spot.
BAND_SETS: tuple[tuple[str, ...], ...] = (TEN, SIX, SIX_NARROW, FOUR, FOUR_NARROW, RGB, RGB, RGB)
KEEP_ALL, NAMED_SET = 0.30, 0.45  # the rest gets a random subset


def jitter(pixels: Tensor, bands: Sequence[str], rng: np.random.Generator) -> Tensor:
    """Gain ±12 %, gain per band ±4 %, haze −0.07 … +0.02, noise 0.003; N×B×H×W reflectance in and out."""
    n, n_bands = pixels.shape[:2]
    gain = rng.uniform(0.88, 1.12, (n, 1)) * rng.uniform(0.96, 1.04, (n, n_bands))
    haze = rng.uniform(-0.07, 0.02, (n, 1)) * np.array([HAZE_WEIGHT[b] for b in bands])
    # A quarter stays clean, since that is what the encoder meets most.
    clean = rng.random((n, 1)) < 0.25
    gain, haze = np.where(clean, 1.0, gain), np.where(clean, 0.0, haze)
    generator = torch.Generator(pixels.device).manual_seed(int(rng.integers(1 << 62)))
    noise = torch.randn(pixels.shape, generator=generator, device=pixels.device)

    def on_device(x: npt.NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(x.astype(np.float32)).to(pixels.device)[:, :, None, None]

    return torch.addcmul(on_device(haze), pixels, on_device(gain)).add_(noise, alpha=0.003)


def drop_bands(has: npt.NDArray[np.uint8], bands: Sequence[str], rng: np.random.Generator) -> FloatArray:
    """Which bands the student is shown, N×B float32 {0, 1}; a subset of `has`, never empty."""
    shown = has.astype(np.float32)
    sets = np.array([[band in chosen for band in bands] for chosen in BAND_SETS], dtype=np.float32)
    for row in shown:
        draw = rng.random()
        if draw < KEEP_ALL:
            continue
        if draw < KEEP_ALL + NAMED_SET:
            fitting = [s for s in sets if np.all(s <= row)]
            if fitting:
                row[:] = fitting[int(rng.integers(len(fitting)))]
            continue
        present = np.flatnonzero(row)
        keep = rng.choice(present, size=int(rng.integers(1, len(present) + 1)), replace=False)
        row[:] = 0.0
        row[keep] = 1.0
    return shown


def drop_pixels(n: int, tile: int, rng: np.random.Generator, share: float = 0.1) -> FloatArray:
    """Validity N×tile×tile: a tenth of the views miss everything beyond a random line, as at the edge of a
    swath.
    """
    validity = np.ones((n, tile, tile), np.float32)
    row, col = np.mgrid[0:tile, 0:tile] / tile - 0.5
    for i in range(n):
        if rng.random() < share:
            angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(-0.1, 0.45)
            validity[i] = row * np.cos(angle) + col * np.sin(angle) < distance
    return validity
