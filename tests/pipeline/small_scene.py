"""A scene of synthetic latents on a grid whose last row and column shift inward."""

from __future__ import annotations

from typing import Any

import numpy as np

from codec.package import Package
from codec.pipeline import encode
from codec.types import Georeference, Latent, TileGrid
from tests.transform.synthetic_embeddings import embeddings, spectral

GRID = TileGrid(
    height=150, width=180, core_height=32, core_width=32
)  # 5×6 tiles; the last ones are doubled in part
GEOREFERENCE = Georeference((10.0, 0.0, 5e5, 0.0, -10.0, 6e6), 32633)


def planes(n_tiles: int = GRID.n_tiles, seed: int = 11) -> dict[str, np.ndarray]:
    return {"tokens": embeddings(n_tiles, seed=seed), "spectral": spectral(n_tiles, seed=seed)}


def all_valid(n_tiles: int = GRID.n_tiles) -> np.ndarray:
    return np.ones((n_tiles, 8, 8), dtype=bool)


def latents(package: Package, arrays: dict[str, np.ndarray], validity: np.ndarray) -> list[Latent]:
    return [
        Latent(package.plane_index(name), package.transforms[name].analyse(x), validity)
        for name, x in arrays.items()
    ]


def encode_scene(package: Package, given: list[Latent], *, grid: TileGrid = GRID, **options: Any) -> bytes:
    settings: dict[str, Any] = {
        "grid": grid,
        "georeference": GEOREFERENCE,
        "sensor": "sentinel2-l1c",
        "band_mask": 0b1011,
        "time_us": 1_600_000_000_000_000,
        **options,
    }
    return encode(package, given, **settings)
