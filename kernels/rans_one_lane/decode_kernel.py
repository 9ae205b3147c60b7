"""Records of one lane (bitstream §5.4): one thread a record, since their lanes are few and they are many.

Records of a program are of one layer at one step and have equally many tiles, so that their threads go through the same
tables together. A first pass writes magnitudes and lists where they are. Signs and escapes stand behind the words, and where
these end is known only then: a second pass over the lists writes both.
"""

from __future__ import annotations

import triton.language as tl

from kernels.rans.device import exp_golomb, index_of, popped, window


def rans_one_lane_decode_kernel(
    data8, data16,  # what follows the states, each at a multiple of 2 bytes, as bytes and words
    records,  # R×5 int64: first byte, byte behind the last, first of `tiles`, state, 1 in long form
    members,  # P×RECORDS int32: the records of each program, −1 for none
    programs,  # P×3 int32: first group, group behind the last, tiles of each record
    groups, runs, frequencies,  # `kernels.rans.tables.LayerPlan` for one lane: a group is a run
    tiles,  # of each record those that are not masked
    levels, edges, coarse, fine,  # `kernels.rans.tables.DeviceTables`
    out,  # N×F×C int16, zeros
    lists,  # P×capacity×RECORDS int64: place | low bits << 48 | escape << 52
    status,  # R int32: 0 where the record holds in every way
    tokens, channels,
    capacity,  # of the lists: non-zero symbols that a record may have
    RECORDS: tl.constexpr,  # of a program
):  # fmt: skip
    program = tl.program_id(0).to(tl.int64)
    thread = tl.arange(0, RECORDS)
    record = tl.load(members + program * RECORDS + thread)
    is_record = record >= 0
    row = records + 5 * record.to(tl.int64)
    begin = tl.load(row, mask=is_record, other=0)
    end = tl.load(row + 1, mask=is_record, other=0)
    own_tiles = tiles + tl.load(row + 2, mask=is_record, other=0)
    # The state 0 says zeros for ever: threads without a record need no mask.
    x = tl.load(row + 3, mask=is_record, other=0).to(tl.uint32)
    is_long = tl.load(row + 4, mask=is_record, other=0) != 0
    first_group, last_group = tl.load(programs + 3 * program), tl.load(programs + 3 * program + 1)
    n_tiles = tl.load(programs + 3 * program + 2)
    own_list = lists + program * capacity * RECORDS + thread
    words, room = data16 + (begin >> 1), ((end - begin) >> 1).to(tl.int32)
    # Each sign takes a bit of the payload or one of the 16 of the state.
    most = tl.minimum(16 + 8 * (end - begin + 4), capacity).to(tl.int32)

    wrong = is_record & (x < 65536) & (is_long | (end > begin))
    n_words, n_signs = tl.zeros((RECORDS,), tl.int32), tl.zeros((RECORDS,), tl.int32)
    has_escape, is_empty = tl.zeros((RECORDS,), tl.int1), tl.zeros((RECORDS,), tl.int1)
    for group in range(first_group, last_group):
        run = tl.load(groups + 4 * group)
        band = frequencies + tl.load(groups + 4 * group + 2)
        size = tl.load(groups + 4 * group + 3)
        channel, number = tl.load(runs + 2 * run), tl.load(runs + 2 * run + 1)
        level = tl.load(levels + number)
        last, own_low, edge = level & 255, (level >> 8) & 15, edges + (level >> 12)
        for t in range(n_tiles):
            place = tl.load(own_tiles + t, mask=is_record, other=0).to(tl.int64) * tokens * channels + channel
            for i in range(size):
                slot = (x & 0xFFFF).to(tl.int32)
                k = index_of(slot, number * 256, coarse, fine, thread >= 0)
                found = k > 0
                x, rest = popped(x, slot, tl.load(edge + k), tl.where(found, own_low, 0))
                takes = x < 65536
                has_word = n_words < room
                is_empty = is_empty | (takes & ~has_word)
                takes = takes & has_word
                more = tl.load(words + n_words, mask=takes, other=0).to(tl.uint32) & 0xFFFF
                x = tl.where(takes, (x << 16) | more, x)
                n_words += takes.to(tl.int32)

                is_escape = k == last
                there = place + tl.load(band + i) * channels
                kept = found & (n_signs < most)
                wrong = wrong | (found & ~kept)
                tl.store(out + there, (((k - 1) << own_low) + 1 + rest).to(tl.int16), mask=kept)
                said = there | ((own_low | (is_escape.to(tl.int32) << 4)).to(tl.int64) << 48)
                tl.store(own_list + n_signs.to(tl.int64) * RECORDS, said, mask=kept)
                n_signs += kept.to(tl.int32)
                has_escape = has_escape | is_escape

    # The start state: after a leading 1 the signs, the first one uppermost; in the long form below 65536, zeros behind them.
    first = tl.minimum(n_signs, 16)
    one = tl.where(is_long, 16, first)
    behind = tl.where(is_long, 16 - first, 0)
    wrong = wrong | (is_long != ((n_signs > 16) | has_escape))
    wrong = wrong | ((x >> one.to(tl.uint32)) != 1)
    wrong = wrong | ((x & ((1 << behind) - 1).to(tl.uint32)) != 0)
    next_byte = begin + 2 * n_words
    # The short form goes on without words; it must only have used all of them.
    wrong = is_record & (wrong | tl.where(is_long, is_empty, next_byte != end))

    signs = 8 * next_byte
    bit = signs + tl.maximum(n_signs - 16, 0)
    wrong = wrong | (is_record & ((bit + 7) >> 3 > end))
    tl.debug_barrier()
    counts = tl.where(wrong, 0, n_signs)
    n_listed = tl.max(counts, 0)
    for j in range(n_listed):
        active = j < counts
        said = tl.load(own_list + j * RECORDS, mask=active, other=0)
        place, low = said & ((1 << 48) - 1), ((said >> 48) & 15).to(tl.int32)
        at = tl.maximum(signs + j - 16, 0)
        eight = tl.load(data8 + (at >> 3), mask=active & (j >= 16), other=0).to(tl.int32)
        of_state = (x >> tl.maximum(one - 1 - j, 0).to(tl.uint32)).to(tl.int32)
        is_negative = (tl.where(j < 16, of_state, eight >> (at & 7).to(tl.int32)) & 1) != 0
        is_escape = active & (((said >> 52) & 1) != 0)
        magnitude = tl.load(out + place, mask=active & (is_negative | is_escape), other=0).to(tl.int32)
        if tl.max(is_escape.to(tl.int32), 0) > 0:
            v, length = exp_golomb(window(data8, bit, end, is_escape))
            magnitude = tl.where(is_escape, magnitude + (v << low), magnitude)
            wrong = wrong | (is_escape & ((length == 0) | (magnitude > 32767)))
            bit = tl.where(is_escape, bit + length, bit)
        value = tl.where(is_negative, -magnitude, magnitude)
        tl.store(out + place, value.to(tl.int16), mask=active & (is_negative | is_escape))

    wrong = wrong | (is_long & ((bit + 7) >> 3 != end))
    padded = tl.load(data8 + (bit >> 3), mask=is_long & ~wrong & ((bit & 7) != 0), other=0).to(tl.int32)
    wrong = wrong | ((padded >> (bit & 7).to(tl.int32)) != 0)
    tl.store(status + record, wrong.to(tl.int32), mask=is_record)
