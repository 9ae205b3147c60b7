"""Low-rank updates of a linear map: LoRA and SLR, each in one class with its merge."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.adapt.base import Base
from codec.adapt.types import Role
from codec.adapt.untangled_embedding import zeros
from codec.errors import InputError


class LoraLinear(nn.Module):
    """y = W x + b + (alpha / r) B A x (arXiv 2106.09685); A as in `peft`: uniform within ±1/√in; B zero."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        _check_rank(rank, linear)
        self.linear, self.scale = linear, alpha / rank
        self.in_features, self.out_features = linear.in_features, linear.out_features
        bound = 1.0 / math.sqrt(linear.in_features)  # kaiming_uniform_ with a = √5
        first = (2 * torch.rand((rank, linear.in_features), generator=generator) - 1) * bound
        self.down = nn.Parameter(first.to(linear.weight))  # A: r×in
        self.up = zeros((linear.out_features, rank), linear.weight)  # B: out×r

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x) + F.linear(F.linear(x, self.down), self.up) * self.scale
        return out

    @property
    def bias(self) -> Tensor | None:
        """As a linear map has it."""
        return self.linear.bias

    def merged(self) -> nn.Linear:
        """One linear map that does the same."""
        weight = self.linear.weight + self.scale * self.up @ self.down
        return _linear(weight, self.linear.bias)


class SlrLinear(nn.Module):
    """y = o ⊙ (W (i ⊙ x) + b + B A (i ⊙ x)); o and i start at 1, A standard normal, B zero.

    Read in HSG-AIML/GDA, `src/models.py`. Their A and B have biases as well; without them the published share of parameters
    comes out (2.2 % of ViT-L).
    """

    def __init__(self, linear: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        _check_rank(rank, linear)
        self.linear = linear
        self.in_features, self.out_features = linear.in_features, linear.out_features
        first = torch.randn((rank, linear.in_features), generator=generator)
        self.down = nn.Parameter(first.to(linear.weight))
        self.up = zeros((linear.out_features, rank), linear.weight)
        self.scale_in = nn.Parameter(torch.ones(linear.in_features).to(linear.weight))
        self.scale_out = nn.Parameter(torch.ones(linear.out_features).to(linear.weight))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale_in
        out: Tensor = self.scale_out * (self.linear(x) + F.linear(F.linear(x, self.down), self.up))
        return out

    def merged(self) -> nn.Linear:
        """One linear map that does the same."""
        weight = self.scale_out[:, None] * (self.linear.weight + self.up @ self.down) * self.scale_in
        bias = self.linear.bias
        return _linear(weight, None if bias is None else self.scale_out * bias)


def add_lora(base: Base, rank: int, alpha: float, roles: Sequence[Role], generator: torch.Generator) -> None:
    """Put LoRA on the linear maps of `roles` in every block of a base that is nobody else's."""
    for path, role in base.linears().items():
        if role in roles:
            linear = base.encoder.get_submodule(path)
            assert isinstance(linear, nn.Linear)
            replace_module(base.encoder, path, LoraLinear(linear, rank, alpha, generator))


def add_slr(base: Base, rank: int, roles: Sequence[Role], generator: torch.Generator) -> None:
    """Put SLR on the linear maps of `roles` in every block of a base that is nobody else's."""
    for path, role in base.linears().items():
        if role in roles:
            linear = base.encoder.get_submodule(path)
            assert isinstance(linear, nn.Linear)
            replace_module(base.encoder, path, SlrLinear(linear, rank, generator))


def replace_module(root: nn.Module, path: str, module: nn.Module) -> None:
    """Put `module` at a dotted path."""
    owner, _, leaf = path.rpartition(".")
    setattr(root.get_submodule(owner), leaf, module)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    out, into = weight.shape
    # On "meta" no memory is filled that the next line would throw away.
    merged = nn.Linear(into, out, bias=bias is not None, device="meta")
    merged.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        merged.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return merged


def _check_rank(rank: int, linear: nn.Linear) -> None:
    largest = min(linear.in_features, linear.out_features)
    if rank > largest:
        raise InputError(
            f"rank {rank} exceeds the width of the base",
            expected=f"1 to {largest}",
            found=rank,
            fix="a rank of 8 to 32 is usual",
        )
