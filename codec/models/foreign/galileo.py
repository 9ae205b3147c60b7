"""Galileo as a foreign encoder: its Sentinel-2 part (arXiv 2502.09356), which is also this project's teacher."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from codec.models.foreign.encoder import ForeignEncoder, Tokens, refuse
from codec.models.foreign.layout import Layout
from codec.models.galileo import GROUPS, GalileoTeacher


class GalileoEncoder(ForeignEncoder):
    """`forward_tokens(reflectance N×C×H×W, bands=…, month=0 … 11, gsd_m=10)` → L = groups × rows × columns; no class token.

    `bands` are the names of the C channels (default: all ten of the layout); groups that lack a band are left out.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        hidden, width = layout.shape("teacher.blocks.0.mlp.fc1.weight")
        patch = layout.shape("teacher.space_time_embed.S2_RGB.proj.weight")[-1]
        depth = layout.repeats("teacher.blocks.")
        self.teacher = GalileoTeacher(width, depth, layout.heads, hidden // width, patch, layout.eps)
        self.width = width

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks; `attn.q`, `attn.k`, `attn.v` are separate here."""
        return self.teacher.blocks

    def filters(self) -> Tensor:
        return self.teacher.filters("S2_RGB")

    def filter_bands(self) -> tuple[str, ...]:
        return GROUPS["S2_RGB"]

    def forward_tokens(self, pixels: Tensor, **side: Any) -> Tokens:
        refuse(side, ("bands", "month", "gsd_m"))
        by_group = self.teacher.tokens_by_group(pixels, **{"bands": self.layout.bands, **side})
        grid = (len(by_group), pixels.shape[-2] // self.patch, pixels.shape[-1] // self.patch)
        return Tokens(torch.cat(list(by_group.values()), dim=1), None, grid)
