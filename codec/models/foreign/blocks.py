"""The pre-norm transformer block that all these encoders share, named as in their files."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head self-attention with one matrix for queries, keys and values, with bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """N×L×D → queries, keys, values, each N×L×D."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return q, k, v

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = (
            part.reshape(n, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.project(x)
        )
        y: Tensor = self.proj(
            F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width)
        )
        return y


class SplitAttention(Attention):
    """The same with three matrices, as Galileo has them."""

    def __init__(self, width: int, heads: int) -> None:
        nn.Module.__init__(self)
        self.heads = heads
        self.q, self.k, self.v, self.proj = (nn.Linear(width, width) for _ in range(4))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.q(x), self.k(x), self.v(x)


class Mlp(nn.Module):
    """Two layers with an exact GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return y


class Block(nn.Module):
    """x + attention(norm1(x)), then x + mlp(norm2(x)); N×L×D → N×L×D."""

    def __init__(
        self, width: int, heads: int, hidden: int, eps: float, attention: type[Attention] = Attention
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps)
        self.attn = attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps)
        self.mlp = Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


def patches(embedding: nn.Module, pixels: Tensor) -> Tensor:
    """Patch embedding by a strided convolution: N×C×(T×)H×W → N×L×D, L in raster order, frames first."""
    return torch.flatten(embedding.proj(pixels), 2).transpose(1, 2)  # type: ignore[operator, union-attr]
