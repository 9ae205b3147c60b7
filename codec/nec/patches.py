"""Tiles as normalised patches, and which of them an encoder is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codec.errors import InputError
from codec.models.bands import NORMALISED_RANGE, REFLECTANCE_MEAN, REFLECTANCE_SPREAD


@dataclass(frozen=True, slots=True)
class Tiles:
    """A batch as every encoder of this room takes it; N tiles, B bands, T×T pixels, L = (T/P)² patches."""

    pixels: Tensor  # N×B×T×T reflectance; what stands in absent bands and invalid pixels does not matter
    bands: Tensor  # N×B in {0, 1}
    valid: Tensor  # N×L×1×P² in {0, 1}
    patches: Tensor  # N×L×B×P², normalised; 0 where absent or invalid

    def __len__(self) -> int:
        return len(self.pixels)

    def only(self, first: int, stop: int) -> Tiles:
        """Tiles `first` … `stop` − 1."""
        return Tiles(*(getattr(self, name)[first:stop] for name in _FIELDS))

    def to(self, device: torch.device) -> Tiles:
        """The same on a device."""
        return Tiles(*(getattr(self, name).to(device) for name in _FIELDS))

    @property
    def known(self) -> Tensor:
        """N×L×B×P² in {0, 1}: the pixels that an answer may be held against."""
        return self.bands[:, None, :, None] * self.valid


_FIELDS = ("pixels", "bands", "valid", "patches")


def cut(images: Tensor, patch: int) -> Tensor:
    """N×B×T×T → N×L×B×P², patches and their pixels in raster order."""
    n, bands, height, width = images.shape
    if height % patch or width % patch:
        raise InputError("a tile cannot be cut into patches", expected=f"multiples of {patch}", found=height)
    x = images.reshape(n, bands, height // patch, patch, width // patch, patch)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(n, -1, bands, patch * patch)


def tiles_of(pixels: Tensor, bands: Tensor, validity: Tensor, names: Sequence[str], patch: int) -> Tiles:
    """Normalise as `codec.models.vit` does, by band name; the same numbers are the encoder's input and the decoder's goal.

    pixels N×B×T×T, bands N×B, validity N×T×T, all float32. Raises InputError for a band without constants.
    """
    unknown = [name for name in names if name not in REFLECTANCE_MEAN]
    if unknown:
        raise InputError(
            f"no normalisation constants for band {unknown[0]}", expected=", ".join(REFLECTANCE_MEAN)
        )
    mean = torch.tensor([REFLECTANCE_MEAN[b] for b in names], device=pixels.device)[:, None]
    spread = torch.tensor([REFLECTANCE_SPREAD[b] for b in names], device=pixels.device)[:, None]
    valid = cut(validity[:, None], patch)
    z = ((cut(pixels, patch) - mean) / spread).clamp(*NORMALISED_RANGE)
    z = torch.where(bands[:, None, :, None] * valid > 0.5, z, torch.zeros_like(z))
    return Tiles(pixels, bands, valid, z)


def n_visible(n_patches: int, mask: float) -> int:
    """Patches that are left of `n_patches` when the share `mask` is hidden; the MAE code rounds down."""
    return max(1, int(n_patches * (1 - mask)))


def choose_visible(n_tiles: int, n_patches: int, mask: float, generator: torch.Generator) -> Tensor:
    """N×K indices of the visible patches, ascending, drawn without putting back for every tile."""
    order = torch.rand((n_tiles, n_patches), generator=generator).argsort(1)
    return order[:, : n_visible(n_patches, mask)].sort(1).values


def take(x: Tensor, keep: Tensor | None) -> Tensor:
    """N×L×… → N×K×… of the indices `keep`; None keeps all."""
    if keep is None:
        return x
    index = keep.reshape(*keep.shape, *([1] * (x.ndim - 2))).expand(-1, -1, *x.shape[2:])
    return x.gather(1, index)
