"""Published ViTs as bases: MAE, timm's, MillionAID, SatMAE RGB, Cross-Scale MAE, DINO-MC, Scale-MAE."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.adapt.base import Base, PlainSite, Site, replace_parameter, shared
from codec.adapt.inflation import inflate
from codec.adapt.types import Role
from codec.errors import InputError
from codec.models.bands import REFLECTANCE_MEAN, REFLECTANCE_SPREAD
from codec.models.foreign.blocks import Block, SplitAttention, patches
from codec.models.foreign.encoder import ForeignEncoder, VitEncoder
from codec.models.foreign.layout import Layout
from codec.models.foreign.positions import grid_sines
from codec.models.foreign.scale_mae import ScaleMaeEncoder

# Reflectance that Sentinel-2's true-colour images (8 bit) show as 255; published RGB encoders were trained on such pictures.
FULL_SCALE_REFLECTANCE = 0.3558
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class ForeignSite(PlainSite):
    """A block of `codec.models.foreign.blocks`; the scale of its fused attention is split over queries and keys, as
    PyTorch's own written-out form does.
    """

    block: Block

    def __init__(self, block: Block) -> None:
        self.block = block
        self.heads = block.attn.heads
        self.head_width = block.attn.proj.in_features // self.heads
        self.query_scale = self.key_scale = math.sqrt(1.0 / math.sqrt(self.head_width))

    def project(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = map(self.by_head, self.block.attn.project(normed))
        return q, k, v

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=self.head_width**-0.5)

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


def block_linears(blocks: nn.ModuleList, prefix: str = "blocks") -> dict[str, Role]:
    """Path → role of the linear maps of foreign blocks; separate queries, keys and values are three of role qkv."""
    found: dict[str, Role] = {}
    for i, block in enumerate(blocks):
        split = isinstance(block.attn, SplitAttention)
        for name in ("q", "k", "v") if split else ("qkv",):
            found[f"{prefix}.{i}.attn.{name}"] = "qkv"
        found[f"{prefix}.{i}.attn.proj"] = "proj"
        found[f"{prefix}.{i}.mlp.fc1"] = "fc1"
        found[f"{prefix}.{i}.mlp.fc2"] = "fc2"
    return found


@dataclass(frozen=True, slots=True)
class Scaling:
    """Reflectance r → what an encoder reads: (r · gain − mean) / std, r · gain first cut to 0 … 1 where `cut`."""

    gain: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    cut: tuple[bool, ...]

    def __call__(self, pixels: Tensor, present: Tensor, validity: Tensor) -> Tensor:
        """N×B×H×W, N×B, N×H×W → N×B×H×W; the mean, 0, where nothing was measured, whatever stands there."""
        gain, mean, std = (
            pixels.new_tensor(values).reshape(-1, 1, 1) for values in (self.gain, self.mean, self.std)
        )
        level = pixels * gain
        if any(self.cut):
            limit = pixels.new_tensor([1.0 if cut else math.inf for cut in self.cut]).reshape(-1, 1, 1)
            floor = pixels.new_tensor([0.0 if cut else -math.inf for cut in self.cut]).reshape(-1, 1, 1)
            level = torch.minimum(torch.maximum(level, floor), limit)
        z = (level - mean) / std
        usable = (present[:, :, None, None] * validity[:, None]) > 0.5
        return torch.where(usable, z, torch.zeros_like(z))

    def widened(self, own: Sequence[str], bands: Sequence[str]) -> Scaling:
        """For more bands: those of the base as they are, the others in units of their own spread about their mean."""
        rows = dict(zip(own, zip(self.gain, self.mean, self.std, self.cut, strict=True), strict=True))
        for band in bands:
            if band not in rows and band not in REFLECTANCE_MEAN:
                raise InputError(
                    f"there is no normalisation for band {band}, so no filter can see it",
                    expected=", ".join(REFLECTANCE_MEAN),
                    fix='use inputs="own", or DEFLECT, which takes any band',
                )
            rows.setdefault(
                band, (1.0, REFLECTANCE_MEAN.get(band, 0.0), REFLECTANCE_SPREAD.get(band, 1.0), False)
            )
        gain, mean, std, cut = zip(*(rows[band] for band in bands), strict=True)
        return Scaling(gain, mean, std, cut)


def picture_scaling(
    layout: Layout, mean: Sequence[float] | None, std: Sequence[float] | None, full_scale: float
) -> Scaling:
    """Of encoders trained on 8-bit pictures: `full_scale` is the reflectance of full scale; `mean` and `std` (of 0 … 1) are
    those the layout states, ImageNet's where it states none, unless given. InputError: not one of each per band.
    """
    stated = layout.input if "mean" in layout.input else {"mean": _IMAGENET[0], "std": _IMAGENET[1]}
    mean, std = mean or stated["mean"], std or stated["std"]
    n = len(layout.bands)
    if len(mean) != n or len(std) != n or min(std) <= 0 or not 0 < full_scale < math.inf:
        raise InputError(
            "normalisation of the base", expected=f"{n} means, {n} stds above 0, full_scale above 0"
        )
    return Scaling((1.0 / full_scale,) * n, tuple(mean), tuple(std), (True,) * n)


class VitBase(Base):
    """A `VitEncoder` or `ScaleMaeEncoder` whose input is red, green and blue in any order.

    `full_scale` is the reflectance of full scale. `mean` and `std` (of 0 … 1) are those the layout states; for a layout that
    states none, as Scale-MAE's and timm's, they are ImageNet's unless given. `gsd_m`: metres per pixel, Scale-MAE only.
    """

    encoder: VitEncoder | ScaleMaeEncoder
    leading = 1

    def __init__(
        self,
        encoder: VitEncoder | ScaleMaeEncoder,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        full_scale: float = FULL_SCALE_REFLECTANCE,
        gsd_m: float | None = None,
        scaling: Scaling | None = None,
    ) -> None:
        super().__init__(encoder)
        self.encoder.decoder = None  # MAE's, no part of what is adapted
        layout = encoder.layout
        self.bands, self.width, self.patch = layout.bands, encoder.width, encoder.patch
        scale_mae = isinstance(encoder, ScaleMaeEncoder)
        if scale_mae != (gsd_m is not None) or not (gsd_m is None or 0 < gsd_m < math.inf):
            raise InputError(
                "Scale-MAE needs gsd_m, metres per pixel above 0"
                if scale_mae
                else f"{layout.name} takes no gsd_m",
                found=gsd_m,
            )
        self.gsd_m = gsd_m
        self.scaling = scaling or picture_scaling(layout, mean, std, full_scale)

    def embed(self, pixels: Tensor, present: Tensor, validity: Tensor) -> tuple[Tensor, tuple[int, int]]:
        encoder = self.encoder
        z = self.scaling(pixels, present, validity)
        if isinstance(encoder, VitEncoder):
            tokens, grid = encoder.embed(z)
            first = encoder.cls_token + encoder.pos_embed[:, :1]
        else:
            grid = encoder.grid_of(z, "NCHW")
            rows, columns = (
                torch.arange(n, dtype=z.dtype, device=z.device) * z.new_tensor([[self.gsd_m]]) for n in grid
            )
            tokens = patches(encoder.patch_embed, z) + grid_sines(rows, columns, self.width)
            first = encoder.cls_token + 0.0
        return torch.cat([first.expand(tokens.shape[0], -1, -1), tokens], dim=1), grid

    def sites(self) -> Sequence[Site]:
        return [ForeignSite(block) for block in self.encoder.blocks]  # type: ignore[arg-type]

    def finish(self, sequence: Tensor, grid: tuple[int, int]) -> Tensor:
        x: Tensor = self.encoder.norm(sequence)
        return x[:, self.leading :].reshape(-1, *grid, self.width)

    def linears(self) -> Mapping[str, Role]:
        return block_linears(self.encoder.blocks)

    def stem(self) -> tuple[str, ...]:
        return ("patch_embed.proj.weight",)

    def inflated(self, bands: Sequence[str], how: str, seed: int = 0) -> VitBase:
        self.require_bands(bands)
        wider = shared(self.encoder)
        inflate_filters(wider, self.stem()[0], self.bands, bands, how, seed)
        wider.layout = replace(wider.layout, bands=tuple(bands), groups=())
        return VitBase(wider, gsd_m=self.gsd_m, scaling=self.scaling.widened(self.bands, bands))


def inflate_filters(
    encoder: ForeignEncoder, name: str, own: Sequence[str], bands: Sequence[str], how: str, seed: int
) -> None:
    """`inflate` a convolution's weight in place of the old one."""
    filters = inflate(encoder.get_parameter(name), own, bands, how, seed)
    replace_parameter(encoder, name, filters, trained=False)
    convolution = encoder.get_submodule(name.rpartition(".")[0])
    convolution.in_channels = len(bands)  # type: ignore[assignment]
