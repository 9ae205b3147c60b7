"""An adapted block up to its MLP by two kernels: attention of both branches, then the projection with the token's scale."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from codec.adapt.attention_forms import Codes, Ups
from codec.adapt.base import Site
from codec.adapt.types import DeflectSettings, NormSwitches
from kernels.constrained_projection import constrained_projection
from kernels.dual_attention import dual_attention


def unfusable(settings: DeflectSettings, nothing_else_learns: bool, sites: Sequence[Site]) -> str:
    """What of an adapter the kernels do not know; "" if they know all of it."""
    uatt, norm = settings.uatt, settings.norm
    unknown = {
        "streams that carry the code": uatt.stream != "static",
        "down-projections of their own": not uatt.share_down,
        "separate products": uatt.products != "sum",
        "values without codes": not uatt.value_aux,
        "lengths that are free, or measured after the projection or by head": norm.mode == "off"
        or norm.where != "pre"
        or norm.per != "token",
        "the reference of another run": norm.ref != "same",
        "an MLP whose length is held": norm.mlp,
        "parts of the base that learn": not nothing_else_learns,
        "biases of positions": any(site.biased for site in sites),
    }
    return next((what for what, is_so in unknown.items() if is_so), "")


def after_attention(site: Site, z: Tensor, codes: Codes, ups: Ups, norm: NormSwitches) -> Tensor:
    """z N×L×D and codes → z + deflected displacement, as the other forms and `length_ratio` compute it."""
    assert ups.v is not None
    q, k, v = site.project(site.normed(z))
    scale = site.query_scale * site.key_scale
    # Under autocast the base's projections are of another kind than what learns, and than the stream.
    code, up_q, up_k, up_v = (x.to(q.dtype) for x in (codes.q, ups.q, ups.k, ups.v))
    found = dual_attention(q, k, v, code, up_q, up_k, up_v, scale)
    reference = found.reference_square.detach() if norm.detach_ref else found.reference_square
    return constrained_projection(
        z, found.adapted.to(z.dtype), reference, found.adapted_square, site.output_weight(), site.output_bias(),
        clip=norm.mode == "clip",
    )  # fmt: skip
