"""The teacher: the Sentinel-2 part of Galileo nano (arXiv 2502.09356), read from its published weights.

Only the space-time optical groups are built, for one date and 8-px patches. Every tensor of the foreign
file is
either loaded or named in `UNUSED` (other modalities); anything else is refused. The weights are MIT
licensed and
are used to label training views; nothing of them is in a shipped model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.errors import InputError
from codec.models.strict import load_strict

# Group name in the checkpoint → the canonical bands it sees, in the order of its filters. "ndvi" is computed.
GROUPS: dict[str, tuple[str, ...]] = {
    "S2_RGB": ("blue", "green", "red"),
    "S2_Red_Edge": ("rededge071", "rededge075", "rededge078"),
    "S2_NIR_10m": ("nir",),
    "S2_NIR_20m": ("nir08",),
    "S2_SWIR": ("swir16", "swir22"),
    "NDVI": ("ndvi",),
}
TEACHER_BANDS: tuple[str, ...] = tuple(b for name, group in GROUPS.items() if name != "NDVI" for b in group)

# Row of each group in the checkpoint's channel embedding; row 0 belongs to Sentinel-1.
_CHANNEL_ROW = {name: row for row, name in enumerate(GROUPS, start=1)}

# Digital numbers: the model's published input statistics (its normalisation file). Input = (DN − m + 2s) /
# 4s.
_MEAN = (1395.34, 1338.40, 1343.10, 1543.86, 2186.20, 2525.09, 2410.34, 2750.29, 2234.91, 1474.53)
_STD = (917.704, 913.299, 1092.679, 1047.221, 1048.010, 1143.690, 1098.979, 1204.473, 1145.977, 980.243)
_STATS_ORDER = (
    "blue",
    "green",
    "red",
    "rededge071",
    "rededge075",
    "rededge078",
    "nir",
    "nir08",
    "swir16",
    "swir22",
)
DN_PER_REFLECTANCE = 10_000.0
UNUSED = (
    "sp_channel_embed",
    "t_channel_embed",
    "st_channel_embed",
    "space_time_embed.S1.",
    "space_embed.",
    "time_embed.",
    "static_embed.",
)
_MONTH = 6  # July, the default of the published evaluation where no date is known


class TeacherBlock(nn.Module):
    """Pre-norm block with separate q, k, v, named as in the checkpoint."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.attn = nn.ModuleDict({name: nn.Linear(width, width) for name in ("q", "k", "v", "proj")})
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, mlp_ratio * width), "fc2": nn.Linear(mlp_ratio * width, width)}
        )

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        y = self.norm1(x)
        q, k, v = (
            self.attn[name](y).reshape(n, length, self.heads, width // self.heads).transpose(1, 2)
            for name in "qkv"
        )
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width)
        x = x + self.attn["proj"](y)
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class GalileoTeacher(nn.Module):
    """Frozen encoder: `forward(reflectance N×C×H×W, bands)` → tokens N×h×w×D, the mean over the band
    groups.
    """

    def __init__(
        self, width: int = 128, depth: int = 4, heads: int = 8, mlp_ratio: int = 4, patch: int = 8
    ) -> None:
        super().__init__()
        self.width, self.patch = width, patch
        quarter = width // 4
        self.space_time_embed = nn.ModuleDict(
            {
                name: nn.ModuleDict({"proj": nn.Conv2d(len(group), width, patch, stride=patch)})
                for name, group in GROUPS.items()
            }
        )
        self.s_t_channel_embed = nn.Parameter(torch.zeros(len(GROUPS) + 1, quarter))
        self.pos_embed = nn.Parameter(torch.zeros(24, quarter))
        self.month_embed = nn.Embedding(12, quarter)
        self.blocks = nn.ModuleList(TeacherBlock(width, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def groups(self, bands: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The groups whose bands are all there (NDVI needs red and nir)."""
        have = set(bands) | ({"ndvi"} if {"red", "nir"} <= set(bands) else set())
        return {name: group for name, group in GROUPS.items() if set(group) <= have}

    def spatial_code(self, side: int) -> Tensor:
        """(side·side, width/4): sines of column and row, in units of 10 m times the patch, as the model was
        trained.

        The published code divides the exponent by the width and by two again, so the frequencies span only
        10000^(−1/4); kept, since the weights have learnt it.
        """
        half = self.width // 8
        omega = 10_000.0 ** -(torch.arange(half // 2) / half / 2.0)
        steps = torch.arange(side, dtype=torch.float32) * self.patch
        wave = torch.cat(
            [(steps[:, None] * omega).sin(), (steps[:, None] * omega).cos()], dim=1
        )  # (side, half)
        column = wave[None, :, :].expand(side, side, half)
        row = wave[:, None, :].expand(side, side, half)
        return torch.cat([column, row], dim=2).reshape(side * side, 2 * half)

    def tokens_by_group(self, reflectance: Tensor, bands: Sequence[str]) -> dict[str, Tensor]:
        """Group → N×(h·w)×D after the last norm."""
        groups = self.groups(bands)
        if not groups:
            raise InputError(
                "the teacher needs blue, green and red, or another whole band group", found=list(bands)
            )
        inputs = self._inputs(reflectance, bands)
        side = reflectance.shape[-1] // self.patch
        space = self.spatial_code(side)
        sequence = []
        for name, group in groups.items():
            x = cast(nn.ModuleDict, self.space_time_embed[name])["proj"](
                torch.stack([inputs[band] for band in group], dim=1)
            )
            x = x.flatten(2).transpose(1, 2)  # (N, L, D)
            constant = torch.cat(
                [
                    self.s_t_channel_embed[_CHANNEL_ROW[name]],
                    self.pos_embed[0],
                    self.month_embed.weight[_MONTH],
                ]
            )
            code = torch.cat([constant.expand(side * side, -1), space], dim=1)  # (L, D)
            sequence.append(x + code)
        x = torch.cat(sequence, dim=1)  # order inside the sequence is free: the code says which is which
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return dict(zip(groups, x.split(side * side, dim=1), strict=True))

    def forward(self, reflectance: Tensor, bands: Sequence[str]) -> Tensor:
        by_group = self.tokens_by_group(reflectance, bands)
        side = reflectance.shape[-1] // self.patch
        mean = torch.stack(list(by_group.values())).mean(0)
        return mean.reshape(-1, side, side, self.width)

    def _inputs(self, reflectance: Tensor, bands: Sequence[str]) -> dict[str, Tensor]:
        """Each known band in the model's input units, N×H×W; NDVI in its own."""
        raw = {band: reflectance[:, i] for i, band in enumerate(bands)}
        inputs = {}
        for band, mean, std in zip(_STATS_ORDER, _MEAN, _STD, strict=True):
            if band in raw:
                inputs[band] = (raw[band] * DN_PER_REFLECTANCE - mean + 2 * std) / (4 * std)
        if {"red", "nir"} <= set(bands):
            total = raw["nir"] + raw["red"]
            safe = torch.where(total.abs() > 1e-6, total, torch.ones_like(total))
            inputs["ndvi"] = torch.where(
                total.abs() > 1e-6, (raw["nir"] - raw["red"]) / safe, torch.zeros_like(total)
            )
        return inputs


def load_teacher(folder: Path) -> GalileoTeacher:
    """Read `config.json` and `encoder.pt` strictly; missing, unexpected or misshapen tensors are refused
    by name.
    """
    folder = Path(folder)
    try:
        model = json.loads((folder / "config.json").read_text())["model"]["encoder"]
        state = torch.load(folder / "encoder.pt", map_location="cpu", weights_only=True)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"not a Galileo checkpoint folder: {error}", path=folder) from error
    teacher = GalileoTeacher(
        model["embedding_size"],
        model["depth"],
        model["num_heads"],
        model["mlp_ratio"],
        model["max_patch_size"],
    )
    load_strict(teacher, {k: v for k, v in state.items() if not k.startswith(UNUSED)}, folder / "encoder.pt")
    return teacher.eval().requires_grad_(False)
