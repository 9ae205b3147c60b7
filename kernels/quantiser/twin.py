"""The reference quantiser (bitstream §10.1) with the costs of what it gives (§10.2), in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.quantiser.cells import LEVELS, LIMIT, Quantised, symbol_kind


def quantised_twin(
    y: Tensor, inv_step: Tensor, theta: Tensor, code: Tensor, costs: Tensor, n_layers: int
) -> Quantised:
    """Latents N×F×C float32, parameters C or F×C (`Cells`) → their symbols. Every step rounds for itself."""
    kind = symbol_kind(costs)
    limit = torch.where(code < 0, 0.0, float(LIMIT[kind]))
    # Where one is NaN the largest is, too.
    magnitude = (y.abs() * inv_step - theta).clamp(min=0.0).minimum(limit).round()
    largest = magnitude.flatten(1).amax(1)
    magnitude = magnitude.nan_to_num(0.0)
    symbols = magnitude.copysign(y).to(torch.int16).to(kind).contiguous()  # however the tokens lie
    cost = costs[magnitude.long(), (code & (LEVELS - 1)).long().expand_as(magnitude)].long()
    of_layers = [torch.where(code >> 7 == layer, cost, 0).flatten(1).sum(1) for layer in range(n_layers)]
    return Quantised(symbols, torch.stack(of_layers, 1), largest)
