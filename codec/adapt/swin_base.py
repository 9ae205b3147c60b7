"""Swin as a base: a pyramid whose blocks attend in windows, and whose tokens are merged four by four between stages.

    codes of 4×4 patches ─ stage 0 ─ mean of four ─ stage 1 ─ mean of four ─ …      beside the tokens that they belong to

Pictures are square here: what a block gets is a sequence, and its grid follows from its length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from codec.adapt.base import Base, PlainSite, Site, shared
from codec.adapt.foreign_base import (
    FULL_SCALE_REFLECTANCE,
    Scaling,
    block_linears,
    inflate_filters,
    picture_scaling,
)
from codec.adapt.types import Role
from codec.errors import InputError, InternalError
from codec.models.foreign.swin import PatchMerging, SwinBlock, SwinEncoder, quarters
from codec.models.foreign.windows import Windows


class SwinSite(PlainSite):
    """A block of `codec.models.foreign.swin`, and the merging before it if it is the first of a later stage. Queries are
    scaled before the product, keys are not.

    A site serves one pass: `project` fixes the windows that `bias` and `merge` refer to.
    """

    key_scale = 1.0

    block: SwinBlock

    biased = True  # of relative positions, and of windows that shift

    def __init__(self, block: SwinBlock, merging: PatchMerging | None) -> None:
        self.block, self.merging = block, merging
        self.heads = block.attn.heads
        self.head_width = block.attn.proj.in_features // self.heads
        self.query_scale = self.head_width**-0.5
        self._projected: tuple[Windows, Tensor] | None = None  # and the bias of all windows of the batch

    def enter(self, values: Tensor) -> Tensor:
        if self.merging is None:
            return values
        side = _side(values)
        out: Tensor = self.merging(values, side, side)
        return out

    def enter_code(self, code: Tensor) -> Tensor:
        """The mean of four; at the edge of an odd grid of the two or the one that are there."""
        if self.merging is None:
            return code
        side = _side(code)
        total = torch.stack(quarters(code, side, side)).sum(0)
        there = torch.stack(quarters(torch.ones_like(code[:1, :, :1]), side, side)).sum(0)
        return total / there

    def whole(self, x: Tensor) -> Tensor:
        side = _side(x)
        out: Tensor = self.block(x, side, side)
        return out

    def project(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        windows = self._windows(normed)
        self._projected = windows, self.block.attn.bias(windows, normed.shape[0])
        q, k, v = map(self.by_head, self.block.attn.project(windows.cut(normed)))
        return q, k, v

    def arrange(self, values: Tensor) -> Tensor:
        return self._windows(values).cut(values)

    def bias(self) -> Tensor:
        return self._last()[1]

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        return self.block.attn.attend(q, k, v, bias)

    def merge(self, values: Tensor) -> Tensor:
        return self._last()[0].joined(super().merge(values))

    def output(self, merged: Tensor) -> Tensor:
        out: Tensor = self.block.attn.proj(merged)
        return out

    def output_weight(self) -> Tensor:
        return self.block.attn.proj.weight

    def output_bias(self) -> Tensor | None:
        return self.block.attn.proj.bias

    def second(self, x: Tensor) -> Tensor:
        out: Tensor = self.block.mlp(self.block.norm2(x))
        return out

    def _windows(self, values: Tensor) -> Windows:
        side = _side(values)
        return self.block.windows(side, side)

    def _last(self) -> tuple[Windows, Tensor]:
        if self._projected is None:
            raise InternalError("the windows of a block are known once its tokens have been projected")
        return self._projected


class SwinBase(Base):
    """A `SwinEncoder` whose input is red, green and blue in any order, on square pictures.

    `patch` is that of the first stage; tokens come out of the last, where they stand for `stride` pixels a side.
    `mean`, `std` and `full_scale` as for `VitBase`.
    """

    encoder: SwinEncoder

    def __init__(
        self,
        encoder: SwinEncoder,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        full_scale: float = FULL_SCALE_REFLECTANCE,
        scaling: Scaling | None = None,
    ) -> None:
        super().__init__(encoder)
        self.bands, self.width, self.patch = encoder.layout.bands, encoder.width, encoder.patch
        self.scaling = scaling or picture_scaling(encoder.layout, mean, std, full_scale)

    @property
    def stride(self) -> int:
        return self.patch << (len(self.encoder.stages) - 1)  # merged two by two between stages

    def embed(self, pixels: Tensor, present: Tensor, validity: Tensor) -> tuple[Tensor, tuple[int, int]]:
        if pixels.ndim == 4 and pixels.shape[-2] != pixels.shape[-1]:
            raise InputError(
                "pixels do not fit the base",
                expected=f"N×{len(self.bands)}×H×H with H a multiple of {self.patch}",
                found="×".join(map(str, pixels.shape)),
                fix="cut square tiles",
            )
        return self.encoder.embed(self.scaling(pixels, present, validity))

    def sites(self) -> Sequence[Site]:
        found: list[Site] = []
        merging: PatchMerging | None = None
        for stage in self.encoder.stages:
            for i, block in enumerate(stage.blocks):
                found.append(SwinSite(block, None if i else merging))  # type: ignore[arg-type]
            merging = stage.downsample
        return found

    def finish(self, sequence: Tensor, grid: tuple[int, int]) -> Tensor:
        side = _side(sequence)
        x: Tensor = self.encoder.norm(sequence)
        return x.reshape(-1, side, side, self.width)

    def linears(self) -> Mapping[str, Role]:
        return {
            path: role
            for i, stage in enumerate(self.encoder.stages)
            for path, role in block_linears(stage.blocks, f"layers.{i}.blocks").items()
        }

    def stem(self) -> tuple[str, ...]:
        return ("patch_embed.proj.weight",)

    def inflated(self, bands: Sequence[str], how: str, seed: int = 0) -> SwinBase:
        self.require_bands(bands)
        wider = shared(self.encoder)
        inflate_filters(wider, self.stem()[0], self.bands, bands, how, seed)
        wider.layout = replace(wider.layout, bands=tuple(bands), groups=())
        return SwinBase(wider, scaling=self.scaling.widened(self.bands, bands))


def _side(values: Tensor) -> int:
    """Of the square grid of N×L×C."""
    return math.isqrt(values.shape[1])
