"""The reference quantiser (bitstream §10.1) as kernels call it, on float32 in registers.

    magnitude = rint(min(|y| · inv_step − θ, limit)),  limit an integer, so that it may come before rint

Every step rounds for itself: kernels that call it are compiled without fused multiply-adds (`enable_fp_fusion=False`), and
nothing flushes subnormals. The reference's max(…, 0) is not needed: θ ≤ 0.5 (§6), and what lies in −0.5 … 0 rounds to 0, the
half to even. 1.5 · 2²³ added leaves the nearest integer, half to even, in the low bits of the sum: nothing is converted, of
which a GPU does a quarter as many as sums.
"""

from __future__ import annotations

import triton
import triton.language as tl

_SIGN = tl.constexpr(-(2**31))
_MAGIC = tl.constexpr(12582912.0)


@triton.jit
def steps(y, inv_step, theta, limit):
    """|y| in steps less the dead zone, float32, −0.5 … limit; NaN stays. Bits as int32 are in order, NaN the largest."""
    return tl.minimum(tl.abs(y) * inv_step - theta, limit, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def symbols(found, y):
    """What `steps` gave of y → int32 whose low 16 bits are the symbol."""
    # What is below 0 keeps its sign, and becomes 0 all the same.
    bits = found.to(tl.int32, bitcast=True) | (y.to(tl.int32, bitcast=True) & _SIGN)
    return (bits.to(tl.float32, bitcast=True) + _MAGIC).to(tl.int32, bitcast=True)


@triton.jit
def rounded(found):
    """What `steps` gave → magnitudes in float32, 0 for what is below 0; NaN stays."""
    return (found + _MAGIC) - _MAGIC


@triton.jit
def symbol_costs(found, of_level, DENSE: tl.constexpr):
    """1/256 bit, int32. `of_level`: where a level's costs begin, of DENSE × 128 (`kernels.quantiser.cells`); in bounds
    whatever is found.
    """
    magnitude = (found + _MAGIC).to(tl.int32, bitcast=True) & (DENSE - 1)
    # None is negative: what is filled up with zeros takes no instruction of its own.
    return tl.load(of_level + magnitude * 128).to(tl.uint16, bitcast=True).to(tl.int32)
