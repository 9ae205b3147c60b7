"""LayerNorm, token DCT and channel KLT of a plane: products of matrices, the second of which ends in the quantiser."""

from kernels.quantise_projection.op import PlaneMatrices, quantise_projection
from kernels.quantise_projection.twin import quantise_projection_twin

__all__ = ["PlaneMatrices", "quantise_projection", "quantise_projection_twin"]
