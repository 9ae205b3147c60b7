"""What every foreign encoder offers, and the plain ViT that serves most of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from codec.errors import InputError
from codec.models.foreign.blocks import Block, patches
from codec.models.foreign.decoder import MaeDecoder
from codec.models.foreign.layout import Layout
from codec.models.foreign.mapping import MappingReport
from codec.models.foreign.positions import resize


@dataclass(frozen=True, slots=True)
class Tokens:
    """Output of an encoder after its last norm."""

    patches: Tensor  # N×L×D
    class_token: Tensor | None  # N×D
    grid: tuple[int, ...]  # its product is L: (rows, columns), or (frames or groups, rows, columns)


class PatchEmbedding(nn.Module):
    """Holds the convolution under the name the files use (`proj`); kernel P×P or T×P×P."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        width, channels, *kernel = shape
        convolution = nn.Conv3d if len(kernel) == 3 else nn.Conv2d
        self.proj = convolution(channels, width, tuple(kernel), tuple(kernel))  # type: ignore[arg-type]


class ForeignEncoder(nn.Module):
    """An encoder built by a layout. `forward_tokens(pixels, **side)` gives its tokens; families say what they take."""

    report: MappingReport | None

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.report = None  # of the file it was loaded from

    @property
    def patch(self) -> int:
        """Pixels a side of a patch."""
        return int(self.filters().shape[-1])

    def filters(self) -> Tensor:
        """Patch filters D×C×P×P (D×C×T×P×P in time) of the bands `filter_bands`; the module's own parameter."""
        raise NotImplementedError

    def filter_bands(self) -> tuple[str, ...]:
        """Names of the bands that `filters` sees, in their order."""
        bands, groups = self.layout.bands, self.layout.groups
        return tuple(bands[i] for i in groups[0]) if groups else bands

    def rgb_filters(self) -> Tensor:
        """D×3×P×P: the patch filters of red, green and blue, in this order (what DEFLECT keeps)."""
        weight = self.filters()[:, [self.filter_bands().index(band) for band in ("red", "green", "blue")]]
        return weight.squeeze(2) if weight.ndim == 5 else weight

    def forward_tokens(self, pixels: Tensor, **side: Any) -> Tokens:
        """Tokens of a batch. InputError: pixels or side inputs that do not fit the family."""
        raise NotImplementedError

    def forward(self, pixels: Tensor, **side: Any) -> Tensor:
        """Patch tokens N×L×D of `forward_tokens`."""
        return self.forward_tokens(pixels, **side).patches

    def grid_of(self, pixels: Tensor, axes: str) -> tuple[int, int]:
        """Rows and columns of patches; `axes` names the axes `pixels` must have, C being the layout's bands."""
        bands = len(self.layout.bands)
        fits = pixels.ndim == len(axes) and pixels.shape[axes.index("C")] == bands
        h, w = pixels.shape[-2:] if fits else (0, 0)
        if not fits or h == 0 or w == 0 or h % self.patch or w % self.patch:
            raise InputError(
                f"pixels do not fit {self.layout.name}",
                expected=f"{'×'.join(axes)} with C = {bands}, H and W multiples of {self.patch}",
                found="×".join(map(str, pixels.shape)),
            )
        return h // self.patch, w // self.patch


class TrunkEncoder(ForeignEncoder):
    """Class token, blocks with fused `attn.qkv`, last norm; subclasses embed. Sizes come from the layout's shapes."""

    def __init__(self, layout: Layout, *, decoder: bool = False) -> None:
        super().__init__(layout)
        hidden, self.width = layout.shape("blocks.0.mlp.fc1.weight")
        self.blocks = nn.ModuleList(
            Block(self.width, layout.heads, hidden, layout.eps) for _ in range(layout.repeats("blocks."))
        )
        self.norm = nn.LayerNorm(self.width, layout.eps)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, self.width))
        self.decoder = MaeDecoder(layout) if decoder else None

    def filters(self) -> Tensor:
        embedding = self.patch_embed[0] if isinstance(self.patch_embed, nn.ModuleList) else self.patch_embed
        weight: Tensor = embedding.proj.weight  # type: ignore[union-attr, assignment]
        return weight

    def trunk(self, sequence: Tensor) -> Tensor:
        """Blocks and the last norm: N×(1 + L)×D, class token first."""
        for block in self.blocks:
            sequence = block(sequence)
        out: Tensor = self.norm(sequence)
        return out

    def finish(self, tokens: Tensor, class_position: Tensor | float, grid: tuple[int, ...]) -> Tokens:
        """Put the class token before N×L×D tokens, run the trunk, take them apart again."""
        first = (self.cls_token + class_position).expand(len(tokens), -1, -1)
        out = self.trunk(torch.cat([first, tokens], dim=1))
        return Tokens(out[:, 1:], out[:, 0], grid)


class VitEncoder(TrunkEncoder):
    """ViT with a position table in the file, row 0 for the class token: MAE, timm, MillionAID, NEC, SatMAE RGB,
    Cross-Scale MAE, DINO-MC.

    `forward_tokens(pixels N×C×H×W)`, normalised as the layout's `input` says; the table is resized to other sizes.
    Source: arXiv 2010.11929, 2111.06377; repository and commit in the layout.
    """

    def __init__(self, layout: Layout, *, decoder: bool = False) -> None:
        super().__init__(layout, decoder=decoder)
        self.patch_embed = PatchEmbedding(layout.shape("patch_embed.proj.weight"))
        self.pos_embed = nn.Parameter(torch.zeros(layout.shape("pos_embed")))

    def embed(self, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """N×L×D patch tokens with their positions, before the first block; and the grid."""
        grid = self.grid_of(pixels, "NCHW")
        table = resize(self.pos_embed[:, 1:], *grid, self.layout.resize)
        return patches(self.patch_embed, pixels) + table, grid

    def forward_tokens(self, pixels: Tensor, **side: Any) -> Tokens:
        refuse(side, ())
        tokens, grid = self.embed(pixels)
        return self.finish(tokens, self.pos_embed[:, :1], grid)

    def forward_visible(self, pixels: Tensor, keep: Tensor) -> Tensor:
        """Sequence N×(1 + K)×D of the patches `keep` (N×K indices in raster order) alone, as MAE trains; for `decoder`."""
        tokens, _ = self.embed(pixels)
        kept = tokens.gather(1, keep[..., None].expand(-1, -1, self.width))
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        return self.trunk(torch.cat([first, kept], dim=1))


def refuse(side: dict[str, Any], known: tuple[str, ...]) -> None:
    """InputError for a side input that the family does not have."""
    for name in side:
        if name not in known:
            raise InputError(
                f"this encoder takes no {name}", expected=", ".join(known) or "pixels only", found=name
            )
