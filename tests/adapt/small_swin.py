"""A small Swin with random weights and odd grids: 7×7 patches in windows of 3 (padded, and shifted in every second block),
then 4×4, then 2×2; and pictures for it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from codec.adapt import apply
from codec.adapt.deflect import Deflected
from codec.models.foreign import build
from codec.models.foreign.swin import SwinEncoder
from tests.adapt.small_bases import BANDS, Batch, random_weights
from tests.models.foreign_files import swin_layout

OWN = ("red", "green", "blue")
SIDE, PATCH = 7, 4  # patches a side of a picture, pixels a side of a patch


def swin(depths: tuple[int, ...] = (2, 2, 1), heads: tuple[int, ...] = (2, 2, 4)) -> SwinEncoder:
    layout = swin_layout(depths=depths, heads=heads, width=8, window=3, patch=PATCH, bands=3)
    encoder = random_weights(build(layout), 7)
    assert isinstance(encoder, SwinEncoder)
    return encoder


class MeanAndSpread(nn.Module):
    """Of each band over the valid pixels of a patch; stands in for the real statistics."""

    n_features = 2 * len(BANDS)

    def forward(self, pixels: Tensor, present: Tensor, validity: Tensor) -> Tensor:
        def patches(x: Tensor) -> Tensor:
            return x.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).flatten(4)  # N×C×h×w×P²

        x, valid = patches(pixels), patches(validity[:, None] * present[:, :, None, None])
        count = valid.sum(-1).clamp(min=1.0)
        mean = (x * valid).sum(-1) / count
        spread = (((x - mean[..., None]) * valid).square().sum(-1) / count).sqrt()
        return torch.cat([10 * mean - 2, 10 * spread - 1], dim=1).permute(0, 2, 3, 1)


def batch_of(dtype: torch.dtype = torch.float32) -> Batch:
    """Two pictures of 28×28 pixels; some pixels invalid, one patch wholly so, one further band absent."""
    pixels = torch.rand((2, len(BANDS), 28, 28), generator=torch.Generator().manual_seed(1)) * 0.4
    present, validity = torch.ones(2, len(BANDS)), torch.ones(2, 28, 28)
    present[0, 3] = 0.0
    validity[0, :4, 4:8] = 0.0
    validity[1, 5:7, 2:9] = 0.0
    return pixels.to(dtype), present.to(dtype), validity.to(dtype)


def rgb_of(batch: Batch) -> Batch:
    index = [BANDS.index(band) for band in OWN]
    return batch[0][:, index], batch[1][:, index], batch[2]


def adapted(encoder: SwinEncoder | None = None, *, double: bool = False, **settings: Any) -> Deflected:
    given = {"statistics": MeanAndSpread(), "uatt__rank": 5, "layers": "all", **settings}
    found = apply(encoder or swin(), "deflect", BANDS, **given)
    assert isinstance(found, Deflected)
    return found.double() if double else found
