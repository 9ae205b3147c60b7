"""Untangled patch embedding: the set of a patch's pixels → a code of r numbers, and where asked the vector x_A.

    statistics s ∈ R^F ─E─▶ code c ∈ R^r ─U₀─▶ x_A ∈ R^D          (x = x_P + x_A, eq. 3)

A patch without a valid pixel has s = 0, hence code 0: no map here has a bias.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.adapt.attention_forms import Codes
from codec.adapt.types import DeflectSettings

_NAMES = ("q", "k", "v")


class Statistics(Protocol):
    """What describes the pixels of each patch: `codec.adapt.patch_statistics`."""

    @property
    def n_features(self) -> int: ...

    def __call__(self, pixels: Tensor, present: Tensor, validity: Tensor) -> Tensor: ...


def drawn(shape: tuple[int, ...], std: float, generator: torch.Generator, like: Tensor) -> nn.Parameter:
    """A trained parameter, normal with mean 0; drawn on the CPU so that a seed means the same on every device."""
    return nn.Parameter((torch.randn(shape, generator=generator) * std).to(like))


def zeros(shape: tuple[int, ...], like: Tensor) -> nn.Parameter:
    """A trained parameter that starts at 0."""
    return nn.Parameter(torch.zeros(shape).to(like))


class CodeMap(nn.Module):
    """F statistics → r numbers: linear, or with one hidden layer of 2 r (A2)."""

    def __init__(self, features: int, rank: int, kind: str, generator: torch.Generator, like: Tensor) -> None:
        super().__init__()
        first = 2 * rank if kind == "mlp" else rank
        self.down = drawn((features, first), features**-0.5, generator, like)
        self.mix = drawn((first, rank), first**-0.5, generator, like) if kind == "mlp" else None

    def forward(self, s: Tensor) -> Tensor:
        code = s.to(self.down.dtype) @ self.down
        return code if self.mix is None else F.gelu(code) @ self.mix


class UntangledEmbedding(nn.Module):
    """`codes(pixels, …)` N×h×w×r, and `auxiliary(…)` N×h×w×D where a stream needs x_A."""

    def __init__(
        self,
        statistics: nn.Module,
        settings: DeflectSettings,
        width: int,
        generator: torch.Generator,
        like: Tensor,
    ) -> None:
        super().__init__()
        self.statistics = statistics
        features, rank = int(statistics.n_features), settings.uatt.rank  # type: ignore[arg-type]
        static, literal = settings.uatt.stream == "static", settings.upe.add_to_stream
        own_codes = static and not settings.uatt.share_down

        def code_map() -> CodeMap:
            return CodeMap(features, rank, settings.upe.map, generator, like)

        # x_A, and codes that are shared, come from this one.
        self.code = code_map() if literal or not own_codes else None
        self.codes_of = nn.ModuleDict({name: code_map() for name in _NAMES}) if own_codes else None
        self.up: nn.Parameter | None = None
        if literal:  # must start at 0, or the adapted model would not start as the frozen one
            self.up = zeros((rank, width), like)
        elif not static:  # must not: beside U = 0 in every layer nothing would ever learn
            self.up = drawn((rank, width), rank**-0.5, generator, like)

    def describe(self, pixels: Tensor, present: Tensor, validity: Tensor) -> Tensor:
        """Standardised statistics N×h×w×F."""
        s: Tensor = self.statistics(pixels, present, validity)
        return s

    def codes(self, s: Tensor) -> Codes:
        """N×h×w×r for queries, keys, values of a static stream."""
        if self.codes_of is not None:
            q, k, v = (self.codes_of[name](s) for name in _NAMES)
            return Codes(q, k, v)
        assert self.code is not None
        code = self.code(s)
        return Codes(code, code, code)

    def auxiliary(self, s: Tensor) -> Tensor | None:
        """x_A N×h×w×D; None where no stream carries it."""
        if self.up is None or self.code is None:
            return None
        x: Tensor = self.code(s) @ self.up
        return x
