"""Prithvi-EO 1 and 2: patches in space and time, with codes for date and place (arXiv 2310.18660, 2412.02732)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from codec.errors import InputError
from codec.models.foreign.blocks import patches
from codec.models.foreign.encoder import PatchEmbedding, Tokens, TrunkEncoder, refuse
from codec.models.foreign.layout import Layout
from codec.models.foreign.positions import sines, volume_sines


class PrithviEncoder(TrunkEncoder):
    """`forward_tokens(pixels N×6×T×H×W, dates=N×T×2, places=N×2)` → L = T × rows × columns, the frames in their order.

    `dates` are (year, day of year), `places` (latitude, longitude) in degrees; both optional, and only the models called
    TL take them (they were trained with either left out at times). Positions are sines computed for the frames and the
    grid of the input, never taken from the file; class token: none. The published library also knows another rule for other
    sizes, resizing the code of 224 px; it gives slightly other positions.
    """

    def __init__(self, layout: Layout, *, decoder: bool = False) -> None:
        super().__init__(layout, decoder=decoder)
        shape = layout.shape("patch_embed.proj.weight")
        self.frames_per_patch = shape[2]
        self.patch_embed = PatchEmbedding(shape)
        own = {layout.own(key) for key in layout.keys}
        self.temporal_scale = nn.Parameter(torch.zeros(1)) if "temporal_scale" in own else None
        self.location_scale = nn.Parameter(torch.zeros(1)) if "location_scale" in own else None

    def forward_tokens(self, pixels: Tensor, **side: Any) -> Tokens:
        takes = [("dates", self.temporal_scale), ("places", self.location_scale)]
        refuse(side, tuple(name for name, scale in takes if scale is not None))
        h, w = self.grid_of(pixels, "NCTHW")
        n, frames = len(pixels), pixels.shape[2] // self.frames_per_patch
        if frames == 0 or pixels.shape[2] % self.frames_per_patch:
            raise InputError(
                "no whole patch in time",
                expected=f"multiples of {self.frames_per_patch}",
                found=pixels.shape[2],
            )
        tokens = patches(self.patch_embed, pixels)
        tokens = tokens + volume_sines(frames, h, w, self.width, like=tokens)
        dates, places = side.get("dates"), side.get("places")
        if dates is not None and self.temporal_scale is not None:
            _check("dates", dates, (n, frames, 2))
            code = sines(dates.to(tokens), self.width // 2).flatten(-2)  # N×T×D
            tokens = tokens + self.temporal_scale * code.repeat_interleave(h * w, dim=1)
        if places is not None and self.location_scale is not None:
            _check("places", places, (n, 2))
            tokens = (
                tokens + self.location_scale * sines(places.to(tokens), self.width // 2).flatten(-2)[:, None]
            )
        return self.finish(tokens, 0.0, (frames, h, w))


def _check(name: str, value: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(value, Tensor) or tuple(value.shape) != shape or not bool(value.isfinite().all()):
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"{name} do not fit the pixels", expected=f"finite numbers {shape}", found=found)
