"""Frozen and adapted attention of a DEFLECT block in one pass."""

from kernels.dual_attention.op import dual_attention
from kernels.dual_attention.twin import DualAttention, dual_attention_twin

__all__ = ["DualAttention", "dual_attention", "dual_attention_twin"]
