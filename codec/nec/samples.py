"""Training tiles: the labelled views of `codec.pretrain` or pictures of a folder, a part of which is kept back for sizes and
checks.

All randomness of step s comes from (seed, s): there is no sampler whose state could be lost.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from codec.errors import InputError
from codec.nec.encoders import MaskedEncoder
from codec.nec.patches import Tiles, tiles_of
from codec.nec.pictures import Pictures
from codec.pretrain.labels import Pool
from codec.types import FloatArray

HELD_BACK = 16  # every so many-th image
Index = npt.NDArray[np.int64]
Views = Pool | Pictures


@dataclass(frozen=True)
class Samples:
    """Views that an encoder can be shown, in its bands."""

    pool: Views
    names: tuple[str, ...]
    patch: int
    training: Index  # views
    held: Index  # views of other images, at most `n_held`

    @classmethod
    def of(cls, pool: Views, encoder: MaskedEncoder, n_held: int = 256) -> Samples:
        """Raises InputError where the pool has none of the encoder's bands, another tile, or too few views."""
        names = encoder.names
        missing = [band for band in names if band not in pool.bands_of]
        tile = pool.tile if isinstance(pool, Pictures) else pool.pixels.shape[-1]
        if missing or tile != encoder.tile:
            raise InputError(
                "the pool of views does not fit the encoder",
                expected=f"tiles of {encoder.tile} with {', '.join(missing) or 'its bands'}",
                found=f"tiles of {tile} with {', '.join(pool.bands_of)}",
            )
        own = [pool.bands_of.index(band) for band in names]
        needed = [pool.bands_of.index(band) for band in encoder.needs]
        fit = pool.bands[:, own].any(1) & pool.bands[:, needed].all(1)
        held = fit & (pool.image % HELD_BACK == 0)
        training, kept = np.flatnonzero(fit & ~held), np.flatnonzero(held)
        if len(training) < 2 or not len(kept):
            raise InputError(
                "too few views that the encoder can be shown",
                found=f"{len(training)} to train on, {len(kept)} to measure on",
            )
        spread = np.unique(np.linspace(0, len(kept) - 1, min(n_held, len(kept))).astype(np.int64))
        return cls(pool, names, encoder.patch, training, kept[spread])

    @cached_property
    def identity(self) -> str:
        """Digest of the views: which, of what images and bands, and of a hundred of them the pixels."""
        digest = hashlib.sha256(repr(self.names).encode())
        for array in (self.training, self.held, self.pool.image, self.pool.bands):
            digest.update(np.ascontiguousarray(array).tobytes())
        if isinstance(self.pool, Pictures):
            digest.update(self.pool.identity)
            return digest.hexdigest()
        some = self.training[:: max(1, len(self.training) // 100)]
        digest.update(np.ascontiguousarray(self.pool.pixels[some]).tobytes())
        return digest.hexdigest()

    def _pixels(self, index: Index, rng: np.random.Generator | None) -> FloatArray:
        """n×B×T×T; views of a pool are crops already."""
        bands = [self.pool.bands_of.index(band) for band in self.names]
        if isinstance(self.pool, Pictures):
            return self.pool.shown(index, rng)[:, bands]
        return np.asarray(self.pool.pixels[index][:, bands], np.float32)

    def tiles(
        self,
        index: Index,
        flips: npt.NDArray[np.bool_] | None = None,
        rng: np.random.Generator | None = None,
    ) -> Tiles:
        """Some views, mirrored where `flips` says so (published: random crop and horizontal flip); pictures are cropped by
        `rng`, in the middle without.
        """
        bands = [self.pool.bands_of.index(band) for band in self.names]
        pixels = self._pixels(index, rng)
        if flips is not None:
            pixels[flips] = pixels[flips][..., ::-1]
        n, _, side, _ = pixels.shape
        present = torch.from_numpy(self.pool.bands[index][:, bands].astype(np.float32))
        return tiles_of(torch.from_numpy(pixels), present, torch.ones(n, side, side), self.names, self.patch)

    def batch(self, seed: int, step: int, size: int, rank: int = 0) -> tuple[Tiles, torch.Generator]:
        """The tiles of one step on one process, and what else is random in it."""
        rng = np.random.default_rng([seed, step, rank])
        index = np.sort(rng.choice(self.training, size=min(size, len(self.training)), replace=False))
        flips = rng.random(len(index)) < 0.5
        generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
        return self.tiles(index, flips, rng), generator
