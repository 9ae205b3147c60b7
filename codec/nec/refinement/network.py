"""The refinement network: one transformer block over a tile's tokens, told steps and arrivals.

    x = (tokens − mean) · basisᵀ                       channels of the codec, largest scale first
    r² = Σ_layers  arrived ? S·q/(S + q) : S           error expected per channel, q = step²/12 per coefficient
    a = x · σ/(σ² + r²)                                whitened where it is known, faded where it is noise
    h = W·[a ‖ spectral] + position, scaled and shifted by what steps and layers say
    h = h + attention(h);  h = h + mlp(h)
    residual = r · (V·h), V zero at first;  its mean over the tile's valid tokens is taken off
    refined = tokens + g · (residual · basis) where valid

g is 1 at steps that were trained and falls to 0 beyond them: what was never seen is left as decoded.
σ², S: variances of training latents by channel, and by channel and layer. The mean is layer 0's and finely quantised
already: what reads the mean of the tokens gets the same number with and without refinement.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from codec.nec.refinement.degraded import Windows, layer_steps
from codec.nec.refinement.recipe import Recipe
from codec.transform.maps import quant_maps
from codec.types import FloatArray

_HIDDEN = 1e4  # taken from the score of an invalid token: far below any, and finite in half precision
_TINY = 1e-12  # keeps 0/0 out; as a summand the exporter takes it for 0 and drops it
_OCTAVES = 4.0  # a step of 2⁴ deviations is 1 for the network
_FADE_OCTAVES = 1.5  # past the finest and coarsest trained step; harm was seen from 2 octaves on


@dataclass(frozen=True)
class Statistics:
    """What the network knows of the codec; arrays float32."""

    mean: FloatArray  # h×w×C of the first plane
    basis: FloatArray  # C×C, row = channel of the latent
    variance: FloatArray  # C, of a token's coefficient
    share: FloatArray  # L×C: the part of `variance` that each layer of the first plane carries
    fraction: FloatArray  # L×C: the part of a channel's coefficients that lie in each layer
    other_mean: FloatArray  # D, of the second plane's channels
    other_deviation: FloatArray  # D
    scale: FloatArray  # Λ: deviation of one coefficient of each layer's plane
    trained: tuple[float, float]  # finest and coarsest step of the first plane's last layer that was trained

    @classmethod
    def of(cls, windows: Windows) -> Statistics:
        """From training windows."""
        package = windows.package
        first = package.planes[0]
        maps = quant_maps(package.table_file, 0, package.default_ladder_index)
        whole = windows.validity.all((1, 2))
        power = np.square(windows.latents[first.name][whole], dtype=np.float64).mean(0)  # C×F
        n_layers, n_tokens = first.spec.n_layers, first.spec.n_frequencies
        inside = np.stack([maps.layer == layer for layer in range(n_layers)])  # L×C×F
        other = package.planes[1]
        beside = windows.planes[other.name][windows.validity]
        spread = np.square(windows.latents[other.name][whole], dtype=np.float64).mean()
        scale = [np.sqrt(power.mean())] * n_layers + [np.sqrt(spread)] * other.spec.n_layers
        ends = [
            float(layer_steps(package, 0, index, (0,) * n_layers)[-1])
            for index in (windows.indices.start, windows.indices.stop - 1)
        ]
        as_float = np.float32
        return cls(
            package.transforms[first.name].mean,
            package.transforms[first.name].basis,
            (power.sum(1) / n_tokens).astype(as_float),
            (np.where(inside, power, 0).sum(2) / n_tokens).astype(as_float),
            (inside.sum(2) / n_tokens).astype(as_float),
            beside.mean(0, dtype=np.float64).astype(as_float),
            np.maximum(beside.std(0, dtype=np.float64), 1e-6).astype(as_float),
            np.asarray(scale, as_float),
            (ends[0], ends[1]),
        )


class RefinementNetwork(nn.Module):
    """`forward` takes what `decoder.onnx` takes; see the module's text. The identity until it is trained."""

    mean: Tensor
    basis: Tensor
    variance: Tensor
    share: Tensor
    fraction: Tensor
    other_mean: Tensor
    other_deviation: Tensor
    scale: Tensor

    def __init__(self, statistics: Statistics, recipe: Recipe) -> None:
        super().__init__()
        self.trained = statistics.trained
        for name in Statistics.__dataclass_fields__.keys() - {"trained"}:
            self.register_buffer(name, torch.from_numpy(np.array(getattr(statistics, name), np.float32)))
        rows, cols, channels = statistics.mean.shape
        others, width = len(statistics.other_mean), recipe.width
        self.n_layers, self.heads = len(statistics.share), recipe.heads
        self.embed = nn.Linear(channels + others, width)
        self.position = nn.Parameter(0.02 * torch.randn(rows * cols, width))
        self.condition = nn.Sequential(
            nn.Linear(2 * len(statistics.scale), recipe.condition),
            nn.GELU(),
            nn.Linear(recipe.condition, 4 * width),
        )
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.fc1 = nn.Linear(width, recipe.hidden)
        self.fc2 = nn.Linear(recipe.hidden, width)
        self.out = nn.Linear(width, channels)
        for layer in (self.condition[2], self.out):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def expected_error(self, steps: Tensor, arrived: Tensor) -> Tensor:
        """N×C: variance of what is not known of a token's coefficient."""
        there = arrived[:, : self.n_layers, None]
        noise = (steps[:, : self.n_layers, None] ** 2 / 12) * self.fraction  # (N, L, C)
        known = self.share * noise / (self.share + noise).clamp(min=_TINY)
        return (there * known + (1 - there) * self.share).sum(1)

    def trust(self, steps: Tensor) -> Tensor:
        """N×1×1: 1 inside the trained steps, 0 from 1.5 octaves beyond them on."""
        finest, coarsest = (math.log2(step) for step in self.trained)
        octave = torch.log2(steps[:, self.n_layers - 1])
        beyond = (finest - octave).clamp(min=0.0) + (octave - coarsest).clamp(min=0.0)
        return (1 - beyond / _FADE_OCTAVES).clamp(min=0.0)[:, None, None]

    def forward(
        self, tokens: Tensor, other: Tensor, validity: Tensor, steps: Tensor, arrived: Tensor
    ) -> Tensor:
        """N×h×w×C and N×h×w×D decoded, N×h×w in {0, 1}, N×Λ steps > 0, N×Λ in {0, 1} → N×h×w×C."""
        n, rows, cols, channels = tokens.shape
        valid = validity.flatten(1)[..., None]  # (N, F, 1)
        x = ((tokens - self.mean).flatten(1, 2) * valid) @ self.basis.T  # (N, F, C)
        error = self.expected_error(steps, arrived)  # (N, C)
        seen = x * (self.variance.sqrt() / (self.variance + error).clamp(min=_TINY))[:, None]
        beside = ((other - self.other_mean) / self.other_deviation).flatten(1, 2) * valid
        beside = beside * arrived[:, self.n_layers : self.n_layers + 1, None]
        said = torch.cat([arrived, arrived * torch.log2(steps / self.scale) / _OCTAVES], 1)
        scale1, shift1, scale2, shift2 = self.condition(said)[:, None].chunk(4, -1)
        h = (self.embed(torch.cat([seen, beside], -1)) + self.position) * (1 + scale1) + shift1
        h = h + self.attention(self.norm1(h), valid)
        h = h + self.fc2(functional.gelu(self.fc1(self.norm2(h) * (1 + scale2) + shift2)))
        residual = self.out(self.norm3(h)) * error.sqrt()[:, None] * valid
        mean = residual.sum(1, keepdim=True) / valid.sum(1, keepdim=True).clamp(min=1.0)
        residual = ((residual - mean) * valid) @ self.basis * self.trust(steps)
        return tokens + residual.reshape(n, rows, cols, channels)

    def attention(self, h: Tensor, valid: Tensor) -> Tensor:
        """Softmax attention among the valid tokens (written out: the graph keeps plain operators)."""
        n, tokens, width = h.shape
        parts = self.qkv(h).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = parts[0], parts[1], parts[2]  # (N, heads, F, d)
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(width // self.heads)
        scores = scores + (valid.transpose(1, 2)[:, None] - 1) * _HIDDEN
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, tokens, width)
        return self.proj(mixed)

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())
