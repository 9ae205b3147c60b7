"""Training windows as tiles: what the codec and the heads are fitted on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from codec.data.geometry import turn
from codec.data.labelled import place_bands
from codec.data.raster import Raster
from codec.pretrain.jitter import BAND_SETS
from codec.pretrain.views import resize
from codec.types import Tile

SMALLEST_VALID_SHARE = 0.5
FULL_SHARE = 0.5  # of the tiles keep all bands of their source


def origins(raster: Raster, size: int) -> Iterator[tuple[int, int]]:
    """Corners of the non-overlapping size×size windows that are at least half measured."""
    for row in range(0, raster.height - size + 1, size):
        for col in range(0, raster.width - size + 1, size):
            if raster.validity[row : row + size, col : col + size].mean() >= SMALLEST_VALID_SHARE:
                yield row, col


def training_tiles(
    images: Mapping[str, Sequence[Raster]], bands: Sequence[str], *, seed: int, tile: int = 64, turns: int = 4
) -> Iterator[Tile]:
    """Every window in `turns` of its eight orientations, half of them with one of the named band subsets,
    and once
    at ×2 (a 32-px window enlarged, as coarser sensors are fed). Deterministic for a seed."""
    rng = np.random.default_rng([seed, 0xC0DEC])
    named = [frozenset(chosen) for chosen in dict.fromkeys(BAND_SETS)]
    number = 0
    for source in sorted(images):
        for raster in images[source]:
            jobs = [
                (tile, row, col, int(t))
                for row, col in origins(raster, tile)
                for t in rng.permutation(8)[:turns]
            ]
            half = tile // 2
            zoomed = [(half, row, col, int(rng.integers(8))) for row, col in origins(raster, half)]
            jobs += [zoomed[int(i)] for i in np.sort(rng.permutation(len(zoomed))[: len(jobs) // turns])]
            for size, row, col, which in jobs:
                pixels = resize(raster.reflectance(row, col, size, size), tile)
                valid = (
                    raster.validity[row : row + size, col : col + size]
                    .repeat(tile // size, 0)
                    .repeat(tile // size, 1)
                )
                placed, present = place_bands(pixels, raster.bands, tuple(bands))
                if rng.random() >= FULL_SHARE:
                    have = {b for b, p in zip(bands, present, strict=True) if p}
                    fitting = [chosen for chosen in named if chosen <= have]
                    if fitting:
                        chosen = fitting[int(rng.integers(len(fitting)))]
                        present = np.array([b in chosen for b in bands])
                        placed = placed * present[:, None, None]
                yield Tile(number, turn(placed, which), turn(valid, which), present)
                number += 1
