"""Untangled attention, in three forms that give the same numbers: to be read, to be run, to be trained.

Per head, with the pretrained q, k, v of a token, its codes c (one row of r numbers, shared by all heads) and the trained U:

    q_A = c U_q    k_A = c U_k    v_A = c U_v
    logits = q·k + q·k_A + q_A·k + q_A'·k_A'          RGB–RGB, RGB–spectral, spectral–RGB, spectral–spectral
    displacement = softmax(logits) (v + v_A)

A5: with `products=sum` the last product uses the same q_A and k_A; with `separate` it has its own U.

*four products*: as written. *folded*: keys and values are never rebuilt, since q_a·k_A = (q_a U_k^T)·c and
Σ p (c U_v) = (Σ p c) U_v; so one ordinary attention of head width hd + r does it,

    [q + c U_q | q U_k^T + c U_q' U_k'^T]  against keys [k | c] and values [v | c]

and the reference branch is the same attention with [q | 0]: the same operation on the same shapes, so that U = 0 gives the
same bits. *stacked*: both branches as 2 M queries of one call. *fused*: the block up to its MLP as two GPU kernels
(`kernels.dual_attention`, `kernels.constrained_projection`), for the settings that they know; elsewhere as their twins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.adapt.base import Site
from codec.errors import InputError

Form = Literal["four-products", "folded", "stacked", "fused"]


class Projected(NamedTuple):
    """Queries, keys and values W×heads×M×hd, not scaled."""

    q: Tensor
    k: Tensor
    v: Tensor


class Codes(NamedTuple):
    """W×M×r each; the same tensor three times where the down-projection is shared."""

    q: Tensor
    k: Tensor
    v: Tensor


@dataclass(frozen=True, slots=True)
class Ups:
    """Up-projections heads×r×hd; `q_own`, `k_own` are those of the spectral–spectral product (A5)."""

    q: Tensor
    k: Tensor
    v: Tensor | None  # None: values have no auxiliary part (A6)
    q_own: Tensor
    k_own: Tensor


class Displacements(NamedTuple):
    """Before the output projection, W×heads×M×hd: of the frozen block; of the adapted one, from v and from v_A."""

    reference: Tensor
    plain: Tensor
    auxiliary: Tensor


def four_products(site: Site, reference: Projected, live: Projected, codes: Codes, ups: Ups) -> Displacements:
    """The readable twin."""
    c_q, c_k, c_v = (code.unsqueeze(1) for code in codes)  # W×1×M×r
    q, k = live.q * site.query_scale, live.k * site.key_scale
    q_aux, k_aux = (c_q @ ups.q) * site.query_scale, (c_k @ ups.k) * site.key_scale
    q_own, k_own = (c_q @ ups.q_own) * site.query_scale, (c_k @ ups.k_own) * site.key_scale

    pretrained = q @ k.transpose(2, 3)
    rgb_to_spectral = q @ k_aux.transpose(2, 3)
    spectral_to_rgb = q_aux @ k.transpose(2, 3)
    spectral_to_spectral = q_own @ k_own.transpose(2, 3)
    logits = pretrained + rgb_to_spectral + spectral_to_rgb + spectral_to_spectral
    weights = _softmax(logits, site)
    plain = weights @ live.v
    auxiliary = torch.zeros_like(plain) if ups.v is None else weights @ (c_v @ ups.v)

    if reference is not live:
        scaled = reference.q * site.query_scale, reference.k * site.key_scale
        pretrained = scaled[0] @ scaled[1].transpose(2, 3)
    return Displacements(_softmax(pretrained, site) @ reference.v, plain, auxiliary)


def folded(site: Site, reference: Projected, live: Projected, codes: Codes, ups: Ups) -> Displacements:
    """Two attentions of head width hd + r."""
    query, key, value = _folded(live, codes, ups)
    if reference is live:
        of_reference = site.attend(_padded(live.q, codes.q), key, value, site.bias())
    else:
        heads = reference.q.shape[1]
        of_reference = site.attend(
            _padded(reference.q, codes.q),
            torch.cat([reference.k, _every_head(codes.k, heads)], dim=-1),
            torch.cat([reference.v, _every_head(codes.v, heads)], dim=-1),
            site.bias(),
        )
    adapted = site.attend(query, key, value, site.bias())
    return _unfolded(of_reference, adapted, live.q.shape[-1], ups)


def stacked(site: Site, reference: Projected, live: Projected, codes: Codes, ups: Ups) -> Displacements:
    """One attention with twice the queries. InputError where the frozen branch has keys of its own."""
    if reference is not live:
        raise InputError(
            "one stacked call needs a frozen branch with the same keys and values",
            found="stream=diff, norm.ref=z_P, or low-rank updates, norms or biases that learn",
            fix='use the form "folded" or "four-products"',
        )
    query, key, value = _folded(live, codes, ups)
    both = torch.cat([_padded(live.q, codes.q), query], dim=2)  # W×heads×2M×(hd + r)
    bias = site.bias()
    mixed = site.attend(both, key, value, None if bias is None else torch.cat([bias, bias], dim=-2))
    of_reference, adapted = mixed.chunk(2, dim=2)
    return _unfolded(of_reference, adapted, live.q.shape[-1], ups)


# Of the attention alone; `fused` takes the projection, too (`codec.adapt.fused`).
FORMS: Mapping[Form, Callable[[Site, Projected, Projected, Codes, Ups], Displacements]] = {
    "four-products": four_products,
    "folded": folded,
    "stacked": stacked,
}


def _softmax(logits: Tensor, site: Site) -> Tensor:
    bias = site.bias()
    return torch.softmax(logits if bias is None else logits + bias, dim=-1)


def _every_head(code: Tensor, heads: int) -> Tensor:
    return code.unsqueeze(1).expand(-1, heads, -1, -1)


def _padded(q: Tensor, code: Tensor) -> Tensor:
    """[q | 0]: of the width of the folded form, and blind to codes."""
    return F.pad(q, (0, code.shape[-1]))


def _folded(live: Projected, codes: Codes, ups: Ups) -> tuple[Tensor, Tensor, Tensor]:
    c_q = codes.q.unsqueeze(1)
    query = live.q + c_q @ ups.q
    if ups.q_own is ups.q and ups.k_own is ups.k:
        to_codes = query @ ups.k.transpose(1, 2)
    else:
        to_codes = live.q @ ups.k.transpose(1, 2) + (c_q @ ups.q_own) @ ups.k_own.transpose(1, 2)
    heads = live.q.shape[1]
    return (
        torch.cat([query, to_codes], dim=-1),
        torch.cat([live.k, _every_head(codes.k, heads)], dim=-1),
        torch.cat([live.v, _every_head(codes.v, heads)], dim=-1),
    )


def _unfolded(reference: Tensor, adapted: Tensor, head_width: int, ups: Ups) -> Displacements:
    plain = adapted[..., :head_width]
    auxiliary = torch.zeros_like(plain) if ups.v is None else adapted[..., head_width:] @ ups.v
    return Displacements(reference[..., :head_width], plain, auxiliary)
