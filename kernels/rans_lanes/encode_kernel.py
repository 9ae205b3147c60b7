"""Symbols to records of several lanes (bitstream §5.5): signs and escapes forward, then the coder backward.

One program a record, one lane a channel. The words of a step lie in the order in which the decoder's lanes refill.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.rans.device import coded_exp_golomb, places, pushed, put_bits


@triton.jit
def _symbols(symbols, levels, runs, run, there, tile, f, tokens, channels, lane):
    """Of one step: the values, their level, their indices (which go on beyond K) and low bits."""
    channel = tl.load(runs + 2 * (run + lane), mask=there, other=0)
    level = tl.load(levels + tl.load(runs + 2 * (run + lane) + 1, mask=there, other=0))
    value = tl.load(symbols + tile * tokens * channels + (f * channels + channel), mask=there, other=0).to(
        tl.int32
    )
    magnitude, low = tl.abs(value), (level >> 8) & 15
    k = tl.where(magnitude > 0, ((magnitude - 1) >> low) + 1, 0)
    below = tl.where(magnitude > 0, (magnitude - 1) & ((1 << low) - 1), 0)
    return value, level, k, below


def rans_lanes_encode_kernel(
    symbols,  # N×F×C int16
    records,  # R×8 int64: first group, group behind the last, first of `tiles`, how many, word behind the last of `words`,
    # room for words, first word of `signs`, first of `escapes`
    groups, runs, frequencies,  # `kernels.rans.tables.LayerPlan`
    tiles,  # of each record those that are not masked
    levels, edges,  # `kernels.rans.tables.DeviceTables`
    words,  # int16, filled from each record's end
    signs, escapes,  # int32, zeros: bit strings
    states,  # R×LANES int32
    counts,  # R×4 int32: words, bits of signs, bits of escapes; 1 where the record cannot be written
    tokens, channels,
    escape_bits,  # that a record may have
    LANES: tl.constexpr,
    BALLOT: tl.constexpr,
):  # fmt: skip
    record = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, LANES)
    row = records + 8 * record
    first_group, last_group = tl.load(row).to(tl.int32), tl.load(row + 1).to(tl.int32)
    first_tile, n_tiles = tl.load(row + 2), tl.load(row + 3).to(tl.int32)
    last_word, room = tl.load(row + 4), tl.load(row + 5).to(tl.int32)
    own_signs, own_escapes = signs + tl.load(row + 6), escapes + tl.load(row + 7)

    n_escape_bits, wrong = tl.full((), 0, tl.int32), tl.full((), 0, tl.int32)
    n_signs = tl.zeros((LANES,), tl.int32)  # the same number in every lane
    for group in range(first_group, last_group):
        run = tl.load(groups + 4 * group)
        there = lane < tl.load(groups + 4 * group + 1)
        band = tl.load(groups + 4 * group + 2)
        size = tl.load(groups + 4 * group + 3)
        for t in range(n_tiles):
            tile = tl.load(tiles + first_tile + t).to(tl.int64)
            for i in range(size):
                f = tl.load(frequencies + band + i)
                value, level, k, below = _symbols(
                    symbols, levels, runs, run, there, tile, f, tokens, channels, lane
                )
                found = value != 0
                lower, total = places(found, BALLOT)
                put_bits(own_signs, n_signs + lower, tl.full((LANES,), 1, tl.int32), 1, found & (value < 0))
                n_signs += total
                more = k - (level & 255)
                escaped = found & (more >= 0)
                if tl.max(escaped.to(tl.int32), 0) > 0:
                    code, length = coded_exp_golomb(tl.where(escaped, more, 0))
                    length = tl.where(escaped, length, 0)
                    ends = n_escape_bits + tl.cumsum(length, 0)
                    put_bits(own_escapes, ends - length, code, length, escaped & (ends <= escape_bits))
                    n_escape_bits = tl.minimum(tl.max(ends, 0), escape_bits + 1)
                    wrong |= tl.max((value == -32768).to(tl.int32), 0)
    wrong |= (n_escape_bits > escape_bits).to(tl.int32)
    n_signs = tl.max(n_signs, 0)
    tl.debug_barrier()  # start states take the first signs, which other threads have written

    start = tl.load(own_signs + (lane >> 1), mask=16 * lane < n_signs, other=0).to(tl.uint32, bitcast=True)
    x = 65536 + ((start >> (16 * (lane & 1)).to(tl.uint32)) & 0xFFFF)
    n_words = tl.zeros((LANES,), tl.int32)
    for back in range(last_group - first_group):
        group = last_group - 1 - back
        run = tl.load(groups + 4 * group)
        there = lane < tl.load(groups + 4 * group + 1)
        band = tl.load(groups + 4 * group + 2)
        size = tl.load(groups + 4 * group + 3)
        for before in range(n_tiles):
            tile = tl.load(tiles + first_tile + n_tiles - 1 - before).to(tl.int64)
            for i in range(size):
                f = tl.load(frequencies + band + size - 1 - i)
                value, level, k, below = _symbols(
                    symbols, levels, runs, run, there, tile, f, tokens, channels, lane
                )
                k = tl.minimum(k, level & 255)
                edge = tl.load(edges + (level >> 12) + k, mask=there, other=1 << 16)
                gives = there & ((x >> 16) >= ((edge >> 16) & 0xFFFF).to(tl.uint32))
                lower, total = places(gives, BALLOT)
                place = last_word - n_words - total + lower
                n_words += total
                tl.store(words + place, (x & 0xFFFF).to(tl.int16), mask=gives & (n_words <= room))
                x = tl.where(gives, x >> 16, x)
                low = tl.where(k > 0, (level >> 8) & 15, 0)
                x = tl.where(there, pushed(x, edge, low, below), x)
    n_words = tl.max(n_words, 0)
    wrong |= (n_words > room).to(tl.int32)
    tl.store(states + record * LANES + lane, x.to(tl.int32, bitcast=True))
    tl.store(counts + 4 * record, n_words)
    tl.store(counts + 4 * record + 1, n_signs)
    tl.store(counts + 4 * record + 2, n_escape_bits)
    tl.store(counts + 4 * record + 3, wrong)
