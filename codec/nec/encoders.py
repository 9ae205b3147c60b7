"""Encoders that can be shown a part of a tile: the plain ViT of masked autoencoders, our models, Galileo.

    Tiles ─patch embedding + position─▶ ─visible patches─▶ blocks ─▶ norm (▶ project) ─▶ N×(c + K)×D

c is 1 where there is a class token, which comes first. Every encoder says which of its parts the published recipe leaves
frozen: all blocks but the last, and position tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.errors import InputError
from codec.models.bands import BAND_LISTS
from codec.models.foreign.blocks import Block, patches
from codec.models.foreign.encoder import PatchEmbedding
from codec.models.foreign.positions import grid_sines
from codec.models.galileo import GROUPS, TEACHER_BANDS, GalileoTeacher, load_teacher
from codec.models.vit import Encoder
from codec.models.weights import load_encoder
from codec.nec.patches import Tiles, take
from codec.package.manifest import ADAPTER

# Width, blocks, heads: nano is ours, the others those of arXiv 2010.11929 (S: 2012.12877).
SIZES: dict[str, tuple[int, int, int]] = {
    "nano": (128, 4, 8),
    "S": (384, 12, 6),
    "B": (768, 12, 12),
    "L": (1024, 24, 16),
    "H": (1280, 32, 16),
}
_EPS = 1e-6  # of all norms of a ViT-MAE
_JULY = 6  # the month that Galileo's published evaluation assumes where none is known


class MaskedEncoder(Protocol):
    """What the recipe needs of an encoder; a torch module with these attributes."""

    names: tuple[str, ...]  # bands, in their order
    needs: tuple[str, ...]  # bands that every tile must have
    width: int
    depth: int
    tile: int
    patch: int
    class_tokens: int  # 0 or 1

    def sequence(self, tiles: Tiles, keep: Tensor | None) -> Tensor:
        """N×(c + K)×D after the last norm of the patches `keep` (N×K), or of all of them."""

    def frozen(self) -> tuple[str, ...]:
        """Prefixes of the parameter names that the published recipe does not train."""

    def last(self) -> tuple[str, ...]:
        """Those of the last block and of what stands behind it."""

    def fixed(self) -> tuple[str, ...]:
        """Those of tables that no recipe trains."""


def _blocks_but_last(prefix: str, count: int) -> tuple[str, ...]:
    return tuple(f"{prefix}{i}." for i in range(count - 1))


def position_table(side: int, width: int, class_tokens: int) -> Tensor:
    """1×(c + side²)×D sine table of MAE, its row for the class token 0."""
    steps = torch.arange(side, dtype=torch.float32)
    return torch.cat([torch.zeros(class_tokens, width), grid_sines(steps, steps, width)])[None]


class MaeVit(nn.Module):
    """ViT-MAE encoder of any size, patch and band set (arXiv 2111.06377), with or without a class token.

    Parameters are named as `codec.models.foreign.encoder.VitEncoder` names them, whose files load without change.
    """

    pos_embed: Tensor
    needs: tuple[str, ...] = ()

    def __init__(
        self,
        names: tuple[str, ...],
        *,
        tile: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        class_token: bool = True,
    ) -> None:
        super().__init__()
        if tile % patch or width % heads or width % 4 or depth < 1:
            raise InputError(
                "tile must be a multiple of patch, width of heads and of 4, depth at least 1",
                found=(tile, patch, width, heads, depth),
            )
        self.names, self.class_tokens = names, int(class_token)
        self.width, self.depth, self.tile, self.patch = width, depth, tile, patch
        self.patch_embed = PatchEmbedding((width, len(names), patch, patch))
        if class_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
            nn.init.normal_(self.cls_token, std=0.02)
        self.register_buffer("pos_embed", position_table(tile // patch, width, self.class_tokens))
        self.blocks = nn.ModuleList(Block(width, heads, 4 * width, _EPS) for _ in range(depth))
        self.norm = nn.LayerNorm(width, _EPS)
        self.apply(initialise)

    def sequence(self, tiles: Tiles, keep: Tensor | None) -> Tensor:
        weight, bias = self.patch_embed.proj.weight, self.patch_embed.proj.bias
        x = F.linear(take(tiles.patches, keep).flatten(2), weight.flatten(1), bias)
        places = self.pos_embed[:, self.class_tokens :].expand(len(tiles), -1, -1)
        x = x + take(places, keep)
        if self.class_tokens:
            first = (self.cls_token + self.pos_embed[:, :1]).expand(len(tiles), -1, -1)
            x = torch.cat([first, x], dim=1)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def frozen(self) -> tuple[str, ...]:
        return _blocks_but_last("blocks.", len(self.blocks))

    def last(self) -> tuple[str, ...]:
        return f"blocks.{len(self.blocks) - 1}.", "norm."

    def fixed(self) -> tuple[str, ...]:
        return ()


class OurEncoder(nn.Module):
    """A model of this project (`codec.models.vit`). What is coded is its output, behind `project`: the last LayerNorm and a
    matrix, which the published recipe would train as part of the last layer.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, model: Encoder) -> None:
        super().__init__()
        config = model.config
        if config.registers or config.stem != "single":
            raise InputError("masked training knows encoders without registers and with one stem only")
        self.model = model.requires_grad_(True)
        self.names = config.bands
        self.width, self.depth, self.class_tokens = config.width, config.depth, 0
        self.tile, self.patch = config.tile, config.patch

    def sequence(self, tiles: Tiles, keep: Tensor | None) -> Tensor:
        model, z = self.model, take(tiles.patches, keep)
        _, spread = model.patch_moments(z, take(tiles.valid, keep))
        x = F.linear(z.flatten(2), model.stem.weight.flatten(1))
        x = x + F.linear(spread * tiles.bands[:, None], model.texture.weight)
        gain = (len(self.names) / tiles.bands.sum(1).clamp(min=1.0)) ** 0.75
        x = model.stem_norm(x * gain[:, None, None] + model.presence(tiles.bands)[:, None])
        places = (model.position_gain * model.position).expand(len(tiles), -1, -1)
        out: Tensor = model.project(model.trunk(x + take(places, keep)))
        return out

    def frozen(self) -> tuple[str, ...]:
        return _blocks_but_last("model.blocks.", len(self.model.blocks))

    def last(self) -> tuple[str, ...]:
        return f"model.blocks.{len(self.model.blocks) - 1}.", "model.norm.", "model.project."

    def fixed(self) -> tuple[str, ...]:
        return ()


