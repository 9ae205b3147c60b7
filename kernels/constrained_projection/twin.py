"""A displacement turned and not lengthened, projected, and added to its stream: the twin that a reader can trust.

    s_i = √(Σ_h reference_ih / Σ_h adapted_ih),    z'_i = z_i + s_i · (o_i Wᵀ) + b

The scale is a number per token, so it commutes with the projection: it is a factor of the product's rows, and neither a
scaled displacement nor the frozen one is ever written. Thoreau, Marsocci, Derksen, arXiv 2503.09493.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-24  # of a square: below it a displacement has no direction


def token_scale(reference_square: Tensor, adapted_square: Tensor, clip: bool) -> Tensor:
    """B×n×h each → B×n; equal squares give exactly 1. `clip`: lengths may shrink and never grow."""
    reference, adapted = reference_square.sum(-1), adapted_square.sum(-1)
    scale = (reference / adapted.clamp(min=LEAST)).clamp(min=LEAST).sqrt()
    return scale.clamp(max=1.0) if clip else scale


def constrained_projection_twin(
    stream: Tensor, displacement: Tensor, reference_square: Tensor, adapted_square: Tensor, weight: Tensor,
    bias: Tensor | None, clip: bool = False,
) -> Tensor:  # fmt: skip
    """stream B×n×d, displacement B×n×h×hd, squares B×n×h, weight d×(h·hd), bias d → the stream after it, B×n×d."""
    scale = token_scale(reference_square, adapted_square, clip)
    product = displacement.flatten(2) @ weight.mT
    wide = torch.promote_types(product.dtype, scale.dtype)
    found = scale.unsqueeze(-1) * product.to(wide) + stream.to(wide)
    found = found if bias is None else found + bias.to(wide)
    return found.to(stream.dtype).contiguous()
