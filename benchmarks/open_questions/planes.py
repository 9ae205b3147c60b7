"""Planes that an encoder does not ship: its tokens at several depths, and statistics of cells finer than its patches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from codec.data.labelled import UNLABELLED, token_labels
from codec.evaluate.rate.model_planes import through
from codec.evaluate.rate.plain_encoders import normalised_batches
from codec.evaluate.rate.types import IntArray, TileSet
from codec.models.vit import Encoder
from codec.scene.tiling import token_validity
from codec.types import BoolArray, FloatArray

FINAL, SPECTRAL = "final", "spectral"
_FLOOR = 1e-3  # deviation in units of a band's own spread below which its logarithm says nothing


def depth_planes(encoder: Encoder, tiles: TileSet, blocks: tuple[int, ...]) -> dict[str, FloatArray]:
    """`final` and `spectral` as the encoder gives them, and `block K` after each K of `blocks` (0: before the first).

    N×h×w×C each. Raises InputError as `codec.evaluate.rate.model_planes.through` does.
    """

    @torch.inference_mode()
    def run(pixels: FloatArray, present: FloatArray, valid: FloatArray) -> dict[str, FloatArray]:
        shown, there = torch.from_numpy(present), encoder.cut(torch.from_numpy(valid)[:, None])
        z = encoder.normalise(encoder.cut(torch.from_numpy(pixels)), shown, there)
        mean, spread = encoder.patch_moments(z, there)
        x = encoder.embed_patches(z, spread, shown)
        side, found = encoder.config.side, {}
        for number, block in enumerate(encoder.blocks):
            if number in blocks:
                found[f"block {number}"] = x
            x = block(x)
        found[FINAL], found[SPECTRAL] = encoder.project(encoder.norm(x)), mean
        return {name: v.reshape(len(v), side, side, v.shape[-1]).numpy() for name, v in found.items()}

    return through(tiles, encoder.config.bands, encoder.config.tile, run)


def cell_statistics(tiles: TileSet, bands: tuple[str, ...], cell: int, *, deviations: bool) -> FloatArray:
    """Means of the valid pixels of each cell and band in the encoders' units, N×h×w×B; with `deviations` their log
    standard deviations behind them, N×h×w×2B.

    Bands that a tile lacks and cells without a valid pixel are 0.
    """
    parts, side = [], tiles.tile // cell
    start = 0
    for z, present in normalised_batches(tiles, bands):
        n, b = z.shape[:2]
        valid = tiles.validity[start : start + n]
        start += n
        cut = (
            z.reshape(n, b, side, cell, side, cell).transpose(0, 2, 4, 1, 3, 5).reshape(n, side, side, b, -1)
        )
        count = valid.reshape(n, side, cell, side, cell).sum(axis=(2, 4))
        scale = (1.0 / np.maximum(count, 1))[..., None]
        mean = cut.sum(-1) * scale
        found = [mean]
        if deviations:
            square = np.maximum(np.square(cut).sum(-1) * scale - mean**2, 0)
            known = (count > 0)[..., None] & present[:, None, None]
            found.append(np.where(known, np.log(np.sqrt(square) + _FLOOR), 0))
        parts.append(np.concatenate(found, axis=-1).astype(np.float32))
    return np.concatenate(parts)


def cell_validity(tiles: TileSet, cell: int) -> BoolArray:
    """N×h×w: at least half of the pixels were measured."""
    return np.stack([token_validity(v, cell) for v in tiles.validity])


def cell_labels(tiles: TileSet, masks: list[IntArray], cell: int) -> IntArray:
    """Majority labels N×h×w of cells, from a class per pixel (−1 none) of every scene; as for tokens, −1 where a pixel of
    the cell is invalid or fewer than 60 % agree.
    """
    found = []
    for scene, (row, col), valid in zip(tiles.scene, tiles.place, tiles.validity, strict=True):
        cut = masks[scene][
            row * tiles.tile : (row + 1) * tiles.tile, col * tiles.tile : (col + 1) * tiles.tile
        ]
        labels = token_labels(np.where(valid, cut, UNLABELLED), cell)
        side = tiles.tile // cell
        whole = valid.reshape(side, cell, side, cell).all(axis=(1, 3))
        found.append(np.where(whole, labels, UNLABELLED))
    return np.stack(found).astype(np.int64)


def enlarged(tokens: FloatArray, factor: int) -> FloatArray:
    """N×h×w×C between the centres of tokens, bilinearly, N×(h·factor)×(w·factor)×C; edges continue."""
    return _along(_along(tokens, factor, 1), factor, 2)


def _along(x: FloatArray, factor: int, axis: int) -> FloatArray:
    n = x.shape[axis]
    at: npt.NDArray[np.float64] = np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, n - 1)
    shape = [1] * x.ndim
    shape[axis] = -1
    weight = (at - low).astype(np.float32).reshape(shape)
    return np.asarray((1 - weight) * np.take(x, low, axis) + weight * np.take(x, high, axis), np.float32)
