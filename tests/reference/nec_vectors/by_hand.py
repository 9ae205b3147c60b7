"""The vectors whose bytes a person can derive with paper: every payload here is typed in, not computed.

Notation: K thresholds T_1 … T_K, T_0 = 0, T_(K+1) = 65536; symbol k has frequency f = T_(k+1) − T_k. Encoding k onto
state x: first, if x >= 65536·f, the low 16 bits of x go out as a word; then x becomes 65536·⌊x/f⌋ + x mod f + T_k.
Every payload begins with its form; where there is one lane and no mask, `record` puts bits 2–4 of it into the header.
"""

from __future__ import annotations

from nec_encoder.parts import record

from nec_vectors.files import Plan, Vector, assemble, head, outcomes, plane
from nec_vectors.packages import ONE


def _single(
    name: str, reason: str, payload_hex: str, ladder_index: int, value: int, embedding: float
) -> Vector:
    data = assemble(head(ONE, scene=(8, 8), ladder_index=ladder_index), [record(bytes.fromhex(payload_hex))])
    planes = [plane([[0]], ["1"], [[[value]]])]
    planes[0]["embeddings"] = {"0": [[[embedding]]]}
    return Vector(name, reason, ONE, data, Plan(records=outcomes(1), planes=planes))


def _tiles(name: str, reason: str, payload_hex: str, ladder_index: int, values: list[int]) -> Vector:
    n = len(values)
    data = assemble(
        head(ONE, scene=(8, 8 * n), ladder_index=ladder_index),
        [record(bytes.fromhex(payload_hex), count=n)],
    )
    planes = [plane([[0]] * n, ["1"] * n, [[[value]] for value in values])]
    return Vector(name, reason, ONE, data, Plan(records=outcomes(1), planes=planes))


def _zero() -> Vector:
    # K=2, T = 32768, 49152. No sign, so the start state is the bare 1.
    # Symbol 0: f = 32768, T_0 = 0: x = 65536·⌊1/32768⌋ + 1 + 0 = 1. One byte: 01. Form 00.
    # Decoder: slot = 1 < 32768: k = 0; x = 32768·0 + 1 − 0 = 1; no words. End: ⌊1/2⁰⌋ = 1.
    # Embedding: mean 0.5 + basis −1 · 0 = 0.5.
    return _single("one-zero", "one tile, one symbol, 0: one byte of payload", "00 01", 8, 0, 0.5)


def _minus_one() -> Vector:
    # s = 1, sign 1 (negative): start state 1‖1 = 3.
    # Symbol 1: f = 16384, T_1 = 32768: x = 65536·0 + 3 + 32768 = 32771 = 0x8003. Two bytes, 03 80: form 1 << 2.
    # Decoder: slot = 32771: k = 1; x = 16384·0 + 32771 − 32768 = 3; no words. ⌊3/2¹⌋ = 1; sign 3 mod 2 = 1.
    # Embedding: step 1.0 (index 8), r1 = 0.75: −0.75; 0.5 + (−1)·(−0.75) = 1.25.
    return _single("one-minus-one", "short form with one sign", "04 03 80", 8, -1, 1.25)


def _three_signs() -> Vector:
    # Tiles +1, −1, +1: signs 0 1 0, start state 1‖010 = 10. Symbols go on backwards, each with f = 16384, T = 32768:
    # 10: 65536·0 + 10 + 32768 = 32778;  32778 = 2·16384 + 10: 131072 + 32778 = 163850;
    # 163850 = 10·16384 + 10: 655360 + 32778 = 688138 = 0x0A800A. Three bytes: form 2 << 2.
    return _tiles(
        "three-signs", "short form, three signs in order in the start state", "08 0A 80 0A", 8, [1, -1, 1]
    )


def _one_word() -> Vector:
    # Index 7: K=5, T = 32768, 49152, 57344, 61440, 63488. Five tiles of −4: f = 63488 − 61440 = 2048, T_4 = 61440,
    # 65536·f = 0x08000000. Signs 1 1 1 1 1: start state 1‖11111 = 63.
    # 63:                                   63 + 61440 = 61503.
    # 61503 = 30·2048 + 63:                 30·65536 + 61503 = 2027583.
    # 2027583 = 990·2048 + 63:              990·65536 + 61503 = 64942143.
    # 64942143 = 31710·2048 + 63:           31710·65536 + 61503 = 2078208063 = 0x7BDEF03F, below 2³².
    # It is >= 0x08000000, so the word F03F goes out and x = 0x7BDE = 31710 = 15·2048 + 990:
    #                                       15·65536 + 990 + 61440 = 1045470 = 0x0FF3DE.
    # State DE F3 0F, word 3F F0. Form 2 << 2.
    return _tiles("one-word", "short form with one word behind the state", "08 DE F3 0F 3F F0", 7, [-4] * 5)


