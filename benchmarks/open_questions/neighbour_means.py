"""The mean of a tile foretold from the tiles beside it, or from a mean of the scene: bits of layer 0 under static tables.

Neighbours are the decoded means of the tile on the left and of that above. A gain for each channel is fitted to neighbouring
windows of training rasters, and tables are moved by what it takes from the variance there. A record that needs its
neighbours' is no longer independent: this is what that would buy. The scene's mean is sent once at the step of layer 0 and
counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.open_questions.code_length import Bits, bin_of
from codec.data.labelled import place_bands
from codec.data.raster import Raster
from codec.models.vit import Encoder
from codec.transform.fit import FittedCodec
from codec.transform.layout import QUARTER_OCTAVES
from codec.transform.maps import quant_maps
from codec.types import BoolArray, FloatArray, SymbolArray

_TILE = 64
_BATCH = 64


@torch.inference_mode()
def raster_tokens(encoder: Encoder, raster: Raster) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Tokens of the wholly measured tiles of a raster, N×h×w×C, and their places N×2."""
    pixels, places = [], []
    present = np.zeros(len(encoder.config.bands), np.bool_)
    for row in range(raster.height // _TILE):
        for col in range(raster.width // _TILE):
            cut = np.s_[row * _TILE : (row + 1) * _TILE, col * _TILE : (col + 1) * _TILE]
            if raster.validity[cut].all():
                values = raster.reflectance(row * _TILE, col * _TILE, _TILE, _TILE)
                placed, present = place_bands(values, raster.bands, encoder.config.bands)
                pixels.append(placed)
                places.append((row, col))
    shown = torch.from_numpy(present.astype(np.float32))
    parts = [np.zeros((0, encoder.config.side, encoder.config.side, encoder.config.width), np.float32)]
    for start in range(0, len(pixels), _BATCH):
        x = torch.from_numpy(np.stack(pixels[start : start + _BATCH]))
        valid = torch.ones((len(x), _TILE, _TILE))
        parts.append(encoder(x, shown.expand(len(x), -1), valid)["tokens"].numpy())
    return np.concatenate(parts), np.array(places, np.int64).reshape(-1, 2)


def before(
    scene: npt.NDArray[np.integer], place: npt.NDArray[np.integer], usable: BoolArray
) -> npt.NDArray[np.int64]:
    """N×2: the tile on the left and that above, −1 where there is none."""
    number: Mapping[tuple[int, int, int], int] = {
        (int(s), int(r), int(c)): i
        for i, (s, (r, c)) in enumerate(zip(scene, place, strict=True))
        if usable[i]
    }
    return np.array(
        [
            [number.get((int(s), int(r), int(c) - 1), -1), number.get((int(s), int(r) - 1, int(c)), -1)]
            for s, (r, c) in zip(scene, place, strict=True)
        ]
    )


def beside(means: FloatArray, neighbours: npt.NDArray[np.int64]) -> tuple[FloatArray, BoolArray]:
    """N×C: mean over the neighbours that are there (0 without any), and N: whether there is one."""
    known = neighbours >= 0
    total = (np.where(known[..., None], means[neighbours], 0)).sum(axis=1)
    count = known.sum(axis=1)
    return np.asarray(total / np.maximum(count, 1)[:, None], np.float32), np.asarray(count > 0, np.bool_)


@dataclass(frozen=True)
class MeanCoder:
    """Layer 0 of one quality, under tables of levels."""

    codec: FittedCodec
    index: int
    costs: Bits  # levels×bins

    def _quantise(self, means: FloatArray) -> tuple[SymbolArray, FloatArray]:
        """Symbols N×C and what is decoded, of latents of the tile mean N×C."""
        maps = quant_maps(self.codec.tables, 0, self.index)
        whole = np.zeros((len(means), *maps.layer.shape), np.float32)
        whole[:, :, 0] = means
        symbols = maps.quantise(whole)
        return symbols[:, :, 0], maps.reconstruct(symbols)[:, :, 0]

    def decoded(self, means: FloatArray) -> FloatArray:
        return self._quantise(means)[1]

    def bits(self, means: FloatArray, moved: npt.NDArray[np.integer] | None = None) -> Bits:
        """N; `moved` C: levels that the tables are lower by."""
        maps = quant_maps(self.codec.tables, 0, self.index)
        symbols, _ = self._quantise(means)
        level = maps.level[:, 0] - (0 if moved is None else moved)
        cost = self.costs[np.clip(level, 0, len(self.costs) - 1), bin_of(np.abs(symbols.astype(np.int64)))]
        return np.where(maps.coded[:, 0], cost, 0).sum(axis=1)

    def foretold(
        self,
        means: FloatArray,
        neighbours: npt.NDArray[np.int64],
        gain: FloatArray,
        moved: npt.NDArray[np.integer],
    ) -> Bits:
        """N: what is left of each mean after its neighbours; tiles without any by the tables as they are."""
        guess, known = beside(self.decoded(means), neighbours)
        rest = np.where(known[:, None], means - gain * guess, means)
        return np.where(known, self.bits(rest, moved), self.bits(means))

    def about_scene(self, means: FloatArray, scene: npt.NDArray[np.integer]) -> Bits:
        """N: less the decoded mean of its scene, whose bits its tiles share."""
        result = np.zeros(len(means))
        for one in np.unique(scene):
            at = scene == one
            mean = means[at].mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
            result[at] = self.bits(means[at] - self.decoded(mean)) + self.bits(mean) / at.sum()
        return result


def fit_gain(
    parts: Sequence[tuple[FloatArray, npt.NDArray[np.int64]]],
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """C: gain of the neighbours' mean, and by how many levels what is left is smaller; `parts`: means N×C and neighbours
    of training rasters.
    """
    pairs = []
    for means, neighbours in parts:
        guess, known = beside(means, neighbours)
        pairs.append((guess[known].astype(np.float64), means[known].astype(np.float64)))
    guess, truth = (np.concatenate(side) for side in zip(*pairs, strict=True))
    gain = (guess * truth).sum(axis=0) / np.maximum((guess**2).sum(axis=0), 1e-12)
    gain = np.clip(gain, 0, 1)
    share = np.mean((truth - gain * guess) ** 2, axis=0) / np.maximum(np.mean(truth**2, axis=0), 1e-12)
    moved = np.rint(-QUARTER_OCTAVES / 2 * np.log2(np.maximum(share, 1e-6)))
    return gain.astype(np.float32), np.maximum(moved, 0).astype(np.int64)
