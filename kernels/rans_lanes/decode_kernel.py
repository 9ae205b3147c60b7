"""Records of several lanes (bitstream §5.5): one program a record, one lane a channel.

Lanes refill in ascending order: the lane's word is the next one and as many further as lower lanes take. Signs are read from
the payload's end backward; the first 16 of each lane stand in the states that the decoder ends with, and where the escapes
begin is known only then: a second pass over the first symbols, or over all if there are escapes.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.rans.device import exp_golomb, index_of, places, popped, window


@triton.jit
def _second_pass(
    data8, groups, runs, frequencies, tiles, levels, out, states,
    group, last_group, first_tile, n_tiles, tokens, channels, n_signs, has_escape, escape_bit, escape_end,
    LANES: tl.constexpr,
):  # fmt: skip
    """First signs, and escapes in order. Returns where the escapes end; −1 where one is too long or too large."""
    lane = tl.arange(0, LANES)
    needed = tl.where(has_escape, 0x7FFFFFFF, n_signs)
    seen = tl.full((), 0, tl.int32)
    bit = escape_bit
    while (group < last_group) & (seen < needed):
        run = tl.load(groups + 4 * group)
        there = lane < tl.load(groups + 4 * group + 1)
        band = tl.load(groups + 4 * group + 2)
        size = tl.load(groups + 4 * group + 3)
        channel = tl.load(runs + 2 * (run + lane), mask=there, other=0)
        level = tl.load(levels + tl.load(runs + 2 * (run + lane) + 1, mask=there, other=0))
        low = (level >> 8) & 15
        most = ((level & 255) - 1) << low  # magnitude below the escapes
        t = 0
        while (t < n_tiles) & (seen < needed):
            tile = tl.load(tiles + first_tile + t).to(tl.int64)
            for i in range(size):
                f = tl.load(frequencies + band + i)
                place = out + (tile * tokens + f) * channels + channel
                value = tl.load(place, mask=there, other=0).to(tl.int32)
                found = value != 0
                count = tl.cumsum(found.to(tl.int32), 0)
                number = seen + count - 1
                is_first = found & (number < n_signs)
                state = tl.load(states + (number >> 4), mask=is_first, other=0)
                value = tl.where(is_first & (((state >> (number & 15)) & 1) != 0), -value, value)
                changed = is_first
                if has_escape:
                    magnitude = tl.abs(value)
                    left = (found & (magnitude > most)).to(tl.int32)
                    changed = changed | (left != 0)
                    n_left = tl.sum(left, 0)
                    for _ in range(n_left):
                        who = tl.min(tl.where(left != 0, lane, LANES), 0)
                        v, length = exp_golomb(window(data8, bit, escape_end, bit >= 0))
                        larger = magnitude + (v << low)
                        is_it = lane == who
                        wrong = (length == 0) | (tl.max(tl.where(is_it, larger, 0), 0) > 32767)
                        bit = tl.where(wrong | (bit < 0), -1, bit + length)
                        magnitude = tl.where(is_it & (bit >= 0), larger, magnitude)
                        left = tl.where(is_it, 0, left)
                    value = tl.where(value < 0, -magnitude, magnitude)
                tl.store(place, value.to(tl.int16), mask=changed)
                seen += tl.max(count, 0)
            t += 1
        group += 1
    return bit


def rans_lanes_decode_kernel(
    data8, data16, data32,  # the payloads from their states on, each at a multiple of 4 bytes, as bytes, words and states
    records,  # R×6 int64: first byte, byte behind the last, first group, group behind the last, first of `tiles`, how many
    groups, runs, frequencies,  # `kernels.rans.tables.LayerPlan`
    tiles,  # of each record those that are not masked
    levels, edges, coarse, fine,  # `kernels.rans.tables.DeviceTables`
    out,  # N×F×C int16, zeros
    states,  # R×LANES int32: those that the decoder ends with
    status,  # R int32: 0 where the record holds in every way
    tokens, channels,
    LANES: tl.constexpr,
    BALLOT: tl.constexpr,
):  # fmt: skip
    record = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, LANES)
    begin, end = tl.load(records + 6 * record), tl.load(records + 6 * record + 1)
    first_group = tl.load(records + 6 * record + 2).to(tl.int32)
    last_group = tl.load(records + 6 * record + 3).to(tl.int32)
    first_tile, n_tiles = tl.load(records + 6 * record + 4), tl.load(records + 6 * record + 5).to(tl.int32)
    first_word = (begin + 4 * LANES) >> 1
    room = (end - begin - 4 * LANES).to(tl.int32)  # bytes of words, escapes and signs
    words, first_sign = data16 + first_word, data8 + end - 1

    x = tl.load(data32 + (begin >> 2) + lane).to(tl.uint32, bitcast=True)
    wrong = tl.max((x < 65536).to(tl.int32), 0)
    # The same number in every lane: none of them has to ask the others. Signs are counted from those behind the words on.
    n_words, n_signs = tl.zeros((LANES,), tl.int32), tl.full((LANES,), -16 * LANES, tl.int32)
    escaped = tl.zeros((LANES,), tl.int32)
    for group in range(first_group, last_group):
        run = tl.load(groups + 4 * group)
        there = lane < tl.load(groups + 4 * group + 1)
        band = frequencies + tl.load(groups + 4 * group + 2)
        size = tl.load(groups + 4 * group + 3)
        channel = tl.load(runs + 2 * (run + lane), mask=there, other=0)
        number = tl.load(runs + 2 * (run + lane) + 1, mask=there, other=0)
        level, indices = tl.load(levels + number), number * 256
        last, low, first_edge = level & 255, (level >> 8) & 15, level >> 12
        for t in range(n_tiles):
            row = out + tl.load(tiles + first_tile + t).to(tl.int64) * tokens * channels
            for i in range(size):
                slot = (x & 0xFFFF).to(tl.int32)
                k = index_of(slot, indices, coarse, fine, there)
                found = there & (k > 0)
                edge = tl.load(edges + (first_edge + k), mask=there, other=0)
                after, rest = popped(x, slot, edge, tl.where(found, low, 0))
                x = tl.where(there, after, x)

                takes = there & (x < 65536)
                below, total = places(takes, BALLOT)
                word = n_words + below
                more = tl.load(words + word, mask=takes & (word < room >> 1), other=0)
                x = tl.where(takes, (x << 16) | (more.to(tl.uint32) & 0xFFFF), x)
                n_words += total

                below, total = places(found, BALLOT)
                sign = n_signs + below
                behind = found & (sign >= 0) & (sign >> 3 < room)
                eight = tl.load(first_sign - (sign >> 3), mask=behind, other=0).to(tl.int32)
                n_signs += total

                value = ((k - 1) << low) + 1 + rest
                value = tl.where(((eight >> (sign & 7)) & 1) != 0, -value, value)
                tl.store(row + (tl.load(band + i) * channels + channel), value.to(tl.int16), mask=found)
                escaped |= (found & (k == last)).to(tl.int32)
    n_words, n_signs = tl.max(n_words, 0), tl.max(n_signs, 0) + 16 * LANES
    has_escape = tl.max(escaped, 0)

    # Start states carry the first signs, and zeros where there is none (bitstream §5.5).
    wrong |= tl.max(((x < 65536) | (x > 131071)).to(tl.int32), 0)
    own = tl.minimum(tl.maximum(n_signs - 16 * lane, 0), 16)
    wrong |= tl.max((((x & 0xFFFF).to(tl.int32) >> own) != 0).to(tl.int32), 0)
    behind = tl.maximum(n_signs - 16 * LANES, 0)
    sign_bytes = (behind + 7) >> 3
    wrong |= (2 * n_words + sign_bytes > room).to(tl.int32)
    # Of a record that does not hold the signs can begin before it, where nothing may be read.
    padded = tl.load(data8 + end - sign_bytes, mask=(wrong == 0) & ((behind & 7) != 0), other=0).to(tl.int32)
    wrong |= ((padded >> (behind & 7)) != 0).to(tl.int32)

    tl.store(states + record * LANES + lane, (x & 0xFFFF).to(tl.int32))
    tl.debug_barrier()  # values and states are read again, by other threads than those that wrote them
    escape_first = 2 * first_word + 2 * n_words.to(tl.int64)
    escape_end = end - sign_bytes
    bit = _second_pass(
        data8, groups, runs, frequencies, tiles, levels, out, states + record * LANES,
        first_group, tl.where(wrong != 0, first_group, last_group), first_tile, n_tiles, tokens, channels,
        tl.minimum(n_signs, 16 * LANES), has_escape != 0, 8 * escape_first, escape_end, LANES,
    )  # fmt: skip
    # The escapes end in the byte before the signs, what is left of it zeros.
    wrong |= ((bit < 0) | ((bit + 7) >> 3 != escape_end)).to(tl.int32)
    padded = tl.load(data8 + (bit >> 3), mask=(wrong == 0) & ((bit & 7) != 0), other=0).to(tl.int32)
    wrong |= ((padded >> (bit & 7).to(tl.int32)) != 0).to(tl.int32)
    tl.store(status + record, wrong)