def _escape() -> Vector:
    # K=1 (index 9), T = 49152; value +5 = K + 4: an escape, so long form. Sign 0: start state 65536 + 0.
    # Escape symbol: f = 16384, T_1 = 49152; 65536 = 4·16384: x = 4·65536 + 0 + 49152 = 311296 = 0x04C000.
    # Three bytes 00 C0 04; form 2 << 2 | 1 << 4 = 18. v = 4, v + 1 = 101 in binary, n = 2: bits 0 0 1 then the
    # low digits 01, least significant first, 1 0: 0 0 1 1 0, first bit lowest: 0b01100 = 0C.
    # Step 2.0 (index 9), r2 = −0.25: 2·(5 − 0.25) = 9.5; 0.5 − 9.5 = −9.0.
    return _single("escape-k1", "an escape with K=1 and v=4", "18 00 C0 04 0C", 9, 5, -9.0)


def _escape_zero() -> Vector:
    # K=1, value −1 = −(K + 0): v = 0 is the single bit 1. Sign 1: start state 65536 + 2¹⁵ = 98304.
    # 98304 = 6·16384: x = 6·65536 + 49152 = 442368 = 0x06C000. Raw: 01. Step 2.0, r1 = 0.75: −1.5; 0.5 + 1.5 = 2.
    return _single("escape-v0", "the smallest escape, v=0, magnitude 1", "18 00 C0 06 01", 9, -1, 2.0)


def _largest() -> Vector:
    # K=1, value −32767: v = 32766, v + 1 = 32767 = fifteen ones, n = 14: fourteen 0, a 1, fourteen 1.
    # Bits 0–13 zero, bits 14–28 one: 00 C0 FF 1F. State as for value −1. 2·(32767 − 0.25) = 65533.5.
    return _single(
        "magnitude-32767", "the largest magnitude, an escape", "18 00 C0 06 00 C0 FF 1F", 9, -32767, 65534.0
    )


def _nothing_coded() -> Vector:
    # K=0 (index 10): no symbols; the start state 1 is the only byte behind the form.
    return _single("all-k0", "every table has K=0: nothing is coded, all is 0", "00 01", 10, 0, 0.5)


def _all_masked() -> Vector:
    # Form bit 0; mask bits 1 1 in one byte: 03; no symbols, start state 1.
    data = assemble(head(ONE, scene=(8, 16)), [record(bytes.fromhex("01 03 01"), count=2)])
    planes = [plane([[0], [0]], ["0", "0"], [[[0]], [[0]]])]
    return Vector(
        "all-masked", "every tile is wholly masked", ONE, data, Plan(records=outcomes(1), planes=planes)
    )


def _lanes_strip(
    name: str, reason: str, payload_hex: str, values: list[int], *, ladder_index: int = 8
) -> Vector:
    """One record of two lanes; the only channel is coded by lane 0, so lane 1 keeps its start state."""
    n = len(values)
    data = assemble(
        head(ONE, scene=(8, 8 * n), ladder_index=ladder_index),
        [record(bytes.fromhex(payload_hex), count=n, log2_lanes=1)],
    )
    planes = [plane([[0]] * n, ["1"] * n, [[[value]] for value in values])]
    return Vector(name, reason, ONE, data, Plan(records=outcomes(1), planes=planes))


