"""Swin: a pyramid of stages, attention in windows that are shifted in every second block (arXiv 2103.14030, section 3).

pixels ─ patches, norm ─▶ stage 0 ─ four tokens into one ─▶ stage 1 ─ … ─▶ last stage ─ norm ─▶ tokens
         h×w×D            blocks     ⌈h/2⌉×⌈w/2⌉×2D
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from codec.models.foreign.blocks import Attention, Mlp, patches
from codec.models.foreign.encoder import ForeignEncoder, PatchEmbedding, Tokens, refuse
from codec.models.foreign.layout import Layout
from codec.models.foreign.windows import Windows, relative_index


class WindowAttention(Attention):
    """Attention among the tokens of a window, with a learnt bias per head and relative position."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__(width, heads)
        self.side = side
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * side - 1) ** 2, heads))

    def bias(self, windows: Windows, images: int) -> Tensor:
        """Added to the scaled products: heads×M×M; W×heads×M×M with the mask where windows are shifted."""
        table = self.relative_position_bias_table
        index = torch.tensor(relative_index(self.side).reshape(-1), device=table.device)
        # By `index_select`: brackets become an operator that payloads do not load.
        bias = table.index_select(0, index).reshape(self.side**2, self.side**2, -1).permute(2, 0, 1)
        mask = windows.mask()
        if mask is None:
            return bias
        each = bias + torch.tensor(mask, dtype=bias.dtype, device=bias.device)[:, None]
        return each.expand(images, *each.shape).reshape(-1, *each.shape[1:])

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        """softmax(q kᵀ / √head_width + bias) v; the head's own width, whatever that of q and k."""
        logits = (q * (self.proj.in_features // self.heads) ** -0.5) @ k.transpose(2, 3)
        return torch.softmax(logits if bias is None else logits + bias, dim=-1) @ v


class SwinBlock(nn.Module):
    """x + attention(norm1(x)) in windows, then x + mlp(norm2(x)); N×L×D → N×L×D of a grid h×w."""

    def __init__(self, width: int, heads: int, hidden: int, eps: float, side: int, *, shifted: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps)
        self.attn = WindowAttention(width, heads, side)
        self.norm2 = nn.LayerNorm(width, eps)
        self.mlp = Mlp(width, hidden)
        self.shifted = shifted

    def windows(self, h: int, w: int) -> Windows:
        """How tokens of a grid are cut; a grid that is not larger than a window is not shifted, as published."""
        side = self.attn.side
        return Windows(h, w, side, side // 2 if self.shifted and min(h, w) > side else 0)

    def forward(self, x: Tensor, h: int, w: int) -> Tensor:
        attention, windows = self.attn, self.windows(h, w)
        q, k, v = (
            part.unflatten(-1, (attention.heads, -1)).transpose(1, 2)
            for part in attention.project(windows.cut(self.norm1(x)))
        )
        mixed = attention.attend(q, k, v, attention.bias(windows, x.shape[0]))
        # Joined before the projection, which is the same token by token, so that nothing is projected that was only padding.
        x = x + attention.proj(windows.joined(mixed.transpose(1, 2).flatten(2)))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class PatchMerging(nn.Module):
    """2×2 tokens side by side, norm, a linear map: N×L×C → N×⌈h/2⌉·⌈w/2⌉×D; zeros where the grid is odd."""

    def __init__(self, into: int, out: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(into, eps)
        self.reduction = nn.Linear(into, out, bias=False)

    def forward(self, x: Tensor, h: int, w: int) -> Tensor:
        four = torch.cat(quarters(x, h, w), dim=-1)
        out: Tensor = self.reduction(self.norm(four))
        return out


def quarters(x: Tensor, h: int, w: int) -> tuple[Tensor, ...]:
    """N×L×C of a grid h×w → the upper left, lower left, upper right and lower right of every 2×2, each N×⌈h/2⌉·⌈w/2⌉×C."""
    x = x.reshape(-1, h, w, x.shape[-1])
    if h % 2 or w % 2:
        x = nn.functional.pad(x, (0, 0, 0, w % 2, 0, h % 2))
    return tuple(x[:, row::2, column::2].flatten(1, 2) for column in (0, 1) for row in (0, 1))


class Stage(nn.Module):
    """Blocks on one grid, every second one shifted, and what merges their tokens for the next stage."""

    def __init__(self, layout: Layout, name: str, out: int | None) -> None:
        super().__init__()
        hidden, width = layout.shape(f"{name}blocks.0.mlp.fc1.weight")
        places, heads = layout.shape(f"{name}blocks.0.attn.relative_position_bias_table")
        side = (math.isqrt(places) + 1) // 2  # the table has (2 side − 1)² rows
        self.width = width
        self.blocks = nn.ModuleList(
            SwinBlock(width, heads, hidden, layout.eps, side, shifted=i % 2 == 1)
            for i in range(layout.repeats(f"{name}blocks."))
        )
        self.downsample = None if out is None else PatchMerging(4 * width, out, layout.eps)


class NormedPatches(PatchEmbedding):
    """Patch filters and a norm."""

    def __init__(self, shape: tuple[int, ...], eps: float) -> None:
        super().__init__(shape)
        self.norm = nn.LayerNorm(shape[0], eps)


class SwinEncoder(ForeignEncoder):
    """`forward_tokens(pixels N×C×H×W)` → tokens of the last stage, L = ⌈…⌈h/2⌉/2 …⌉ × … of h×w patches; no class token.

    Depths, widths, heads (of each stage by its tables) and windows come from the layout's shapes. Any multiple of the patch
    is taken: see `Windows` for grids that windows do not divide.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.patch_embed = NormedPatches(layout.shape("patch_embed.proj.weight"), layout.eps)
        stages = layout.repeats("layers.")
        merged = [layout.shape(f"layers.{i}.downsample.reduction.weight")[0] for i in range(stages - 1)]
        self.layers = nn.ModuleList(
            Stage(layout, f"layers.{i}.", out) for i, out in enumerate([*merged, None])
        )
        self.width = self.stages[-1].width
        self.norm = nn.LayerNorm(self.width, layout.eps)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in order; `layers` in files."""
        return tuple(self.layers)  # type: ignore[arg-type]

    @property
    def blocks(self) -> tuple[SwinBlock, ...]:
        """The blocks of all stages in order of depth."""
        return tuple(block for stage in self.stages for block in stage.blocks)  # type: ignore[misc]

    def filters(self) -> Tensor:
        return self.patch_embed.proj.weight

    def embed(self, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """N×L×D patch tokens before the first block, and their grid."""
        grid = self.grid_of(pixels, "NCHW")
        tokens: Tensor = self.patch_embed.norm(patches(self.patch_embed, pixels))
        return tokens, grid

    def forward_tokens(self, pixels: Tensor, **side: Any) -> Tokens:
        refuse(side, ())
        x, (h, w) = self.embed(pixels)
        for stage in self.stages:
            for block in stage.blocks:
                x = block(x, h, w)
            if stage.downsample is not None:
                x, h, w = stage.downsample(x, h, w), -(-h // 2), -(-w // 2)
        return Tokens(self.norm(x), None, (h, w))
