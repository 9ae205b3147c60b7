"""Scale-MAE: a plain ViT whose positions are measured on the ground (arXiv 2212.14532, equation 2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from codec.errors import InputError
from codec.models.foreign.blocks import patches
from codec.models.foreign.encoder import PatchEmbedding, Tokens, TrunkEncoder, refuse
from codec.models.foreign.layout import Layout
from codec.models.foreign.positions import grid_sines


class ScaleMaeEncoder(TrunkEncoder):
    """`forward_tokens(pixels N×3×H×W, gsd_m=…)`: metres per pixel, one number or N of them; required.

    Positions are sines of patch index times `gsd_m` (reference 1 m); the class token has none. The table in the file is
    not used. The published code takes square inputs; rows and columns are counted apart here, which is the same there.
    """

    def __init__(self, layout: Layout, *, decoder: bool = False) -> None:
        super().__init__(layout, decoder=decoder)
        self.patch_embed = PatchEmbedding(layout.shape("patch_embed.proj.weight"))

    def forward_tokens(self, pixels: Tensor, **side: Any) -> Tokens:
        refuse(side, ("gsd_m",))
        h, w = self.grid_of(pixels, "NCHW")
        gsd_m = torch.as_tensor(side.get("gsd_m", -1.0), dtype=pixels.dtype, device=pixels.device)
        if (
            gsd_m.ndim > 1
            or gsd_m.numel() not in (1, len(pixels))
            or not bool((gsd_m > 0).all() & gsd_m.isfinite().all())
        ):
            raise InputError(
                "Scale-MAE needs the ground sample distance",
                expected="gsd_m: metres per pixel above 0, one number or one per image",
                found=side.get("gsd_m"),
            )
        gsd_m = gsd_m.reshape(-1, 1)
        rows = torch.arange(h, dtype=pixels.dtype, device=pixels.device) * gsd_m
        columns = torch.arange(w, dtype=pixels.dtype, device=pixels.device) * gsd_m
        return self.finish(
            patches(self.patch_embed, pixels) + grid_sines(rows, columns, self.width), 0.0, (h, w)
        )