def _lanes_signs() -> list[Vector]:
    # Two lanes: 32 signs stand in the start states, bits 0 … 15 in lane 0 and 16 … 31 in lane 1, which never steps.
    # Index 8: K=2, T = 32768, 49152, hexadecimal from here on. ±1 is symbol 1: f = 4000, T_1 = 8000; x becomes
    # 10000·⌊x/4000⌋ + x mod 4000 + 8000, after a word where x >= 40000000. Signs 14 and 15 are 0, so that lane 0 starts
    # with 10000 + s, s < 4000, whose quotient is 4. After symbol
    #  1: 48000 + s    2: 128000 + s    3: 4A8000 + s    4: 12A8000 + s    5: 4AA8000 + s    6: 12AA8000 + s
    #  7: 4AAA8000 + s; that is >= 40000000: word 8000 + s, x = 4AAA = 1·4000 + AAA
    #  8: 18AAA        9: 68AAA    10: 1A8AAA    11: 6A8AAA    12: 1AA8AAA    13: 6AA8AAA    14: 1AAA8AAA
    # 15: 6AAA8AAA: word 8AAA, x = 6AAA = 1·4000 + 2AAA
    # 16: 1AAAA       17: 6AAAA    18: 1AAAAA    19: 6AAAAA    …    22: 1AAAAAAA
    # 23: 6AAAAAAA: word AAAA, x = 6AAA as before, so from here each eight symbols give a word AAAA:
    # 24, 32, 40, 48: 1AAAA    25, 33, 41: 6AAAA
    # The decoder reads the words in the other order. Two zeros: f = 8000, T_0 = 0: 10000 = 2·8000: 20000 = 4·8000: 40000.
    plus = [1] * 48
    return [
        _lanes_strip(
            "lanes-no-sign", "two lanes, two zeros: the start states are bare",
            "1C 00 00 04 00 00 00 01 00", [0, 0],
        ),
        # Signs 0 1 1 1 1 1 1 1: s = FE, word 80FE. Nothing behind the words.
        _lanes_strip(
            "lanes-eight-signs", "two lanes, eight signs: all of them in the first start state",
            "1C AA 8A 01 00 00 00 01 00 FE 80", [1] + [-1] * 7,
        ),
        # Only the second and the last are negative: s = 2, and the lowest bit of lane 1.
        _lanes_strip(
            "lanes-idle-sign", "the seventeenth sign is in the start state of a lane that never steps",
            "1C AA AA 06 00 01 00 01 00 AA 8A 02 80", [1, -1, *plus[:14], -1],
        ),
        # s = 1; signs 16 and 31 of 0 … 31 negative: 18001.
        _lanes_strip(
            "lanes-32-signs", "two lanes, 32 signs: the start states are full, no sign byte",
            "1C AA AA 01 00 01 80 01 00 AA AA AA AA AA 8A 01 80", [-1, *plus[:15], -1, *plus[:14], -1],
        ),
        # All positive but sign 32: the lowest bit of a byte.
        _lanes_strip(
            "lanes-33-signs", "two lanes, 33 signs: the last one has a byte",
            "1C AA AA 06 00 00 00 01 00 AA AA AA AA AA 8A 00 80 01", [*plus[:32], -1],
        ),
        # Signs 33 and 40: the bytes 02 and 01 of the sign string, which stand as 01 02.
        _lanes_strip(
            "lanes-41-signs", "two lanes, two bytes of signs, the first one last",
            "1C AA AA 06 00 00 00 01 00 AA AA AA AA AA AA AA 8A 00 80 01 02", [*plus[:33], -1, *plus[:6], -1],
        ),
    ]  # fmt: skip


def _lanes_escapes() -> list[Vector]:
    # Index 9: K=1, T_1 = 49152 = C000, f = 16384 = 4000. −5 = −(K + 4) with sign 1: 10001 = 4·4000 + 1: 4C001. The escape
    # code of 4 is 0C (see `_escape`), padded for itself.
    #
    # 33 escapes of v = 0, which are ±1, lane 0 starting with 10000: 4C000, 13C000, 4FC000, 13FC000, 4FFC000, 13FFC000,
    # 4FFFC000: word C000, 4FFF = 1·4000 + FFF: 1CFFF (8); 7CFFF, 1FCFFF, 7FCFFF, 1FFCFFF, 7FFCFFF, 1FFFCFFF, 7FFFCFFF:
    # word CFFF, 7FFF = 1·4000 + 3FFF: 1FFFF (16); 7FFFF, 1FFFFF, …, 7FFFFFFF: word FFFF, 7FFF: 1FFFF (24); once more
    # word FFFF, 1FFFF (32); 7FFFF (33). Sixteen positive, then negative: lane 1 is 1FFFF, and sign 32 a byte 01.
    # Escape string: 33 ones.
    return [
        _lanes_strip(
            "lanes-escape", "an escape; its sign is in the start state",
            "1C 01 C0 04 00 00 00 01 00 0C", [-5], ladder_index=9,
        ),
        _lanes_strip(
            "lanes-escape-signs", "escape string, then sign string, each in bytes of its own",
            "1C FF FF 07 00 FF FF 01 00 FF FF FF FF FF CF 00 C0 FF FF FF FF 01 01",
            [1] * 16 + [-1] * 17, ladder_index=9,
        ),
    ]  # fmt: skip


def _two_lanes() -> Vector:
    # Two lanes, one coded channel: the group is ragged, lane 1 never steps and has no sign: 65536.
    # Value +1, K=2 (index 8), lane 0: its sign 0 is the lowest bit of the start state 65536 = 4·16384:
    # x = 4·65536 + 32768 = 294912 = 0x00048000.
    # Several lanes: form 3 << 2 | 1 << 4 = 1C; states 00 80 04 00 and 00 00 01 00; nothing behind them.
    payload = bytes.fromhex("1C 00 80 04 00 00 00 01 00")
    data = assemble(head(ONE, scene=(8, 8)), [record(payload, log2_lanes=1)])
    planes = [plane([[0]], ["1"], [[[1]]])]
    return Vector(
        "two-lanes-one-channel",
        "two lanes for one channel",
        ONE,
        data,
        Plan(records=outcomes(1), planes=planes),
    )


def vectors() -> list[Vector]:
    return [
        _zero(),
        _minus_one(),
        _three_signs(),
        _one_word(),
        _escape(),
        _escape_zero(),
        _largest(),
        _nothing_coded(),
        _all_masked(),
        _two_lanes(),
        *_lanes_signs(),
        *_lanes_escapes(),
    ]
