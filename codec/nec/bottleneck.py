"""The seam to CompressAI's `EntropyBottleneck`, through which the published recipe is trained and its bytes are made.

    y N×L×D ─+ noise ±½, or rounded about the median─▶ ŷ, bits N×L×D
    y ─freeze()─▶ integer tables ─compress─▶ one byte string a tile ─decompress─▶ ŷ

CompressAI is in no extra: its pins would replace numpy and torch. `make setup` installs it without them, and an
empty package with its path stands in for its `__init__`, which imports everything.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from codec.errors import BackendUnavailable, InputError

INSTALL = "make setup, or pip install --no-deps compressai==1.2.8 beside torch and scipy"
Quantiles = Literal["adam", "bisection"]
STRING_OVERHEAD = 8  # bytes of the coder's final state, once a string
_CONVERGED = 1e-8  # probability outside a table on either side; the quantiles are meant to leave 5e-10
_PARAMETERS = ("matrices", "biases", "factors")  # of a density; the quantiles are no part of it


def entropy_models() -> Any:
    """CompressAI's module of entropy models. Raises BackendUnavailable naming what installs it."""
    if "compressai" not in sys.modules:
        spec = importlib.util.find_spec("compressai")
        if spec is None or spec.submodule_search_locations is None:
            raise BackendUnavailable("compressai is not installed", fix=INSTALL)
        package: Any = types.ModuleType("compressai")
        package.__path__ = list(spec.submodule_search_locations)
        # The two functions of `__init__` that its entropy models ask for.
        package.available_entropy_coders = lambda: ["ans"]
        package.get_entropy_coder = lambda: "ans"
        sys.modules["compressai"] = package
    try:
        return importlib.import_module("compressai.entropy_models.entropy_models")
    except ImportError as error:
        raise BackendUnavailable(f"compressai cannot be loaded ({error})", fix=INSTALL) from error


class Bottleneck(nn.Module):
    """One static density per channel, step 1; L is free from call to call."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.core: Any = entropy_models().EntropyBottleneck(channels)

    def forward(self, y: Tensor, *, noise: bool) -> tuple[Tensor, Tensor]:
        """ŷ and bits of every element, N×L×D each: with uniform noise, or rounded about the medians."""
        y_hat, likelihood = self.core(y.transpose(1, 2), training=noise)
        return y_hat.transpose(1, 2), -likelihood.transpose(1, 2).log2()

    def quantile_loss(self) -> Tensor:
        """What the published recipe's second optimiser lowers; it moves the quantiles and nothing else."""
        return cast(Tensor, self.core.loss())

    @property
    def quantiles(self) -> nn.Parameter:
        """D×1×3: lower end of the table, median, upper end."""
        return cast(nn.Parameter, self.core.quantiles)

    def density(self) -> list[nn.Parameter]:
        """The 58 parameters a channel that training moves by the loss."""
        return [parameter for kind in _PARAMETERS for parameter in getattr(self.core, kind)]

    def tail_mass(self) -> tuple[Tensor, Tensor]:
        """Probability below the lower and above the upper quantile, D each; converged quantiles leave 5e-10."""
        with torch.no_grad():
            logits = self.core._logits_cumulative(self.quantiles, stop_gradient=True)[:, 0]
        return torch.sigmoid(logits[:, 0]), torch.sigmoid(-logits[:, 2])

    def freeze(self, quantiles: Quantiles) -> None:
        """Build the integer tables, from the quantiles as they were trained, or from converged ones (bisection).

        Raises InputError for a density that is not finite, or whose tails bisection does not find: it says by how much.
        """
        wrong = [p for p in (*self.density(), self.quantiles) if not bool(p.detach().isfinite().all())]
        if wrong:
            raise InputError("the density holds numbers that are not finite: it cannot be frozen")
        self.core.update(force=True, update_quantiles=quantiles == "bisection")
        outside = torch.maximum(*self.tail_mass())
        if quantiles == "bisection" and float(outside.max()) > _CONVERGED:
            channel = int(outside.argmax())
            raise InputError(
                f"the density of channel {channel} has not converged: {float(outside[channel]):.2g} of it lies outside",
                expected=f"at most {_CONVERGED:g}",
                found=f"{int((outside > _CONVERGED).sum())} of {self.channels} channels",
                fix="train longer, or with a lower schedule.density_path",
            )

    def compress(self, y: Tensor) -> list[bytes]:
        """N×L×D → one string a tile. `freeze` comes before."""
        if not bool(y.isfinite().all()):
            first = int((~y.isfinite()).flatten(1).any(1).nonzero()[0])
            raise InputError("activations are not finite", record=first, fix="leave the tile out as invalid")
        with torch.no_grad():
            return list(self.core.compress(y.transpose(1, 2).float()))

    def decompress(self, strings: Sequence[bytes], length: int) -> Tensor:
        """ŷ N×L×D of N strings of L tokens each. CompressAI does not judge its input: only strings whose checksum was
        verified may come here.
        """
        with torch.no_grad():
            found: Tensor = self.core.decompress(list(strings), (length,))
        return found.transpose(1, 2).contiguous()

    def rounded(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Symbols int32 and ŷ, N×L×D each, as `compress` makes them."""
        median = self.quantiles.detach()[:, 0, 1]
        symbols = torch.round(y - median)
        return symbols.int(), symbols + median

    def table_bits(self, y: Tensor) -> Tensor:
        """Σ −log2 of the integer tables, N×L×D; symbols outside a table cost its escape and CompressAI's 4-bit bypass."""
        symbols, _ = self.rounded(y)
        cdf, length, offset = (getattr(self.core, f"_{n}") for n in ("quantized_cdf", "cdf_length", "offset"))
        index = symbols.long() - offset
        escape = (length - 2).expand_as(index)
        outside = (index < 0) | (index >= escape)
        cell = torch.where(outside, escape.long(), index)
        channel = torch.arange(self.channels).expand_as(cell)
        bits = 16 - (cdf[channel, cell + 1] - cdf[channel, cell]).float().log2()
        # Bypass: how far outside, both sides interleaved, in groups of four bits after their count in one such group.
        beyond = torch.where(index < 0, -2 * index - 1, 2 * (index - escape)).clamp(min=0)
        groups = torch.where(beyond > 0, beyond.clamp(min=1).float().log2().floor() / 4, -1.0).floor() + 1
        return bits + torch.where(outside, 4 * (1 + groups), torch.zeros_like(bits))

    def identity(self) -> str:
        """SHA-256 over tables and medians: what a decoder must share to read the strings."""
        digest = hashlib.sha256()
        for name in ("_quantized_cdf", "_cdf_length", "_offset"):
            digest.update(getattr(self.core, name).numpy().tobytes())
        digest.update(self.quantiles.detach()[:, 0, 1].contiguous().numpy().tobytes())
        return digest.hexdigest()
