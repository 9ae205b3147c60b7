"""Tiles to prove an engine on: real scenes where they are given, else seeded procedural fields, and it says which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codec.errors import InputError
from codec.types import FloatArray

if TYPE_CHECKING:
    from codec.package import Package

N_PROCEDURAL = 200
_SEED = 20_240_901


@dataclass(frozen=True, slots=True)
class ParityTiles:
    """Inputs of the encoder: pixels N×B×H×W, bands N×B, validity N×H×W."""

    pixels: FloatArray
    bands: FloatArray
    validity: FloatArray
    sources: list[str]

    def __len__(self) -> int:
        return len(self.pixels)

    def batches(self, size: int) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self.pixels[part], self.bands[part], self.validity[part]


def parity_tiles(package: Package, scenes: Sequence[Path]) -> ParityTiles:
    """All tiles of `scenes`, or procedural ones when none is given."""
    return from_scenes(package, scenes) if scenes else procedural(package)


def from_scenes(package: Package, scenes: Sequence[Path]) -> ParityTiles:
    """Every tile with data of every scene. Raises InputError when there is none."""
    from codec.scene.scene import open_scene
    from codec.scene.tiling import tiles

    pixels, bands, validity = [], [], []
    for path in scenes:
        with open_scene([path]) as scene:
            for tile in tiles(scene, package.bands, core=package.tile.core, margin=package.tile.margin):
                if tile.validity.any():
                    pixels.append(np.where(tile.validity, tile.pixels, 0).astype(np.float32))
                    bands.append(tile.bands_present.astype(np.float32))
                    validity.append(tile.validity.astype(np.float32))
    if not pixels:
        raise InputError("the scenes hold no tile with data", found=", ".join(map(str, scenes)))
    return ParityTiles(np.stack(pixels), np.stack(bands), np.stack(validity), [path.name for path in scenes])


def procedural(package: Package, n: int = N_PROCEDURAL) -> ParityTiles:
    """Seeded fields with a 1/f spectrum, correlated between bands, in the range of reflectance; some bands absent
    and some pixels invalid, so that every input of the graph is exercised."""
    rng = np.random.default_rng(_SEED)
    side, n_bands = package.tile.core + 2 * package.tile.margin, len(package.bands)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij"))
    amplitude = 1.0 / np.maximum(frequency, 1.0 / side)

    def fields(*shape: int) -> np.ndarray:
        noise = np.fft.irfft2(
            np.fft.rfft2(rng.standard_normal((*shape, side, side))) * amplitude, s=(side, side)
        )
        return noise / noise.std(axis=(-2, -1), keepdims=True)

    brightness = rng.uniform(0.03, 0.35, (n, n_bands, 1, 1))
    common, own = fields(n, 1), fields(n, n_bands)
    pixels = brightness * (1.0 + 0.25 * common + 0.1 * own)
    bands = (rng.random((n, n_bands)) < 0.8) | (np.arange(n) % 2 == 0)[:, None]
    bands[:, rng.integers(n_bands)] = True
    validity = np.ones((n, side, side), bool)
    for i in range(0, n, 5):
        validity[i, : rng.integers(1, side // 2), rng.integers(side // 2) :] = False
    pixels = np.where(bands[:, :, None, None] & validity[:, None], np.clip(pixels, 0.0, 1.5), 0.0)
    return ParityTiles(
        pixels.astype(np.float32),
        bands.astype(np.float32),
        validity.astype(np.float32),
        [f"procedural 1/f fields, seed {_SEED}: no real scene was given"],
    )
