"""Frozen and adapted attention of a DEFLECT block in one stacked call: what a reader can trust, and training's path.

Per head, with q, k, v of the frozen block, one code c per token (shared by all heads) and the trained U:

    q_a = q + c U_q,    logits = q_a·k + (q_a U_kᵀ)·c,    displacement = Σ p (v + c U_v)

Keys and values are never rebuilt: [q_a | q_a U_kᵀ] meets [k | c], and the mixture of [v | c] is unfolded by U_v. The frozen
block is the same with [q | 0]. Thoreau, Marsocci, Derksen, arXiv 2503.09493; folding: `codec.adapt.attention_forms`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class DualAttention(NamedTuple):
    """What both branches leave: the adapted displacement, and of each head the square that both add to a token's length."""

    adapted: Tensor  # B×n×h×hd, not yet projected, of the kind of q
    reference_square: Tensor  # B×n×h, float32, or float64 of float64
    adapted_square: Tensor  # the same


def dual_attention_twin(
    q: Tensor, k: Tensor, v: Tensor, code: Tensor, up_q: Tensor, up_k: Tensor, up_v: Tensor, scale: float
) -> DualAttention:
    """q, k, v B×h×n×hd, code B×n×r, up h×r×hd each, all of one kind; `scale` of the logits → see DualAttention."""
    heads, hd = q.shape[1], q.shape[3]
    every_head = code.unsqueeze(1).expand(-1, heads, -1, -1)
    query = q + code.unsqueeze(1) @ up_q
    both = torch.cat(
        [F.pad(q, (0, code.shape[2])), torch.cat([query, query @ up_k.transpose(1, 2)], dim=-1)], dim=2
    )
    key, value = torch.cat([k, every_head], dim=-1), torch.cat([v, every_head], dim=-1)
    reference, mixed = F.scaled_dot_product_attention(both, key, value, scale=scale).chunk(2, dim=2)
    adapted = mixed[..., :hd] + mixed[..., hd:] @ up_v
    return DualAttention(adapted.transpose(1, 2).contiguous(), _square(reference[..., :hd]), _square(adapted))


def _square(x: Tensor) -> Tensor:
    """B×h×n×hd → B×n×h; of half precision, whose squares overflow, in float32."""
    wide = torch.promote_types(x.dtype, torch.float32)
    return x.to(wide).square().sum(-1).transpose(1, 2).contiguous()
