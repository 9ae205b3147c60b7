"""SatMAE beyond plain RGB: groups of channels, and series of three dates (arXiv 2207.08051, sections 3.2 and 3.3).

In both the class token has no position, as in the published pre-training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from codec.errors import InputError
from codec.models.foreign.blocks import patches
from codec.models.foreign.encoder import PatchEmbedding, Tokens, TrunkEncoder, refuse
from codec.models.foreign.layout import Layout
from codec.models.foreign.positions import resize, sines


class SatMaeGroupEncoder(TrunkEncoder):
    """`forward_tokens(pixels N×10×H×W)` → L = groups × rows × columns: one token per patch and group of channels.

    The last part of a token's code (channel_embed) says its group, the rest its place.
    """

    def __init__(self, layout: Layout, *, decoder: bool = False) -> None:
        super().__init__(layout, decoder=decoder)
        self.patch_embed = nn.ModuleList(
            PatchEmbedding(layout.shape(f"patch_embed.{i}.proj.weight")) for i in range(len(layout.groups))
        )
        self.pos_embed = nn.Parameter(torch.zeros(layout.shape("pos_embed")))
        self.channel_embed = nn.Parameter(torch.zeros(layout.shape("channel_embed")))

    def forward_tokens(self, pixels: Tensor, **side: Any) -> Tokens:
        refuse(side, ())
        h, w = self.grid_of(pixels, "NCHW")
        place = resize(self.pos_embed[:, 1:], h, w, self.layout.resize)
        tokens = []
        for i, (group, embedding) in enumerate(zip(self.layout.groups, self.patch_embed, strict=True)):
            code = torch.cat([place, self.channel_embed[:, i : i + 1].expand(-1, h * w, -1)], dim=-1)
            tokens.append(patches(embedding, pixels[:, list(group)]) + code)
        return self.finish(torch.cat(tokens, dim=1), 0.0, (len(tokens), h, w))


class SatMaeTemporalEncoder(TrunkEncoder):
    """`forward_tokens(pixels N×T×3×H×W, timestamps=N×T×3)` → L = T × rows × columns, the dates in their order.

    A timestamp is (year − 2002, month − 1, hour), as the published data set gives it. The model was trained with T = 3.
    """

    def __init__(self, layout: Layout, *, decoder: bool = False) -> None:
        super().__init__(layout, decoder=decoder)
        self.patch_embed = PatchEmbedding(layout.shape("patch_embed.proj.weight"))
        self.pos_embed = nn.Parameter(torch.zeros(layout.shape("pos_embed")))

    def forward_tokens(self, pixels: Tensor, **side: Any) -> Tokens:
        refuse(side, ("timestamps",))
        h, w = self.grid_of(pixels, "NTCHW")
        n, frames = pixels.shape[:2]
        timestamps = side.get("timestamps")
        if not isinstance(timestamps, Tensor) or timestamps.shape != (n, frames, 3):
            raise InputError(
                "SatMAE's series need the time of each image",
                expected=f"timestamps {n}×{frames}×3: year − 2002, month − 1, hour",
                found=None if timestamps is None else tuple(getattr(timestamps, "shape", ())),
            )
        place = resize(self.pos_embed[:, 1:], h, w, self.layout.resize)
        part = (self.width - place.shape[-1]) // 3
        time = sines(timestamps.to(pixels), part).flatten(-2)  # N×T×3·part
        code = torch.cat(
            [
                place[:, None].expand(n, frames, -1, -1),
                time[:, :, None].expand(-1, -1, h * w, -1),
            ],
            dim=-1,
        )
        tokens = patches(self.patch_embed, pixels.flatten(0, 1)).reshape(n, frames, h * w, self.width) + code
        return self.finish(tokens.flatten(1, 2), 0.0, (frames, h, w))
