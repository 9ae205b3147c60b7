"""LayerNorm, a factor and an offset of each channel, the quantiser, and symbols of 8 or 16 bits, in one pass over memory."""

from kernels.quantise_diagonal.op import quantise_diagonal
from kernels.quantise_diagonal.twin import quantise_diagonal_twin

__all__ = ["quantise_diagonal", "quantise_diagonal_twin"]
