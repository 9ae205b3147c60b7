"""How an adapter sees the encoder it adapts: patch tokens, then blocks one after the other, then tokens of a grid.

    pixels N×B×H×W ─embed─▶ sequence N×L×D ─site 0─▶ … ─site depth−1─▶ ─finish─▶ N×h×w×D
                             leading tokens (class token, registers), then `groups` × h·w patch tokens

A `Site` is one block, opened at its attention. What is written here about windows is for pyramids of windows (Swin): a
site may cut the sequence (and the codes with it) into windows, and merge tokens before it begins.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from codec.adapt.types import Role
from codec.errors import InputError

Module = TypeVar("Module", bound=nn.Module)


class Site(Protocol):
    """One block: x + output(attention(normed(x))), then + second. N images, L tokens, D width, W sequences of M tokens
    inside (one per image, or one per window).
    """

    heads: int
    head_width: int
    # Queries and keys are multiplied by these before their product, which together is 1/√head_width: where the base does
    # it decides the last bit.
    query_scale: float
    key_scale: float

    def enter(self, values: Tensor) -> Tensor:
        """What stands between the block before and this one, for streams N×L×D; the same tensor in a plain ViT."""
        ...

    def enter_code(self, code: Tensor) -> Tensor:
        """The same for codes N×L×r."""
        ...

    def whole(self, x: Tensor) -> Tensor:
        """The block as the base computes it, N×L×D → N×L×D, without `enter`."""
        ...

    def normed(self, x: Tensor) -> Tensor:
        """The norm before the attention."""
        ...

    def project(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys, values W×heads×M×head_width of N×L×D, not scaled."""
        ...

    def arrange(self, values: Tensor) -> Tensor:
        """N×L×C → W×M×C, as `project` arranges tokens."""
        ...

    biased: bool  # whether `bias` gives something

    def bias(self) -> Tensor | None:
        """Added to the scaled products, broadcast to W×heads×M×M; None: nothing."""
        ...

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        """softmax(scale · q kᵀ + bias) v by the operator that the base uses; q may have more rows, all may be wider than a
        head. The scale is the head's own.
        """
        ...

    def merge(self, values: Tensor) -> Tensor:
        """W×heads×M×head_width → N×L×D: heads side by side, tokens where they were."""
        ...

    def output(self, merged: Tensor) -> Tensor:
        """Output projection with its bias."""
        ...

    def output_weight(self) -> Tensor:
        """The matrix in `output`, D×D."""
        ...

    def output_bias(self) -> Tensor | None:
        """The bias in `output`."""
        ...

    def second(self, x: Tensor) -> Tensor:
        """The second displacement: MLP(norm(x))."""
        ...


class PlainSite:
    """What blocks of plain ViTs share: one sequence per image, tokens where they are, a norm named `norm1`."""

    block: nn.Module
    heads: int
    head_width: int
    biased = False

    def enter(self, values: Tensor) -> Tensor:
        return values

    def enter_code(self, code: Tensor) -> Tensor:
        return code

    def whole(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out

    def normed(self, x: Tensor) -> Tensor:
        out: Tensor = cast(nn.Module, self.block.norm1)(x)
        return out

    def arrange(self, values: Tensor) -> Tensor:
        return values

    def bias(self) -> Tensor | None:
        return None

    def by_head(self, values: Tensor) -> Tensor:
        """N×L×D → N×heads×L×head_width."""
        return values.reshape(-1, values.shape[1], self.heads, self.head_width).transpose(1, 2)

    def merge(self, values: Tensor) -> Tensor:
        return values.transpose(1, 2).reshape(-1, values.shape[2], self.heads * self.head_width)


class Base(nn.Module, ABC):
    """An encoder whose tensors are frozen and shared with the caller's; subclasses know one family each."""

    bands: tuple[str, ...]  # its own, in the order of its patch filters
    width: int  # of the tokens that come out; blocks of a pyramid may have others
    patch: int
    leading: int = 0  # tokens before the first patch token
    groups: int = 1  # times that the patch tokens are repeated in the sequence

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = shared(encoder)

    @abstractmethod
    def embed(self, pixels: Tensor, present: Tensor, validity: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Sequence before the first block, and rows and columns of patches. `pixels` N×B×H×W of the base's own bands,
        reflectance; what stands where `present` N×B or `validity` N×H×W is 0 does not matter.
        """

    @abstractmethod
    def sites(self) -> Sequence[Site]:
        """The blocks in order of depth."""

    @abstractmethod
    def finish(self, sequence: Tensor, grid: tuple[int, int]) -> Tensor:
        """N×L×D after the last block → N×h×w×D."""

    @abstractmethod
    def linears(self) -> Mapping[str, Role]:
        """Paths of the blocks' linear maps inside `encoder`, and what each is for."""

    @abstractmethod
    def stem(self) -> tuple[str, ...]:
        """Names (in `encoder`) of the parameters that have one filter per band."""

    @abstractmethod
    def inflated(self, bands: Sequence[str], how: str, seed: int = 0) -> Base:
        """The same encoder with patch filters for `bands`; `how` as in `RivalSettings.inputs`."""

    @property
    def stride(self) -> int:
        """Pixels a side of a token that comes out: a patch, or what a pyramid merged of patches."""
        return self.patch

    def unused(self) -> tuple[str, ...]:
        """Beginnings of the names (in `encoder`) of parameters that `embed` to `finish` never read."""
        return ()

    def twin(self: Module) -> Module:
        """Another one over the same memory, whose parts may be replaced."""
        return shared(self)

    def spread(self, values: Tensor) -> Tensor:
        """Something per patch, N×h×w×C → N×L×C as the sequence stands: 0 for leading tokens, repeated for groups."""
        flat = values.flatten(1, 2)
        parts = [flat] * self.groups
        if self.leading:
            parts.insert(0, torch.zeros_like(flat[:, :1]).expand(-1, self.leading, -1))
        return torch.cat(parts, dim=1) if len(parts) > 1 else flat

    def forward(self, pixels: Tensor, present: Tensor, validity: Tensor) -> Tensor:
        """Tokens N×h×w×D of the base as it is."""
        x, grid = self.embed(pixels, present, validity)
        for site in self.sites():
            x = site.whole(site.enter(x))
        return self.finish(x, grid)

    def require_bands(self, bands: Sequence[str]) -> None:
        """InputError unless `bands` are distinct and hold all of the base's own."""
        missing = [band for band in self.bands if band not in bands]
        if missing or len(set(bands)) != len(bands):
            raise InputError(
                f"the adapter's bands lack {missing[0]}, which the base needs"
                if missing
                else "a band is named twice",
                expected=", ".join(self.bands),
                found=", ".join(bands),
                fix="name each band once, the base's own among them",
            )

    def own_index(self, bands: Sequence[str]) -> list[int]:
        """Where the base's own bands stand among `bands`."""
        return [list(bands).index(band) for band in self.bands]


def site_width(site: Site) -> int:
    """Width D of the tokens of a block."""
    return site.heads * site.head_width


def shared(module: Module) -> Module:
    """A copy of a module tree whose parameters and buffers are the same memory, and which no training can reach: frozen,
    in evaluation mode; replacing a part of the copy changes nothing in the original.
    """
    memo: dict[int, object] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
    for buffer in module.buffers():
        memo[id(buffer)] = buffer.detach()
    twin: Module = copy.deepcopy(module, memo)
    return twin.eval()


def replace_parameter(module: nn.Module, name: str, value: Tensor, *, trained: bool) -> None:
    """Put a parameter of its own memory at dotted `name`."""
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    setattr(owner, leaf, nn.Parameter(value, requires_grad=trained))
