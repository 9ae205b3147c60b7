"""The constraint that names the method: a displacement keeps the length the pretrained block would have given it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codec.adapt.types import NormSwitches

# Of squares; below it a displacement has no direction. A clamp and not a sum: equal lengths must give exactly 1 (A12, A15).
_LEAST = 1e-24


def length_ratio(reference: Tensor, adapted: Tensor, over: Sequence[int], switches: NormSwitches) -> Tensor:
    """s with |s · adapted| = |reference|, lengths taken over the axes `over`, which are kept with size 1.

    Half-precision displacements are measured in float32, where their squares cannot overflow; s has their kind again.
    """
    wide = torch.promote_types(adapted.dtype, torch.float32)
    r = reference.to(wide).square().sum(tuple(over), keepdim=True)
    a = adapted.to(wide).square().sum(tuple(over), keepdim=True)
    if switches.detach_ref:
        r = r.detach()
    # The second clamp is for the gradient: the root has none at 0, which is where a token of zeros stands.
    ratio = torch.sqrt((r / a.clamp(min=_LEAST)).clamp(min=_LEAST))
    return (ratio.clamp(max=1.0) if switches.mode == "clip" else ratio).to(adapted.dtype)
