"""The output projection of an adapted block: its displacement keeps the length the frozen block's would have had."""

from kernels.constrained_projection.op import constrained_projection
from kernels.constrained_projection.twin import constrained_projection_twin, token_scale

__all__ = ["constrained_projection", "constrained_projection_twin", "token_scale"]
