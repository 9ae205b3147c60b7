"""What an adapted encoder costs to run, counted and not timed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from codec.adapt.adapted import Adapted, weights_sha256
from codec.adapt.base import Base
from codec.errors import IdentityError


@dataclass(frozen=True, slots=True)
class Cost:
    """Operations of matrix products per image (a multiplication and an addition are two), and numbers that learn."""

    flop: int
    flop_of_base: int
    trained: int
    share: float  # of the base's parameters

    @property
    def ratio(self) -> float:
        """Operations beside those of the frozen base on its own bands."""
        return self.flop / self.flop_of_base


def cost(adapted: Adapted, base: Base, height: int, width: int) -> Cost:
    """Of one image of `height`×`width` pixels; the frozen branch of DEFLECT is counted, its four products as its form has
    them. Raises IdentityError for another base than the adapter's.
    """
    if weights_sha256(base.encoder) != adapted.base_sha256:
        raise IdentityError("the adapter belongs to another base", fix="give the base it was applied to")
    like = next(base.encoder.parameters())

    def image(bands: int) -> tuple[Tensor, Tensor, Tensor]:
        # One half, not nothing: statistics of a constant picture are numbers like any other.
        return (
            like.new_full((1, bands, height, width), 0.5),
            like.new_ones(1, bands),
            like.new_ones(1, height, width),
        )

    return Cost(
        flop=_count(adapted, image(len(adapted.bands))),
        flop_of_base=_count(base, image(len(base.bands))),
        trained=adapted.n_trained,
        share=adapted.share,
    )


@torch.no_grad()
def _count(module: nn.Module, image: tuple[Tensor, Tensor, Tensor]) -> int:
    counter = FlopCounterMode(display=False)
    # Written out: the counter does not know the fused attention of every device.
    with sdpa_kernel(SDPBackend.MATH), counter:
        module(*image)
    return int(counter.get_total_flops())
