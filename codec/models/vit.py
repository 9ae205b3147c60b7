"""The small multispectral encoder: one stem for any band subset, 64 tokens, plain operations throughout.

    pixels N×B×H×W ─patches, normalise─▶ z N×L×B×P² ─filter bank per band, summed─▶ tokens ─blocks─▶ N×h×w×D
                                         └─ mean of the valid pixels per patch ──────────────▶ N×h×w×B  ("spectral")

Every operation exports to ONNX opset 20 without control flow that depends on data. Pixels are cut into patches before
anything else touches them: every later step then runs along contiguous memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.errors import InputError
from codec.models.bands import NORMALISED_RANGE, S2_NANO_BANDS, normalisation

STEMS = ("single", "grouped")
BAND_GROUPS: tuple[tuple[str, ...], ...] = (
    ("coastal", "blue", "green", "red"),
    ("rededge071", "rededge075", "rededge078", "nir", "nir08", "nir09"),
    ("swir16", "swir22"),
)


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """What must be known to build an encoder before its weights are read."""

    bands: tuple[str, ...] = S2_NANO_BANDS
    tile: int = 64  # pixels a side
    patch: int = 8
    width: int = 128
    depth: int = 4
    heads: int = 8
    mlp_ratio: int = 4
    registers: int = 0  # tokens that belong to no place
    stem: str = "single"  # "grouped": one token per patch and group of bands, averaged at the end

    def __post_init__(self) -> None:
        for band in self.bands:
            normalisation(band)
        if self.tile % self.patch or self.width % self.heads or self.width % 4:
            raise InputError("tile must be a multiple of patch, width of heads and of 4", found=asdict(self))
        if self.stem not in STEMS or self.registers < 0:
            raise InputError(
                f"stem is one of {', '.join(STEMS)}; registers is not negative", found=asdict(self)
            )

        alone = [b for b in self.bands if self.stem == "grouped" and not any(b in g for g in BAND_GROUPS)]
        if alone:
            raise InputError(f"band {alone[0]} is in no group of a grouped stem", fix="use the stem single")

    @property
    def side(self) -> int:
        """Tokens a side."""
        return self.tile // self.patch

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the bands that share a stem token."""
        if self.stem == "single":
            return (tuple(range(len(self.bands))),)
        found = (tuple(i for i, b in enumerate(self.bands) if b in group) for group in BAND_GROUPS)
        return tuple(group for group in found if group)


