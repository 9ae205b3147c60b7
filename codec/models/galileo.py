"""The teacher: the Sentinel-2 part of Galileo (arXiv 2502.09356), for one date.

Only the space-time optical groups are built; the layout (`codec/models/layouts/galileo_*.json`) names the tensors of the
other modalities as skipped, and anything else in a file is refused. The weights are MIT licensed and are used to label
training views; nothing of them is in a shipped model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from codec.errors import InputError
from codec.models.foreign.blocks import Block, SplitAttention, patches
from codec.models.foreign.layout import Layout, layout_names, read_layout

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

# Digital numbers: the published input statistics (config/normalization.json). Input = (DN − mean + 2 std) / (4 std).
_STATISTICS: dict[str, tuple[float, float]] = {
    "blue": (1395.3408730676722, 917.7041440370853),
    "green": (1338.4026921784578, 913.2988423581528),
    "red": (1343.09883810357, 1092.678723527555),
    "rededge071": (1543.8607982512297, 1047.2206083460424),
    "rededge075": (2186.2022069512263, 1048.0101611156767),
    "rededge078": (2525.0932853316694, 1143.6903026819996),
    "nir": (2410.3377187373408, 1098.979177731649),
    "nir08": (2750.2854646886753, 1204.472755085893),
    "swir16": (2234.911100061487, 1145.9774063078878),
    "swir22": (1474.5311266077113, 980.2429840007796),
}
DN_PER_REFLECTANCE = 10_000.0
_REFERENCE_GSD_M = 10.0  # positions are counted in pixels of this size
_JULY = 6  # the default of the published evaluation where no date is known


class GalileoTeacher(nn.Module):
    """Frozen encoder: `forward(reflectance N×C×H×W, bands)` → tokens N×h×w×D, the mean over the band
    groups.
    """

    def __init__(
        self,
        width: int = 128,
        depth: int = 4,
        heads: int = 8,
        mlp_ratio: int = 4,
        patch: int = 8,
        eps: float = 1e-5,
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
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio * width, eps, SplitAttention) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps)

    def filters(self, group: str) -> Tensor:
        """Patch filters D×C×P×P of one band group, C in the order of `GROUPS[group]`."""
        return cast(Tensor, cast(nn.ModuleDict, self.space_time_embed[group])["proj"].weight)

    def groups(self, bands: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The groups whose bands are all there (NDVI needs red and nir)."""
        have = set(bands) | ({"ndvi"} if {"red", "nir"} <= set(bands) else set())
        return {name: group for name, group in GROUPS.items() if set(group) <= have}

    def spatial_code(self, side: int, gsd_m: float = _REFERENCE_GSD_M) -> Tensor:
        """(side·side, width/4): sines of column and row, in units of 10 m times the patch, as the model was trained.

        The published code divides the exponent by the width and by two again, so the frequencies span only
        10000^(−1/4); kept, since the weights have learnt it.
        """
        half, like = self.width // 8, self.pos_embed
        omega = 10_000.0 ** -(torch.arange(half // 2, dtype=like.dtype, device=like.device) / half / 2.0)
        steps = torch.arange(side, dtype=like.dtype, device=like.device) * (
            self.patch * gsd_m / _REFERENCE_GSD_M
        )
        wave = torch.cat(
            [(steps[:, None] * omega).sin(), (steps[:, None] * omega).cos()], dim=1
        )  # (side, half)
        column = wave[None, :, :].expand(side, side, half)
        row = wave[:, None, :].expand(side, side, half)
        return torch.cat([column, row], dim=2).reshape(side * side, 2 * half)

    def tokens_by_group(
        self,
        reflectance: Tensor,
        bands: Sequence[str],
        month: int = _JULY,
        gsd_m: float = _REFERENCE_GSD_M,
    ) -> dict[str, Tensor]:
        """Group → N×(h·w)×D after the last norm. `month` counts from 0."""
        groups = self.groups(bands)
        if not groups:
            raise InputError(
                "the teacher needs blue, green and red, or another whole band group", found=list(bands)
            )
        height, width = reflectance.shape[-2:]
        if (
            reflectance.ndim != 4
            or reflectance.shape[1] != len(bands)
            or height != width
            or width % self.patch
        ):
            raise InputError(
                "reflectance does not fit the teacher",
                expected=f"N×{len(bands)}×H×H with H a multiple of {self.patch}",
                found="×".join(map(str, reflectance.shape)),
            )
        if not (0 <= month < 12 and gsd_m > 0):
            raise InputError("month is 0 to 11, gsd_m above 0", found=(month, gsd_m))
        inputs = self._inputs(reflectance, bands)
        side = width // self.patch
        space = self.spatial_code(side, gsd_m)
        sequence = []
        for name, group in groups.items():
            x = patches(self.space_time_embed[name], torch.stack([inputs[band] for band in group], dim=1))
            constant = torch.cat(
                [
                    self.s_t_channel_embed[_CHANNEL_ROW[name]],
                    self.pos_embed[0],
                    self.month_embed.weight[month],
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
        for band, (mean, std) in _STATISTICS.items():
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
    """Read `config.json` and `encoder.pt` strictly: InputError names what is missing, unexpected, misshapen or not finite,
    Corrupt says that it is no such file.
    """
    # Not at the top: the loader of all foreign encoders imports this module.
    from codec.models.foreign.galileo import GalileoEncoder
    from codec.models.foreign.load import load_foreign

    folder = Path(folder)
    encoder = load_foreign(_layout_of(folder / "config.json"), folder / "encoder.pt")
    assert isinstance(encoder, GalileoEncoder)
    return encoder.teacher


def _layout_of(path: Path) -> Layout:
    """The layout whose sizes a `config.json` states."""
    fields = ("embedding_size", "depth", "num_heads", "mlp_ratio", "max_patch_size")
    try:
        model = json.loads(path.read_text())["model"]["encoder"]
        stated = tuple(model[field] for field in fields)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"not the configuration of a Galileo encoder: {error}", path=path) from error
    known = {}
    for name in layout_names():
        layout = read_layout(name)
        if layout.family == "galileo":
            hidden, width = layout.shape("teacher.blocks.0.mlp.fc1.weight")
            patch = layout.shape("teacher.space_time_embed.S2_RGB.proj.weight")[-1]
            known[width, layout.repeats("teacher.blocks."), layout.heads, hidden // width, patch] = layout
    if stated not in known:
        raise InputError(
            "no layout has these sizes",
            path=path,
            expected=" or ".join(map(str, known)),
            found=dict(zip(fields, stated, strict=True)),
        )
    return known[stated]
