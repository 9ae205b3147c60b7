"""Patch filters for more bands than a base was trained on, which every rival of DEFLECT needs.

Two ways are in use and neither wins everywhere: the filters of the known bands again and again, rescaled so that a picture
that is equal in all bands keeps its tokens (as `timm` does for `in_chans`); or the known filters where they are, and
random ones of the same spread for the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codec.errors import InputError


def inflate(filters: Tensor, own: Sequence[str], bands: Sequence[str], how: str, seed: int = 0) -> Tensor:
    """Filters of `own` bands, stacked along axis 1 (D×B or D×B×P×P) → the same for `bands`.

    `repeat`: a band of the base keeps its filter, the others take them in turn, all times B / len(bands). `rgb+random`:
    filters of the base unchanged; the others normal with the standard deviation of the base's filters. Raises InputError
    for another word.
    """
    if how not in ("repeat", "rgb+random"):
        raise InputError(f"patch filters cannot be inflated by {how!r}", expected="repeat or rgb+random")
    if tuple(own) == tuple(bands):
        return filters.clone()
    if how == "repeat":
        others = [band for band in bands if band not in own]
        source = [list(own).index(band) if band in own else others.index(band) % len(own) for band in bands]
        return filters[:, source] * (len(own) / len(bands))
    generator = torch.Generator().manual_seed(seed)
    columns = []
    for band in bands:
        if band in own:
            columns.append(filters[:, list(own).index(band)])
        else:
            # Drawn on the CPU so that a seed means the same filters on every device.
            noise = torch.randn(filters[:, 0].shape, generator=generator)
            columns.append(filters.std() * noise.to(filters))
    return torch.stack(columns, dim=1)
