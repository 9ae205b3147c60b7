"""This project's encoder as a base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.adapt.base import Base, PlainSite, Site, replace_parameter, shared
from codec.adapt.inflation import inflate
from codec.adapt.types import Role
from codec.errors import InputError
from codec.models.bands import REFLECTANCE_MEAN, REFLECTANCE_SPREAD
from codec.models.vit import Block, Encoder

_ROLES: tuple[Role, ...] = ("qkv", "proj", "fc1", "fc2")


class OwnSite(PlainSite):
    """A block of `codec.models.vit`: queries are scaled before the product, keys are not."""

    key_scale = 1.0

    block: Block

    def __init__(self, block: Block) -> None:
        self.block = block
        self.heads = block.heads
        self.head_width = block.proj.in_features // block.heads
        self.query_scale = self.head_width**-0.5

    def project(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = map(self.by_head, self.block.qkv(normed).chunk(3, dim=-1))
        return q, k, v

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        logits = (q * self.query_scale) @ k.transpose(2, 3)
        return torch.softmax(logits if bias is None else logits + bias, dim=-1) @ v

    def output(self, merged: Tensor) -> Tensor:
        out: Tensor = self.block.proj(merged)
        return out

    def output_weight(self) -> Tensor:
        return self.block.proj.weight

    def output_bias(self) -> Tensor | None:
        return self.block.proj.bias

    def second(self, x: Tensor) -> Tensor:
        out: Tensor = self.block.fc2(F.gelu(self.block.fc1(self.block.norm2(x))))
        return out


class OwnBase(Base):
    """`codec.models.vit.Encoder`, such as `rgb-small` and `s2-nano`."""

    encoder: Encoder

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        config = encoder.config
        self.bands, self.width, self.patch = config.bands, config.width, config.patch
        self.leading, self.groups = config.registers, len(config.groups)

    def embed(self, pixels: Tensor, present: Tensor, validity: Tensor) -> tuple[Tensor, tuple[int, int]]:
        encoder, tile, side = self.encoder, self.encoder.config.tile, self.encoder.config.side
        if pixels.shape[1:] != (len(self.bands), tile, tile):
            raise InputError(
                "pixels do not fit the base",
                expected=f"N×{len(self.bands)}×{tile}×{tile}",
                found="×".join(map(str, pixels.shape)),
            )
        valid = encoder.cut(validity[:, None])
        z = encoder.normalise(encoder.cut(pixels), present, valid)
        x = encoder.embed_patches(z, encoder.patch_moments(z, valid)[1], present)
        if self.leading:
            x = torch.cat([encoder.registers.expand(x.shape[0], -1, -1), x], dim=1)
        return x, (side, side)

    def sites(self) -> Sequence[Site]:
        return [OwnSite(block) for block in self.encoder.blocks]  # type: ignore[arg-type]

    def finish(self, sequence: Tensor, grid: tuple[int, int]) -> Tensor:
        x: Tensor = self.encoder.norm(sequence[:, self.leading :] if self.leading else sequence)
        if self.groups > 1:
            x = x.reshape(-1, self.groups, grid[0] * grid[1], self.width).mean(1)
        return self.encoder.project(x).reshape(-1, *grid, self.width)

    def linears(self) -> Mapping[str, Role]:
        return {f"blocks.{i}.{role}": role for i in range(len(self.encoder.blocks)) for role in _ROLES}

    def stem(self) -> tuple[str, ...]:
        return ("stem.weight", "texture.weight", "presence.weight")

    def inflated(self, bands: Sequence[str], how: str, seed: int = 0) -> OwnBase:
        self.require_bands(bands)
        unknown = [band for band in bands if band not in REFLECTANCE_MEAN]
        if unknown:
            raise InputError(
                f"this encoder has no normalisation for band {unknown[0]}, so no filter can see it",
                expected=", ".join(REFLECTANCE_MEAN),
                fix='use inputs="own", or DEFLECT, which takes any band',
            )
        wider = shared(self.encoder)
        for number, name in enumerate(self.stem()):
            filters = inflate(wider.get_parameter(name), self.bands, bands, how, seed + number)
            replace_parameter(wider, name, filters, trained=False)
        wider.config = replace(wider.config, bands=tuple(bands))
        for name, values in (("mean", REFLECTANCE_MEAN), ("inverse_spread", REFLECTANCE_SPREAD)):
            constant = wider.mean.new_tensor([values[band] for band in bands]).reshape(-1, 1)
            setattr(wider, name, constant if name == "mean" else 1.0 / constant)
        return OwnBase(wider)
