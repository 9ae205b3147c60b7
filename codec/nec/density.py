"""The factorised density in our own words: the twin that CompressAI's is tested against, in float64 where it counts.

Per channel a monotone f: R → R gives the cumulative c(v) = sigmoid(f(v)). f is five affine layers of widths 1-3-3-3-3-1
whose weights are made positive by softplus; each hidden layer h is followed by h + tanh(a)·tanh(h). 58 parameters a channel.
Ballé et al., arXiv 1802.01436, appendix 6.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.errors import InputError

WIDTHS = (1, 3, 3, 3, 3, 1)
INITIAL_SPREAD = 10.0  # the density starts about so wide
TAIL = 5e-10  # of either side outside a table
LIMIT = 1 << 15  # largest magnitude of a symbol inside a table
PRECISION = 16  # bits of a table's total
_FAR = 1e6  # where the search for quantiles begins

Int64Array = npt.NDArray[np.int64]


class FactorisedDensity(nn.Module):
    """One density per channel; values are D×n, one row per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        scale = INITIAL_SPREAD ** (1 / (len(WIDTHS) - 1))
        self.matrices, self.biases, self.factors = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in pairwise(WIDTHS):
            start = math.log(math.expm1(1 / scale / fan_out))
            self.matrices.append(nn.Parameter(torch.full((channels, fan_out, fan_in), start)))
            self.biases.append(nn.Parameter(torch.rand(channels, fan_out, 1) - 0.5))
            if len(self.matrices) < len(WIDTHS) - 1:
                self.factors.append(nn.Parameter(torch.zeros(channels, fan_out, 1)))

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> FactorisedDensity:
        """From tensors named `matrices.0`, `biases.0`, `factors.0`, … (CompressAI ≥ 1.2.8); others are left aside."""
        found = cls(int(state["matrices.0"].shape[0]))
        found.load_state_dict({key: state[key] for key in found.state_dict()})
        return found.double()

    def logits(self, values: Tensor) -> Tensor:
        """f, D×n."""
        x = values[:, None]
        for i, matrix in enumerate(self.matrices):
            x = F.softplus(matrix) @ x + self.biases[i]
            if i < len(self.factors):
                x = x + torch.tanh(self.factors[i]) * torch.tanh(x)
        return x[:, 0]

    def cumulative(self, values: Tensor) -> Tensor:
        """c, D×n."""
        return torch.sigmoid(self.logits(values))

    def likelihood(self, values: Tensor) -> Tensor:
        """c(v + ½) − c(v − ½), D×n. Taken in the lower tail, by c(−f): differences near 1 lose everything in float32."""
        low, high = self.logits(values - 0.5), self.logits(values + 0.5)
        sign = torch.where(low + high > 0, -1.0, 1.0)
        return (torch.sigmoid(sign * high) - torch.sigmoid(sign * low)).abs()

    @torch.no_grad()
    def quantile(self, share: float) -> Tensor:
        """Where c is `share`, D, by bisection down to the spacing of floats."""
        goal = math.log(share / (1 - share))
        low = torch.full((self.channels, 1), -_FAR, dtype=self.matrices[0].dtype)
        high = -low
        if bool((self.logits(low) > goal).any()) or bool((self.logits(high) < goal).any()):
            raise InputError(f"the density has no quantile {share:g} within ±{_FAR:g}: it has not converged")
        for _ in range(80):
            middle = (low + high) / 2
            below = self.logits(middle) < goal
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return ((low + high) / 2)[:, 0]

    @torch.no_grad()
    def tables(self) -> list[tuple[int, Int64Array]]:
        """(first symbol, counts that sum to 2^16, the escape last) of every channel; symbols count from the median."""
        median, low, high = (self.quantile(share) for share in (0.5, TAIL, 1 - TAIL))
        found = []
        for channel in range(self.channels):
            m = float(median[channel])
            first = max(-LIMIT, -math.ceil(m - float(low[channel])))
            last = min(LIMIT, math.ceil(float(high[channel]) - m))
            symbols = torch.arange(first, last + 1, dtype=median.dtype)
            values = (m + symbols).expand(self.channels, -1)
            p = self.likelihood(values)[channel].numpy()
            found.append((first, counts(np.append(p, max(0.0, 1 - p.sum())))))
        return found


def counts(p: npt.NDArray[np.float64]) -> Int64Array:
    """Integers ≥ 1 with the sum 2^16, in proportion to `p`; what rounding leaves over goes to the most frequent."""
    total = 1 << PRECISION
    if len(p) >= total:
        raise InputError("a table has more symbols than its total", found=len(p))
    scaled = np.maximum(1, np.floor(p / p.sum() * (total - len(p))).astype(np.int64))
    scaled[int(np.argmax(scaled))] += total - int(scaled.sum())
    return scaled