def position_code(side: int, width: int) -> Tensor:
    """Fixed two-dimensional sine code of a side×side grid, (side·side, width); unit amplitude."""
    quarter = width // 4
    frequency = torch.exp(-math.log(10.0 * side) * torch.arange(quarter) / quarter)
    angle = torch.arange(side)[:, None] * frequency[None, :]  # (side, width/4)
    line = torch.cat([angle.sin(), angle.cos()], dim=1)  # (side, width/2)
    rows = line[:, None, :].expand(side, side, width // 2)
    cols = line[None, :, :].expand(side, side, width // 2)
    return torch.cat([rows, cols], dim=2).reshape(side * side, width)


class Block(nn.Module):
    """Pre-norm transformer block; attention written out so that export needs no fused operator."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, mlp_ratio * width)
        self.fc2 = nn.Linear(mlp_ratio * width, width)

    def attention(self, x: Tensor) -> Tensor:
        tokens, width = x.shape[1], x.shape[2]
        head = width // self.heads
        q, k, v = self.qkv(x).chunk(3, dim=-1)  # 3 × (N, L, D)
        q = q.reshape(-1, tokens, self.heads, head).transpose(1, 2) * head**-0.5  # (N, heads, L, D/heads)
        k = k.reshape(-1, tokens, self.heads, head).transpose(1, 2)
        v = v.reshape(-1, tokens, self.heads, head).transpose(1, 2)
        mixed = torch.softmax(q @ k.transpose(2, 3), dim=-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(-1, tokens, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Encoder(nn.Module):
    """Pixels of any band subset to tokens and patch means.

    `forward(pixels, bands, validity)`: pixels N×B×H×W reflectance (1.0 = 100 %), bands N×B in {0, 1},
    validity
    N×H×W in {0, 1}. Returns `tokens` N×h×w×D and `spectral` N×h×w×B: the mean of the normalised valid
    pixels per
    patch and band, 0 for absent bands and for patches without a valid pixel. What stands in absent bands
    and in
    invalid pixels does not matter (not even NaN): it is replaced by the normalised mean, 0, before the stem.
    """

    mean: Tensor  # B×1
    inverse_spread: Tensor  # B×1
    position: Tensor  # L×D

    def __init__(self, config: EncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EncoderConfig()
        n_bands, width = len(config.bands), config.width
        mean, spread = torch.tensor([normalisation(b) for b in config.bands]).reshape(-1, 2, 1).unbind(1)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("inverse_spread", 1.0 / spread, persistent=False)
        # One filter bank per band: over zero-filled bands a linear map is their sum over the present ones. A module of
        # the shape that others know, though it is used as a plain matrix.
        self.stem = nn.Conv2d(n_bands, width, config.patch, stride=config.patch, bias=False)
        # Spread inside the patch, which a linear stem cannot see.
        self.texture = nn.Linear(n_bands, width, bias=False)
        self.presence = nn.Linear(n_bands, width)
        self.stem_norm = nn.LayerNorm(width)
        self.register_buffer("position", position_code(config.side, width), persistent=False)
        # A strong absolute code shows as seams between tiles and is paid for in every byte, hence the small start.
        self.position_gain = nn.Parameter(torch.tensor(0.1))
        if config.registers:
            self.registers = nn.Parameter(0.02 * torch.randn(config.registers, width))
        self.blocks = nn.ModuleList(Block(width, config.heads, config.mlp_ratio) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, width)
        self.apply(_initialise)
        nn.init.normal_(self.stem.weight, std=(n_bands * config.patch**2) ** -0.5)

    def cut(self, images: Tensor) -> Tensor:
        """N×C×H×W → N×L×C×P², patches in reading order."""
        side, patch = self.config.side, self.config.patch
        x = images.reshape(-1, images.shape[1], side, patch, side, patch)
        return x.permute(0, 2, 4, 1, 3, 5).reshape(-1, side * side, images.shape[1], patch * patch)

    def normalise(self, pixels: Tensor, bands: Tensor, valid: Tensor, *, finite: bool = False) -> Tensor:
        """Cut reflectance N×L×B×P² to fixed units; absent bands and invalid pixels (`valid` N×L×1×P²) become 0.

        `finite`: the caller vouches that no pixel is NaN or infinite, which saves a slow selection.
        """
        z = ((pixels - self.mean) * self.inverse_spread).clamp(*NORMALISED_RANGE)
        if finite:
            return z * bands[:, None, :, None] * valid
        return torch.where(bands[:, None, :, None] * valid > 0.5, z, torch.zeros_like(z))

    def patch_moments(self, z: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the valid pixels per patch and band, each N×L×B."""
        scale = 1.0 / valid.sum(-1).clamp(min=1.0)  # N×L×1; patches without a valid pixel hold zeros only
        mean = z.sum(-1) * scale
        square = (z * z).sum(-1) * scale
        return mean, torch.sqrt((square - mean * mean).clamp(min=1e-6))

    def embed_patches(self, z: Tensor, spread: Tensor, bands: Tensor) -> Tensor:
        """Stem: N×(G·L)×D before the blocks, G groups of bands."""
        spread, weight = spread * bands[:, None, :], self.stem.weight.flatten(2)  # D×B×P²
        tokens = []
        for group in self.config.groups:
            part = list(group)
            whole = len(part) == len(self.config.bands)
            x, w = (z, weight) if whole else (z[:, :, part], weight[:, part])
            shown = bands if whole else bands[:, part]
            gain = (len(part) / shown.sum(1).clamp(min=1.0)) ** 0.75  # (N,)
            x = F.linear(x.flatten(2), w.flatten(1))
            moments, to_width = (
                (spread, self.texture.weight) if whole else (spread[..., part], self.texture.weight[:, part])
            )
            x = x + F.linear(moments, to_width)
            only = (
                bands if whole else bands * torch.zeros_like(bands[0]).index_fill(0, torch.tensor(part), 1.0)
            )
            x = self.stem_norm(x * gain[:, None, None] + self.presence(only)[:, None, :])
            tokens.append(x + self.position_gain * self.position)
        return tokens[0] if len(tokens) == 1 else torch.cat(tokens, dim=1)

    def trunk(self, x: Tensor) -> Tensor:
        """Blocks and the last norm, N×(G·L)×D → N×L×D."""
        registers, groups = self.config.registers, len(self.config.groups)
        if registers:
            x = torch.cat([self.registers.expand(x.shape[0], -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x[:, registers:] if registers else x)
        return x if groups == 1 else x.reshape(-1, groups, x.shape[1] // groups, x.shape[2]).mean(1)

    def planes(
        self, pixels: Tensor, bands: Tensor, validity: Tensor, *, finite: bool = False
    ) -> dict[str, Tensor]:
        """As `forward`; `finite` as in `normalise`."""
        side = self.config.side
        valid = self.cut(validity[:, None])
        z = self.normalise(self.cut(pixels), bands, valid, finite=finite)
        mean, spread = self.patch_moments(z, valid)
        tokens = self.project(self.trunk(self.embed_patches(z, spread, bands)))
        return {
            "tokens": tokens.reshape(-1, side, side, self.config.width),
            "spectral": mean.reshape(-1, side, side, len(self.config.bands)),
        }

    def forward(self, pixels: Tensor, bands: Tensor, validity: Tensor) -> dict[str, Tensor]:
        return self.planes(pixels, bands, validity)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def band_mask(bands: Sequence[str], config: EncoderConfig) -> Tensor:
    """{0, 1} float vector over the encoder's band list; an unknown name is refused."""
    unknown = [band for band in bands if band not in config.bands]
    if unknown:
        raise InputError(
            f"the encoder has no band {unknown[0]}", expected=", ".join(config.bands), found=unknown
        )
    return torch.tensor([1.0 if band in bands else 0.0 for band in config.bands])
