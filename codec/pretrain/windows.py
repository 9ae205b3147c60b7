"""Training windows as tiles: what the codec and the heads are fitted on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codec.data.geometry import turn
from codec.data.labelled import place_bands
from codec.data.raster import Raster
from codec.pretrain.jitter import BAND_SETS
from codec.pretrain.views import resize
from codec.types import Tile

ORIENTATIONS = 8
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
                for t in rng.permutation(ORIENTATIONS)[:turns]
            ]
            half = tile // 2
            zoomed = [(half, row, col, int(rng.integers(ORIENTATIONS))) for row, col in origins(raster, half)]
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


@dataclass(frozen=True, slots=True)
class CodecWindows:
    """Which windows a codec is fitted on: many of what the encoder is made for, a few of everything else.

    A codec has one mean, one basis and one set of scales. Windows of a sensor that it will seldom meet cost bytes in each
    file of the one it is made for; without any of them, files of other sensors cost up to twice the bytes
    (`benchmarks.nec_ingredients --part bands`).
    """

    home: tuple[str, ...]  # sources that are fitted to: windows as they are, with all bands
    turns: int  # of the eight orientations of each
    guests: tuple[str, ...] = ()  # other sources, as `training_tiles` shows them
    most_home: int | None = None  # tiles of each home source; None: all
    most_guest: int = 150  # tiles of each guest

    @property
    def sources(self) -> tuple[str, ...]:
        return self.home + self.guests


def codec_tiles(
    images: Mapping[str, Sequence[Raster]],
    bands: Sequence[str],
    plan: CodecWindows,
    *,
    seed: int,
    tile: int = 64,
) -> Iterator[Tile]:
    """The windows of a plan, those of home sources first. Deterministic for a seed."""
    rng = np.random.default_rng([seed, 0xF17])
    number = 0
    for source in plan.sources:
        if source in plan.home:
            most = plan.most_home
            shown: Iterable[Tile] = _as_they_are(images[source], bands, plan.turns, tile, rng)
        else:
            most = plan.most_guest
            shown = training_tiles({source: images[source]}, bands, seed=seed, tile=tile)
        if most is not None:
            every = list(shown)
            shown = [every[int(i)] for i in np.sort(rng.permutation(len(every))[:most])]
        for each in shown:
            yield Tile(number, each.pixels, each.validity, each.bands_present)
            number += 1


def _as_they_are(
    rasters: Sequence[Raster], bands: Sequence[str], turns: int, tile: int, rng: np.random.Generator
) -> Iterator[Tile]:
    """Wholly measured windows at their own scale with all bands, each in `turns` orientations."""
    for raster in rasters:
        for row, col in origins(raster, tile):
            valid = raster.validity[row : row + tile, col : col + tile]
            if not valid.all():
                continue
            placed, present = place_bands(
                raster.reflectance(row, col, tile, tile), raster.bands, tuple(bands)
            )
            for which in np.sort(rng.permutation(ORIENTATIONS)[:turns]):
                yield Tile(0, turn(placed, int(which)), turn(valid, int(which)), present)
