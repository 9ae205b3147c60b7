"""Symbols to records of one lane (bitstream §5.4), one thread a record: signs and escapes forward, the coder backward.

Records of a program are of one layer at one step and have equally many tiles.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.rans.device import coded_exp_golomb, pushed, put_bits


@triton.jit
def _index(value, low):
    """Of a symbol its index, which goes on beyond K, and its low bits."""
    magnitude = tl.abs(value)
    k = tl.where(magnitude > 0, ((magnitude - 1) >> low) + 1, 0)
    return k, tl.where(magnitude > 0, (magnitude - 1) & ((1 << low) - 1), 0)


def rans_one_lane_encode_kernel(
    symbols,  # N×F×C int16
    records,  # R×4 int64: first of `tiles`, word behind the last of `words`, room for words, first word of `raw`
    members,  # P×RECORDS int32: the records of each program, −1 for none
    programs,  # P×3 int32: first group, group behind the last, tiles of each record
    groups, runs, frequencies,  # `kernels.rans.tables.LayerPlan` for one lane: a group is a run
    tiles,  # of each record those that are not masked
    levels, edges,  # `kernels.rans.tables.DeviceTables`
    words,  # int16, filled from each record's end
    raw,  # int32, zeros: bit strings, of signs and then of escapes
    lists,  # P×capacity×RECORDS int32: v of the escapes
    states,  # R int32
    counts,  # R×4 int32: words, bits of `raw`, 1 in long form; 1 where the record cannot be written
    tokens, channels,
    capacity,  # of the lists
    raw_bits,  # that a record may have
    RECORDS: tl.constexpr,  # of a program
):  # fmt: skip
    program = tl.program_id(0).to(tl.int64)
    thread = tl.arange(0, RECORDS)
    record = tl.load(members + program * RECORDS + thread)
    is_record = record >= 0
    row = records + 4 * record.to(tl.int64)
    own_tiles = tiles + tl.load(row, mask=is_record, other=0)
    end = words + tl.load(row + 1, mask=is_record, other=0)
    room = tl.load(row + 2, mask=is_record, other=0).to(tl.int32)
    own_raw = raw + tl.load(row + 3, mask=is_record, other=0)
    first_group, last_group = tl.load(programs + 3 * program), tl.load(programs + 3 * program + 1)
    n_tiles = tl.load(programs + 3 * program + 2)
    own_list = lists + program * capacity * RECORDS + thread

    n_signs, n_escapes = tl.zeros((RECORDS,), tl.int32), tl.zeros((RECORDS,), tl.int32)
    first_signs = tl.zeros((RECORDS,), tl.int32)
    wrong = tl.zeros((RECORDS,), tl.int1)
    for group in range(first_group, last_group):
        run = tl.load(groups + 4 * group)
        band = frequencies + tl.load(groups + 4 * group + 2)
        size = tl.load(groups + 4 * group + 3)
        channel, level = tl.load(runs + 2 * run), tl.load(levels + tl.load(runs + 2 * run + 1))
        for t in range(n_tiles):
            place = tl.load(own_tiles + t, mask=is_record, other=0).to(tl.int64) * tokens * channels + channel
            for i in range(size):
                there = symbols + place + tl.load(band + i) * channels
                value = tl.load(there, mask=is_record, other=0).to(tl.int32)
                is_negative = value < 0
                first_signs |= tl.where(is_negative & (n_signs < 16), 1 << tl.maximum(15 - n_signs, 0), 0)
                behind = n_signs - 16
                put_bits(
                    own_raw, tl.maximum(behind, 0), tl.full((RECORDS,), 1, tl.int32), 1,
                    is_negative & (behind >= 0) & (behind < raw_bits),
                )  # fmt: skip
                n_signs += (value != 0).to(tl.int32)
                k, below = _index(value, (level >> 8) & 15)
                more = k - (level & 255)
                escaped = more >= 0
                at = own_list + n_escapes.to(tl.int64) * RECORDS
                tl.store(at, more, mask=escaped & (n_escapes < capacity))
                n_escapes += escaped.to(tl.int32)
                wrong = wrong | (value == -32768)

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
    for back in range(last_group - first_group):
        group = last_group - 1 - back
        run = tl.load(groups + 4 * group)
        size = tl.load(groups + 4 * group + 3)
        band = frequencies + tl.load(groups + 4 * group + 2) + size - 1
        channel, level = tl.load(runs + 2 * run), tl.load(levels + tl.load(runs + 2 * run + 1))
        last, own_low, edge = level & 255, (level >> 8) & 15, edges + (level >> 12)
        for t in range(n_tiles):
            tile = tl.load(own_tiles + n_tiles - 1 - t, mask=is_record, other=0)
            place = tile.to(tl.int64) * tokens * channels + channel
            for i in range(size):
                there = symbols + place + tl.load(band - i) * channels
                k, below = _index(tl.load(there, mask=is_record, other=0).to(tl.int32), own_low)
                k = tl.minimum(k, last)
                of_index = tl.load(edge + k)
                gives = (x >> 16) >= ((of_index >> 16) & 0xFFFF).to(tl.uint32)
                n_words += gives.to(tl.int32)
                tl.store(end - n_words, (x & 0xFFFF).to(tl.int16), mask=gives & (n_words <= room))
                x = pushed(tl.where(gives, x >> 16, x), of_index, tl.where(k > 0, own_low, 0), below)
    wrong = wrong | (n_words > room)
    tl.store(states + record, x.to(tl.int32, bitcast=True), mask=is_record)
    tl.store(counts + 4 * record, n_words, mask=is_record)
    tl.store(counts + 4 * record + 1, bits, mask=is_record)
    tl.store(counts + 4 * record + 2, is_long.to(tl.int32), mask=is_record)
    tl.store(counts + 4 * record + 3, wrong.to(tl.int32), mask=is_record)
