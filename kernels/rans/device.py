"""What the coders of one lane and of several have in common, one symbol at a time (bitstream §5.3)."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def index_of(slot, row, coarse, fine, there):
    """Which index of its level, whose 256 entries of `coarse` begin at `row`, a slot stands for: two loads at most."""
    k = tl.load(coarse + (row + (slot >> 8)), mask=there, other=0)
    is_split = there & (k < 0)
    inner = tl.load(fine + ((-1 - k) * 256 + (slot & 255)), mask=is_split, other=0).to(tl.int32)
    return tl.where(is_split, inner, k)


@triton.jit
def places(flag, BALLOT: tl.constexpr):
    """Of each lane how many lower ones have the flag, and how many have it in all. BALLOT: lanes are the threads of a warp,
    whose vote counts them in five instructions.
    """
    has = flag.to(tl.int32)
    if BALLOT:
        below, total = tl.inline_asm_elementwise(
            "{ .reg .pred p; .reg .b32 all, low; setp.ne.s32 p, $2, 0; vote.sync.ballot.b32 all, p, 0xffffffff;"
            " mov.u32 low, %lanemask_lt; and.b32 low, low, all; popc.b32 $0, low; popc.b32 $1, all; }",
            "=r,=r,r", [has], dtype=(tl.int32, tl.int32), is_pure=False, pack=1,
        )  # fmt: skip
    else:
        count = tl.cumsum(has, 0)
        below, total = count - has, tl.zeros_like(has) + tl.max(count, 0)
    return below, total


@triton.jit
def popped(x, slot, edge, low):
    """The state without its symbol, and the symbol's low bits. `edge` is the index's entry of `DeviceTables.edges`."""
    start, share = edge & 0xFFFF, (edge >> 16) & 0xFFFF
    rest = slot - start
    return share.to(tl.uint32) * (x >> 16) + (rest >> low).to(tl.uint32), rest & ((1 << low) - 1)


@triton.jit
def pushed(x, edge, low, below):
    """The state with a symbol, whose low bits are `below`: `popped` backward. The share is at least 1."""
    start, share = (edge & 0xFFFF).to(tl.uint32), ((edge >> 16) & 0xFFFF).to(tl.uint32)
    whole = x // share
    return (whole << 16) + start + ((x - whole * share) << low.to(tl.uint32)) + below.to(tl.uint32)


@triton.jit
def window(data, bit, end, there):
    """40 bits of a string from `bit` on, those behind byte `end` 0."""
    byte = bit >> 3
    found = (bit - bit).to(tl.uint64)
    for i in tl.static_range(5):
        one = tl.load(data + byte + i, mask=there & (byte + i < end), other=0)
        found |= one.to(tl.uint64) << (8 * i)
    return found >> (bit & 7).to(tl.uint64)


@triton.jit
def exp_golomb(bits):
    """v and its length in bits; of more than 15 zeros, which nobody writes, the length is 0."""
    low = (bits & 0xFFFF).to(tl.int32)
    first = low & -low
    # The exponent of a power of two, as a float has it.
    n = (tl.maximum(first, 1).to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127
    v = (1 << n) + ((bits >> (n + 1).to(tl.uint64)).to(tl.int32) & ((1 << n) - 1)) - 1
    return v, tl.where(low == 0, 0, 2 * n + 1)


@triton.jit
def put_bits(words, bit, value, length, there):
    """At most 31 bits of `value` into a string of 32-bit words that begins as zeros; strings may share a word."""
    wide = (value.to(tl.uint64)) << (bit & 31).to(tl.uint64)
    at = words + (bit >> 5)
    lower, upper = (wide & 0xFFFFFFFF).to(tl.uint32), (wide >> 32).to(tl.uint32)
    tl.atomic_or(at, lower.to(tl.int32, bitcast=True), mask=there, sem="relaxed")
    is_split = there & ((bit & 31) + length > 32)
    tl.atomic_or(at + 1, upper.to(tl.int32, bitcast=True), mask=is_split, sem="relaxed")


@triton.jit
def coded_exp_golomb(v):
    """Bits and length of v ≥ 0 (bitstream §5.3)."""
    code = v + 1
    n = (code.to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127
    return (1 << n) | ((code & ((1 << n) - 1)) << (n + 1)), 2 * n + 1
