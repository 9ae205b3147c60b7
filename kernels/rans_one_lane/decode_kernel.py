"""Records of one lane (bitstream §5.4): one thread a record, since their lanes are few and they are many.

A first pass writes magnitudes and lists where they are. Signs and escapes stand behind the words, and where these end is
known only then: a second pass over the lists writes both.
"""

from __future__ import annotations

import triton.language as tl

from kernels.rans.device import exp_golomb, index_of, popped, window


def rans_one_lane_decode_kernel(
    data8, data16,  # what follows the states, each at a multiple of 2 bytes, as bytes and words
    records,  # R×8 int64: first byte, byte behind the last, first run, steps, first of `tiles`, how many, state, long form
    groups, runs, frequencies,  # `kernels.rans.tables.LayerPlan` for one lane: a group is a run
    tiles,  # of each record those that are not masked
    levels, edges, coarse, fine,  # `kernels.rans.tables.DeviceTables`
    out,  # N×F×C int16, zeros
    lists,  # blocks×capacity×RECORDS int64: place | low bits << 48 | escape << 52
    status,  # R int32: 0 where the record holds in every way
    n_records, tokens, channels,
    capacity,  # of the lists: non-zero symbols that a record may have
    RECORDS: tl.constexpr,  # of a program
):  # fmt: skip
    thread = tl.arange(0, RECORDS)
    block = tl.program_id(0).to(tl.int64)
    record = block * RECORDS + thread
    is_record = record < n_records
    row = records + 8 * record
    begin = tl.load(row, mask=is_record, other=0)
    end = tl.load(row + 1, mask=is_record, other=0)
    group = tl.load(row + 2, mask=is_record, other=0).to(tl.int32)
    steps = tl.load(row + 3, mask=is_record, other=0).to(tl.int32)
    first_tile = tl.load(row + 4, mask=is_record, other=0)
    n_tiles = tl.load(row + 5, mask=is_record, other=0).to(tl.int32)
    x = tl.load(row + 6, mask=is_record, other=1).to(tl.uint32)
    is_long = tl.load(row + 7, mask=is_record, other=0) != 0
    own_list = lists + block * capacity * RECORDS + thread
    # Each sign takes a bit of the payload or one of the 16 of the state.
    most = tl.minimum(16 + 8 * (end - begin + 4), capacity).to(tl.int32)

    next_byte = begin
    wrong = is_record & (x < 65536) & (is_long | (end > begin))
    n_signs = tl.zeros((RECORDS,), tl.int32)
    escapes = tl.zeros((RECORDS,), tl.int32)
    t, i = tl.zeros((RECORDS,), tl.int32), tl.zeros((RECORDS,), tl.int32)
    is_new = is_record
    is_next_tile = is_record
    channel, number = tl.zeros((RECORDS,), tl.int32), tl.zeros((RECORDS,), tl.int32)
    band, size, level = (
        tl.zeros((RECORDS,), tl.int32), tl.zeros((RECORDS,), tl.int32), tl.zeros((RECORDS,), tl.int32)
    )  # fmt: skip
    tile = tl.zeros((RECORDS,), tl.int64)
    n_steps = tl.max(steps, 0)
    for step in range(n_steps):
        active = is_record & (step < steps)
        is_new = is_new & active
        is_next_tile = is_next_tile & active
        run = tl.load(groups + 4 * group, mask=is_new, other=0)
        band = tl.where(is_new, tl.load(groups + 4 * group + 2, mask=is_new, other=0), band)
        size = tl.where(is_new, tl.load(groups + 4 * group + 3, mask=is_new, other=0), size)
        channel = tl.where(is_new, tl.load(runs + 2 * run, mask=is_new, other=0), channel)
        number = tl.where(is_new, tl.load(runs + 2 * run + 1, mask=is_new, other=0), number)
        level = tl.where(is_new, tl.load(levels + number, mask=is_new, other=0), level)
        tile = tl.where(
            is_next_tile, tl.load(tiles + first_tile + t, mask=is_next_tile, other=0).to(tl.int64), tile
        )

        slot = (x & 0xFFFF).to(tl.int32)
        k = index_of(slot, coarse + number * 256, fine, active)
        found = active & (k > 0)
        low = tl.where(found, (level >> 8) & 15, 0)
        after, rest = popped(x, slot, tl.load(edges + (level >> 12) + k, mask=active, other=0), low)
        x = tl.where(active, after, x)
        takes = active & (x < 65536) & (is_long | (next_byte < end))
        has_word = next_byte + 1 < end
        more = tl.load(data16 + (next_byte >> 1), mask=takes & has_word, other=0).to(tl.uint32) & 0xFFFF
        wrong = wrong | (takes & ~has_word)
        x = tl.where(takes, (x << 16) | more, x)
        next_byte = tl.where(takes, next_byte + 2, next_byte)

        is_escape = found & (k == (level & 255))
        wrong = wrong | (found & (n_signs >= most))
        kept = found & (n_signs < most)
        f = tl.load(frequencies + band + i, mask=kept, other=0)
        place = (tile * tokens + f) * channels + channel
        tl.store(out + place, (((k - 1) << low) + 1 + rest).to(tl.int16), mask=kept)
        said = place | (low.to(tl.int64) << 48) | (is_escape.to(tl.int64) << 52)
        tl.store(own_list + n_signs.to(tl.int64) * RECORDS, said, mask=kept)
        n_signs += kept.to(tl.int32)
        escapes += is_escape.to(tl.int32)

        i += 1
        is_next_tile = i == size
        t = tl.where(is_next_tile, t + 1, t)
        i = tl.where(is_next_tile, 0, i)
        is_new = t == n_tiles
        t = tl.where(is_new, 0, t)
        group = tl.where(is_new, group + 1, group)

    # The start state: after a leading 1 the signs, the first one uppermost; in the long form below 65536, zeros behind them.
    first = tl.minimum(n_signs, 16)
    one = tl.where(is_long, 16, first)
    behind = tl.where(is_long, 16 - first, 0)
    wrong = wrong | (is_long != ((n_signs > 16) | (escapes > 0)))
    wrong = wrong | ((x >> one.to(tl.uint32)) != 1)
    wrong = wrong | ((x & ((1 << behind) - 1).to(tl.uint32)) != 0)
    wrong = is_record & (wrong | (~is_long & (next_byte != end)))

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
    padded = tl.load(data8 + (bit >> 3), mask=is_record & is_long & ~wrong & ((bit & 7) != 0), other=0).to(
        tl.int32
    )
    wrong = wrong | ((padded >> (bit & 7).to(tl.int32)) != 0)
    tl.store(status + record, wrong.to(tl.int32), mask=is_record)
