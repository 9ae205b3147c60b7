"""Symbols to records of one lane (bitstream §5.4), one thread a record: signs and escapes forward, the coder backward."""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.rans.device import coded_exp_golomb, pushed, put_bits


def rans_one_lane_encode_kernel(
    symbols,  # N×F×C int16
    records,  # R×8 int64: first run, run behind the last, steps, first of `tiles`, how many, word behind the last of
    # `words`, room for words, first word of `raw`
    groups, runs, frequencies,  # `kernels.rans.tables.LayerPlan` for one lane: a group is a run
    tiles,  # of each record those that are not masked
    levels, edges,  # `kernels.rans.tables.DeviceTables`
    words,  # int16, filled from each record's end
    raw,  # int32, zeros: bit strings, of signs and then of escapes
    lists,  # blocks×capacity×RECORDS int32: v of the escapes
    states,  # R int32
    counts,  # R×4 int32: words, bits of `raw`, 1 in long form; 1 where the record cannot be written
    n_records, tokens, channels,
    capacity,  # of the lists
    raw_bits,  # that a record may have
    RECORDS: tl.constexpr,  # of a program
):  # fmt: skip
    thread = tl.arange(0, RECORDS)
    block = tl.program_id(0).to(tl.int64)
    record = block * RECORDS + thread
    is_record = record < n_records
    row = records + 8 * record
    first_group = tl.load(row, mask=is_record, other=0).to(tl.int32)
    last_group = tl.load(row + 1, mask=is_record, other=0).to(tl.int32)
    steps = tl.load(row + 2, mask=is_record, other=0).to(tl.int32)
    first_tile = tl.load(row + 3, mask=is_record, other=0)
    n_tiles = tl.load(row + 4, mask=is_record, other=0).to(tl.int32)
    last_word = tl.load(row + 5, mask=is_record, other=0)
    room = tl.load(row + 6, mask=is_record, other=0).to(tl.int32)
    own_raw = raw + tl.load(row + 7, mask=is_record, other=0)
    own_list = lists + block * capacity * RECORDS + thread
    n_steps = tl.max(steps, 0)

    n_signs, n_escapes = tl.zeros((RECORDS,), tl.int32), tl.zeros((RECORDS,), tl.int32)
    first_signs = tl.zeros((RECORDS,), tl.int32)
    wrong = steps < 0
    group = first_group
    t, i = tl.zeros((RECORDS,), tl.int32), tl.zeros((RECORDS,), tl.int32)
    for step in range(n_steps):
        active = is_record & (step < steps)
        value, level, k, below, size = _symbol(
            symbols,
            groups,
            runs,
            frequencies,
            tiles,
            levels,
            group,
            first_tile + t,
            i,
            tokens,
            channels,
            active,
        )
        found = value != 0
        is_negative = value < 0
        first_signs |= tl.where(is_negative & (n_signs < 16), 1 << tl.maximum(15 - n_signs, 0), 0)
        behind = n_signs - 16
        put_bits(
            own_raw, tl.maximum(behind, 0), tl.full((RECORDS,), 1, tl.int32), 1,
            is_negative & (behind >= 0) & (behind < raw_bits),
        )  # fmt: skip
        n_signs += found.to(tl.int32)
        more = k - (level & 255)
        escaped = found & (more >= 0)
        tl.store(own_list + n_escapes.to(tl.int64) * RECORDS, more, mask=escaped & (n_escapes < capacity))
        n_escapes += escaped.to(tl.int32)
        wrong = wrong | (value == -32768)

        i += 1
        is_next_tile = i == size
        t = tl.where(is_next_tile, t + 1, t)
        i = tl.where(is_next_tile, 0, i)
        is_new = t == n_tiles
        t = tl.where(is_new, 0, t)
        group = tl.where(is_new, group + 1, group)

    bits = tl.maximum(n_signs - 16, 0)
    wrong = wrong | (bits > raw_bits) | (n_escapes > capacity)
    n_listed = tl.max(tl.where(wrong, 0, n_escapes), 0)
    tl.debug_barrier()
    for j in range(n_listed):
        active = ~wrong & (j < n_escapes)
        code, length = coded_exp_golomb(tl.load(own_list + j * RECORDS, mask=active, other=0))
        length = tl.where(active, length, 0)
        put_bits(own_raw, bits, code, length, active & (bits + length <= raw_bits))
        bits = tl.minimum(bits + length, raw_bits + 1)
    wrong = wrong | (bits > raw_bits)

    is_long = (n_signs > 16) | (n_escapes > 0)
    x = ((65536 + first_signs) >> tl.where(is_long, 0, 16 - tl.minimum(n_signs, 16))).to(tl.uint32)
    n_words = tl.zeros((RECORDS,), tl.int32)
    group = last_group - 1
    t = n_tiles - 1
    i = tl.load(groups + 4 * group + 3, mask=is_record & (steps > 0), other=1) - 1
    for back in range(n_steps):
        active = is_record & (back < steps)
        value, level, k, below, size = _symbol(
            symbols,
            groups,
            runs,
            frequencies,
            tiles,
            levels,
            group,
            first_tile + t,
            i,
            tokens,
            channels,
            active,
        )
        k = tl.minimum(k, level & 255)
        edge = tl.load(edges + (level >> 12) + k, mask=active, other=1 << 16)
        gives = active & ((x >> 16) >= ((edge >> 16) & 0xFFFF).to(tl.uint32))
        n_words += gives.to(tl.int32)
        tl.store(words + last_word - n_words, (x & 0xFFFF).to(tl.int16), mask=gives & (n_words <= room))
        x = tl.where(gives, x >> 16, x)
        x = tl.where(active, pushed(x, edge, tl.where(k > 0, (level >> 8) & 15, 0), below), x)

        i -= 1
        is_next_tile = i < 0
        t = tl.where(is_next_tile, t - 1, t)
        is_new = t < 0
        t = tl.where(is_new, n_tiles - 1, t)
        group = tl.where(is_new, group - 1, group)
        size = tl.load(groups + 4 * group + 3, mask=active & is_new & (group >= first_group), other=0)
        of_last = tl.load(groups + 4 * group + 3, mask=active & is_next_tile & ~is_new, other=0)
        i = tl.where(is_new, size - 1, tl.where(is_next_tile, of_last - 1, i))
    wrong = wrong | (n_words > room)
    tl.store(states + record, x.to(tl.int32, bitcast=True), mask=is_record)
    tl.store(counts + 4 * record, n_words, mask=is_record)
    tl.store(counts + 4 * record + 1, bits, mask=is_record)
    tl.store(counts + 4 * record + 2, is_long.to(tl.int32), mask=is_record)
    tl.store(counts + 4 * record + 3, wrong.to(tl.int32), mask=is_record)


@triton.jit
def _symbol(symbols, groups, runs, frequencies, tiles, levels, group, at, i, tokens, channels, active):
    """Of one step: the value, its level, its index (which goes on beyond K), its low bits, the frequencies of its band."""
    run = tl.load(groups + 4 * group, mask=active, other=0)
    band = tl.load(groups + 4 * group + 2, mask=active, other=0)
    size = tl.load(groups + 4 * group + 3, mask=active, other=1)
    channel = tl.load(runs + 2 * run, mask=active, other=0)
    level = tl.load(levels + tl.load(runs + 2 * run + 1, mask=active, other=0))
    tile = tl.load(tiles + at, mask=active, other=0).to(tl.int64)
    f = tl.load(frequencies + band + i, mask=active, other=0)
    value = tl.load(symbols + (tile * tokens + f) * channels + channel, mask=active, other=0).to(tl.int32)
    magnitude, low = tl.abs(value), (level >> 8) & 15
    k = tl.where(magnitude > 0, ((magnitude - 1) >> low) + 1, 0)
    below = tl.where(magnitude > 0, (magnitude - 1) & ((1 << low) - 1), 0)
    return value, level, k, below, size