class GalileoMasked(nn.Module):
    """Galileo's Sentinel-2 part: a place is hidden in all its band groups, and what is coded is their mean, as the harness
    and our own distillation use it. Its position, month and channel tables were fixed in training and stay so.
    """

    def __init__(self, teacher: GalileoTeacher, tile: int = 64) -> None:
        super().__init__()
        self.teacher = teacher.requires_grad_(True)
        self.names = self.needs = TEACHER_BANDS
        self.width, self.depth, self.class_tokens = teacher.width, len(teacher.blocks), 0
        self.tile, self.patch = tile, teacher.patch

    def sequence(self, tiles: Tiles, keep: Tensor | None) -> Tensor:
        shown = [take(x, keep) for x in self._embedded(tiles)]
        x = torch.cat(shown, dim=1)
        for block in self.teacher.blocks:
            x = block(x)
        out: Tensor = self.teacher.norm(x)
        return out.unflatten(1, (len(shown), -1)).mean(1)

    def _embedded(self, tiles: Tiles) -> list[Tensor]:
        """N×L×D of every band group, before the first block, as `GalileoTeacher.tokens_by_group` makes them (July, 10 m)."""
        teacher = self.teacher
        inputs = teacher._inputs(tiles.pixels, self.names)
        space = teacher.spatial_code(self.tile // self.patch)
        sequence = []
        for row, (name, group) in enumerate(GROUPS.items(), start=1):  # row 0 belongs to Sentinel-1
            x = patches(teacher.space_time_embed[name], torch.stack([inputs[band] for band in group], dim=1))
            month = teacher.month_embed.weight[_JULY]
            constant = torch.cat([teacher.s_t_channel_embed[row], teacher.pos_embed[0], month])
            sequence.append(x + torch.cat([constant.expand(len(space), -1), space], dim=1))
        return sequence

    def frozen(self) -> tuple[str, ...]:
        return (*self.fixed(), *_blocks_but_last("teacher.blocks.", len(self.teacher.blocks)))

    def last(self) -> tuple[str, ...]:
        return f"teacher.blocks.{len(self.teacher.blocks) - 1}.", "teacher.norm."

    def fixed(self) -> tuple[str, ...]:
        return "teacher.pos_embed", "teacher.month_embed", "teacher.s_t_channel_embed"


def open_masked(start: str, *, root: Path, data: Path | None = None) -> MaskedEncoder:
    """Starting weights by name: `galileo_nano` (needs `data`, the collection), a package folder below `root`, a
    .safetensors file, or `vit-SIZE/PATCH@BANDS` with random weights (`vit-B/16@rgb`; `-` after the size leaves the class
    token out: `vit-nano-/8@s2`).
    """
    if start == "galileo_nano":
        if data is None:
            raise InputError("the weights of galileo_nano lie in the data collection", fix="give --data")
        return GalileoMasked(load_teacher(Path(data) / start))
    if start.startswith("vit-"):
        return _random_vit(start)
    path = Path(start)
    if path.suffix != ".safetensors":
        path = (path if path.is_dir() else root / start) / "encoder.safetensors"
        if path.with_name(ADAPTER).exists():
            raise InputError(
                "this package has an adapter, which the recipe does not run",
                path=path.parent,
                fix="start from the package that it was made from",
            )
    return OurEncoder(load_encoder(path))


def _random_vit(start: str) -> MaeVit:
    size, _, rest = start.removeprefix("vit-").partition("/")
    patch, _, bands = rest.partition("@")
    class_token, size = not size.endswith("-"), size.removesuffix("-")
    if size not in SIZES or not patch.isdecimal() or bands not in BAND_LISTS or not int(patch):
        raise InputError(
            "no such ViT",
            expected=f"vit-({'|'.join(SIZES)})[-]/PATCH@({'|'.join(BAND_LISTS)})",
            found=start,
        )
    width, depth, heads = SIZES[size]
    # The smallest tile that has MAE's 14×14 patches at 16 pixels, ours has 8×8 of 8.
    tile = 224 if int(patch) >= 14 else 64
    if tile % int(patch):
        raise InputError(f"a tile of {tile} pixels cannot be cut into patches of {patch}", found=start)
    return MaeVit(
        BAND_LISTS[bands],
        tile=tile,
        patch=int(patch),
        width=width,
        depth=depth,
        heads=heads,
        class_token=class_token,
    )


def module(encoder: MaskedEncoder) -> nn.Module:
    """The same object to torch."""
    return cast(nn.Module, encoder)


def initialise(part: nn.Module) -> None:
    if isinstance(part, nn.Linear):
        nn.init.xavier_uniform_(part.weight)
        nn.init.zeros_(part.bias)
    elif isinstance(part, nn.Conv2d):  # as a linear map of the flattened patch
        nn.init.xavier_uniform_(part.weight.view(part.weight.shape[0], -1))
