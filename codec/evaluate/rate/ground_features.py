"""What the ground makes of pixels it decoded: the encoder's planes, patch and tile statistics, and both side by side.

Coded ──received──▶ TileSet ──ground_planes──▶ tokens, spectral, statistics, tokens+statistics
                           └─tile_statistics─▶ N×7B
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from codec.errors import InputError
from codec.evaluate.rate.model_planes import planes_of
from codec.evaluate.rate.plain_encoders import patch_statistics
from codec.evaluate.rate.types import Coded, Planes, TileSet
from codec.models.vit import Encoder
from codec.types import FloatArray

PATCH = 8
STATISTICS, BOTH = "statistics", "tokens+statistics"
PERCENTILES = (5, 25, 50, 75, 95)
_FLOOR = 1e-4  # reflectance; as patch statistics have it


def received(tiles: TileSet, coded: Coded, bands: Sequence[str] | None = None) -> TileSet:
    """The set as the ground has it: decoded pixels where bands were sent, and no other bands at all.

    `bands`: what the method sends (`PixelRivalCoder.bands`), None for all. Validity, places and scenes are known on the
    ground. Raises InputError where the method sent no pixels.
    """
    if coded.pixels is None or coded.pixels.shape != tiles.pixels.shape:
        raise InputError(f"no pixels of {tiles.name!r} were decoded", fix="use a method that sends pixels")
    sent = np.array([bands is None or band in bands for band in tiles.bands])
    present = tiles.present & sent
    pixels = np.where(present[:, :, None, None], coded.pixels, np.float32(0))
    return replace(tiles, pixels=pixels, present=present)


def statistics_of(tiles: TileSet) -> FloatArray:
    """Log mean and log deviation of every band and 8×8 patch, N×h×w×2B: all means, then all deviations; absent bands 0."""
    return np.ascontiguousarray(patch_statistics(tiles)[..., : 2 * len(tiles.bands)])


def tile_statistics(tiles: TileSet) -> FloatArray:
    """Log mean, log deviation and five percentiles of every band over a tile's valid pixels, N×7B, all bands of one
    statistic before the next. Absent bands and tiles without a valid pixel are 0.
    """
    n, b = tiles.present.shape
    out = np.zeros((n, 2 + len(PERCENTILES), b), np.float32)
    for row, pixels, present, valid in zip(out, tiles.pixels, tiles.present, tiles.validity, strict=True):
        if not valid.any():
            continue
        x = pixels[present][:, valid].astype(np.float64)  # bands × pixels
        row[0, present] = np.log(np.maximum(x.mean(1), _FLOOR))
        row[1, present] = np.log(x.std(1) + _FLOOR)
        row[2:, present] = np.percentile(x, PERCENTILES, axis=1)
    return out.reshape(n, -1)


def _to_grid(statistics: FloatArray, tokens: FloatArray) -> FloatArray:
    """Patch statistics on a token grid that is as fine or finer by a whole factor."""
    factor, rest = divmod(tokens.shape[1], statistics.shape[1])
    if rest or factor < 1 or tokens.shape[2] != factor * statistics.shape[2]:
        raise InputError(
            f"tokens do not lie on a grid of {PATCH}-pixel patches or one that divides it",
            expected=statistics.shape[1:3],
            found=tokens.shape[1:3],
        )
    return statistics.repeat(factor, axis=1).repeat(factor, axis=2)


def ground_planes(encode: Encoder | Callable[[TileSet], Planes], tiles: TileSet) -> Planes:
    """The encoder's planes of these tiles, and the planes `statistics` and `tokens+statistics` on the same grid.

    `encode`: a model, or any function of a tile set. Raises InputError where the grids do not fit.
    """
    planes = planes_of(encode, tiles) if isinstance(encode, Encoder) else encode(tiles)
    tokens = planes.values["tokens"]
    statistics = _to_grid(statistics_of(tiles), tokens)
    values = {STATISTICS: statistics, BOTH: np.concatenate([tokens, statistics], axis=-1)}
    return Planes({**planes.values, **values}, planes.validity)
