"""Records whose payload breaks a rule of §5, each crafted so that, where possible, only that rule catches it.

Most payloads are typed in; `by_hand.py` explains the arithmetic. Package `one` at ladder index 8 has K=2 with thresholds
32768, 49152; at index 9 K=1 with threshold 49152.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nec_encoder import parts
from nec_encoder.bits import pack_bits
from nec_encoder.payload import TileIn, encode_payload

from nec_vectors.files import Invalid, head
from nec_vectors.packages import MASK, ONE, THREE
from nec_vectors.valid_files import one_record


def vectors() -> list[Invalid]:
    """All refusals of a record for its payload."""
    return [*_forms(), *_short(), *_long(), *_lanes(), *_tile_masks(), *_token_masks()]


def _one(
    name: str,
    reason: str,
    payload: bytes | str,
    *,
    ladder_index: int = 8,
    n: int = 1,
    log2_lanes: int = 0,
    **more: Any,
) -> Invalid:
    """A sound record of tile 0, then tiles 1 … n with the given payload."""
    data = payload if isinstance(payload, bytes) else bytes.fromhex(payload)
    file = head(ONE, scene=(8, 8 * (n + 1)), ladder_index=ladder_index)
    file += one_record([-1], e=ladder_index)
    file += parts.record(data, first_tile=1, count=n, log2_lanes=log2_lanes, **more)
    return Invalid(f"payload-{name}", reason, ONE, file, "record", "corrupt", 1)


def _forms() -> list[Invalid]:
    return [
        # Sound: 01 | 01 | 01: a tile mask, the tile masked, state 1.
        _one("form-bit-5", "bit 5 of form on a sound payload", "21 01 01"),
        _one("form-bit-6", "bit 6 of form", "41 01 01"),
        _one("form-bit-7", "bit 7 of form", "81 01 01"),
        _one("form-alone", "nothing behind form", "01"),
        *_kinds(),
    ]


def _kinds() -> list[Invalid]:
    def not_compact(name: str, reason: str, payload: str, **more: int) -> Invalid:
        return _one(f"not-compact-{name}", reason, payload, compact=False, **more)

    def compact(name: str, reason: str, bits: int, payload: str, **more: int) -> Invalid:
        return _one(f"compact-{name}", reason, payload, kind=parts.COMPACT, log2_lanes=bits, **more)

    return [
        # The payloads of `one-zero`, `one-minus-one` and `escape-k1` with their forms in front.
        not_compact("zero", "kind 1, one lane, no mask: a zero", "00 01"),
        not_compact("short", "kind 1, one lane, no mask: short form", "04 03 80"),
        not_compact("long", "kind 1, one lane, no mask: long form", "18 00 C0 04 0C", ladder_index=9),
        compact("form-twice", "a compact record with the form in header and payload", 1, "04 03 80"),
        compact("tile-mask", "a compact record of a masked tile: form, mask and state", 0, "01 01 01"),
        # The header says one byte more or less than the state has.
        compact("state-shorter", "a compact record whose header says one byte of state, there are two", 0, "03 80"),
        compact("state-longer", "a compact record whose header says two bytes of state, there is one", 1, "01"),
        # Long form never has a state below 65536.
        compact("long-1-byte", "long form with one byte of state", 4, "01"),
        compact("long-2-bytes", "long form with two bytes of state", 5, "03 80"),
        compact("long-zeros", "long form for a zero: 65536 = 2·32768: 0x020000", 6, "00 00 02"),
        compact("short-for-long", "short form for an escape, its string behind the state", 2, "00 C0 04 0C", ladder_index=9),
    ]  # fmt: skip


def _short() -> list[Invalid]:
    sixteen = [1, -1, -1, 1] * 4
    sound = encode_payload(ONE.tables, [TileIn([[v]]) for v in sixteen], e=8)
    # Seventeen +1 in the start state of a short form, 2¹⁷; symbol 1 has f = 16384 and T_1 = 32768. 32768 = 0x8000:
    # 131072 = 8·16384: 8·65536 + 32768 = 0x088000 = 34·16384: 0x228000 = 138·16384: 0x8A8000, and so on.
    x, words = 1 << 17, b""
    for _ in range(17):
        if x >= 16384 << 16:
            x, words = x >> 16, (x & 0xFFFF).to_bytes(2, "little") + words
        x = (x // 16384 << 16) + x % 16384 + 32768
    seventeen = (
        bytes([(x.bit_length() - 1) // 8 << 2]) + x.to_bytes((x.bit_length() + 7) // 8, "little") + words
    )
    return [
        # Escape k=2 on state 3: 3 + 49152 = 0xC003.
        _one("short-with-escape", "short form with an escape", "04 03 C0"),
        # 5 instead of 3 below the symbol: ⌊5/2⌋ = 2.
        _one("short-end-state", "end state 5 with one sign", "04 05 80"),
        _one("short-end-state-none", "end state 2 without a sign", "00 02"),
        _one("short-state-zero", "state 0", "00 00"),
        _one("short-state-top-zero", "a state of two bytes whose upper one is zero", "04 01 00"),
        _one("short-state-cut", "form says four bytes of state, there are two", "0C 03 80"),
        _one("short-half-word", "half a word behind a sound payload", sound + b"\0", n=16),
        _one("short-word-left", "16 signs, end state right, one word left over", sound + b"\0\0", n=16),
        # 163850 = 0x2800A is the state before the first of three symbols in `three-signs`. An encoder that sent its
        # lower half as a word needlessly goes on with 2: 2 + 32768 = 0x8002. Everything else about it is right.
        _one("short-state-below-65536", "a word that need not be there: not canonical", "04 02 80 0A 80", n=3),
        _one("short-17-signs", "17 signs in short form, all else right", seventeen, n=17),
    ]  # fmt: skip


def _long() -> list[Invalid]:
    # K=1 at index 9; the sound payload of value 5 is 18 00 C0 04 0C (by_hand.py).
    return [
        # Value −1 with K=2: 98304 = 6·16384: 6·65536 + 32768 = 0x068000, no raw bits.
        _one("long-needless", "long form with one sign and no escape", "18 00 80 06"),
        # Start state 131072 = 8·16384: 8·65536 + 49152 = 0x08C000.
        _one("long-end-state", "end state 131072", "18 00 C0 08 0C", ladder_index=9),
        # 65537 = 4·16384 + 1: 0x04C001: the lowest of the sixteen sign bits is set.
        _one("long-sign-beyond", "a sign bit where there is no symbol", "18 01 C0 04 0C", ladder_index=9),
        # 65536 sent as 1 and a word 0: 1 + 49152 = 0xC001.
        _one(
            "long-state-below-65536", "a word that need not be there: not canonical",
            "14 01 C0 00 00 0C", ladder_index=9,
        ),
        _one("long-state-top-zero", "four bytes of state, the upper zero", "1C 00 C0 04 00 0C", ladder_index=9),
        # 0x01C000: k = 1, x = 16384, a word is due.
        _one("long-no-word", "a state below 65536 and no word left", "18 00 C0 01", ladder_index=9),
        _one("long-half-word", "a state below 65536 and one byte left", "18 00 C0 01 0C", ladder_index=9),
        _one("long-raw-missing", "no escape string", "18 00 C0 04", ladder_index=9),
        _one("long-raw-padding", "a one in the padding of the raw bits", "18 00 C0 04 8C", ladder_index=9),
        _one("long-raw-left-over", "a zero byte behind the raw bits", "18 00 C0 04 0C 00", ladder_index=9),
        # Sixteen zeros, a one, sixteen digits.
        _one("escape-16-zeros", "an escape code with n = 16", "18 00 C0 04 00 00 01 00 00", ladder_index=9),
        # v = 32767: fifteen zeros, a one, fifteen zeros: 1 + 32767 = 32768.
        _one("escape-32768", "magnitude 32768", "18 00 C0 04 00 80 00 00", ladder_index=9),
        _one("escape-cut", "an escape code that does not end", "18 00 C0 04 00", ladder_index=9),
    ]  # fmt: skip


def _lanes() -> list[Invalid]:
    # Sound (by_hand.py): 1C | 00 80 04 00 | 00 00 01 00.
    def lanes(name: str, reason: str, payload: str, **more: int) -> Invalid:
        return _one(f"lanes-{name}", reason, payload, log2_lanes=1, **more)

    return [
        lanes("form-short", "two lanes in short form", "0C 00 80 04 00 00 00 01 00"),
        lanes("form-3-bytes", "two lanes with states of three bytes", "18 00 80 04 00 00 00 01 00"),
        lanes("states-cut", "one and a half states", "1C 00 80 04 00 00 00"),
        # 65536 sent as 1 and a word 0: 1 + 32768 = 0x8001.
        lanes("state-below-65536", "a word that need not be there", "1C 01 80 00 00 00 00 01 00 00 00"),
        # 0x00018000: k = 1, x = 16384, a word is due.
        lanes("no-word", "no word left", "1C 00 80 01 00 00 00 01 00"),
        lanes("half-word", "one byte left where a word is due", "1C 00 80 01 00 00 00 01 00 00"),
        *_lane_starts(lanes),
        *_lane_signs(lanes),
        *_lane_escapes(lanes),
    ]


def _lane_starts(lanes: Callable[..., Invalid]) -> list[Invalid]:
    return [
        # 131072 = 8·16384: 8·65536 + 32768 = 0x088000.
        lanes("end-state", "lane 0 ends in 131072", "1C 00 80 08 00 00 00 01 00"),
        lanes("idle-state", "lane 1 never steps and is 131072", "1C 00 80 04 00 00 00 02 00"),
        lanes("idle-state-largest", "lane 1 never steps and is 2³² − 1", "1C 00 80 04 00 FF FF FF FF"),
        # 65538 = 4·16384 + 2: 0x048002.
        lanes("sign-beyond", "one symbol, and the second sign bit of lane 0 is set", "1C 02 80 04 00 00 00 01 00"),
        # 98304 = 6·16384: 0x068000.
        lanes("sign-beyond-last", "one symbol, and the last sign bit of lane 0 is set", "1C 00 80 06 00 00 00 01 00"),
        lanes("sign-beyond-idle", "one symbol, and a sign bit of lane 1 is set", "1C 00 80 04 00 01 00 01 00"),
        # 0 has f = 32768 and T_0 = 0: 65537 = 2·32768 + 1: 0x020001.
        lanes("sign-of-zero", "a sign bit and no symbol that has a sign", "1C 01 00 02 00 00 00 01 00"),
        # By hand, eight signs: the word is 8000 + s, and s may hold fourteen bits.
        lanes("sign-ninth", "eight signs, and the ninth bit is set", "1C AA 8A 01 00 00 00 01 00 FE 81", n=8),
        lanes("signs-behind", "eight signs behind the word, none in a state", "1C AA 8A 01 00 00 00 01 00 00 80 FE", n=8),
        # The first sign of one lane is in bit 15; with several it is in bit 0. 1C000 = 7·4000: 78000 = 1E·4000: 1E8000.
        lanes("signs-from-the-top", "two signs in the upper bits of lane 0", "1C 00 80 1E 00 00 00 01 00", n=2),
    ]  # fmt: skip


def _lane_signs(lanes: Callable[..., Invalid]) -> list[Invalid]:
    # States and words of 32 to 48 positive signs (by_hand.py): 32, 40, 48: 1AAAA and 33, 41: 6AAAA; words for 32 and 33:
    # AAAA AAAA 8AAA 8000, one more AAAA before them for 40 and 41, two more for 48.
    idle, words = " 00 00 01 00 ", "AA AA AA AA AA 8A 00 80 "
    at_8, at_9 = "1C AA AA 01 00" + idle, "1C AA AA 06 00" + idle
    return [
        lanes("sign-byte-needless", "one sign and a byte behind the states", "1C 00 80 04 00 00 00 01 00 00"),
        lanes("sign-byte-needless-8", "eight signs and a byte behind the word", "1C AA 8A 01 00 00 00 01 00 FE 80 00", n=8),
        lanes("sign-byte-needless-32", "32 signs and a byte behind the words", at_8 + words + "00", n=32),
        lanes("sign-missing", "33 signs and no sign byte", at_9 + words, n=33),
        lanes("sign-padding", "33 signs, a one behind the last", at_9 + words + "02", n=33),
        lanes("sign-padding-top", "33 signs, a one in the highest bit of the padding", at_9 + words + "80", n=33),
        lanes("left-over", "33 signs and a zero byte behind them", at_9 + words + "01 00", n=33),
        lanes("left-between", "33 signs, a zero byte between words and signs", at_9 + words + "00 01", n=33),
        # Forward, 02 stands where seven bits are padding.
        lanes("signs-forward", "41 signs, their bytes in forward order", at_9 + "AA AA" + words + "02 01", n=41),
        lanes("signs-padding-first", "the padding of 41 signs is not zero", at_9 + "AA AA" + words + "81 02", n=41),
        # 40 and 48 signs need no padding: any byte would do.
        lanes("signs-in-a-word", "no sign byte: one of the word before it would do", at_8 + "AA AA" + words, n=40),
        lanes(
            "signs-half-in-a-word", "one of two sign bytes: one of the word before would do",
            at_8 + "AA AA AA AA" + words + "02", n=48,
        ),
    ]  # fmt: skip


def _lane_escapes(lanes: Callable[..., Invalid]) -> list[Invalid]:
    # Sound (by_hand.py): 1C | 01 C0 04 00 | 00 00 01 00 | 0C.
    def escape(name: str, reason: str, raw: str) -> Invalid:
        return lanes(f"escape-{name}", reason, "1C 01 C0 04 00 00 00 01 00 " + raw, ladder_index=9)

    # Sound: 33 signs, 33 ones of escapes, then the sign byte: … | FF FF FF FF 01 | 01.
    def behind(name: str, reason: str, raw: str) -> Invalid:
        states_and_words = "1C FF FF 07 00 FF FF 01 00 FF FF FF FF FF CF 00 C0 "
        return lanes(f"escape-{name}", reason, states_and_words + raw, ladder_index=9, n=33)

    return [
        escape("nothing", "no escape string", ""),
        escape("padding", "a one in the padding of the escape string", "8C"),
        escape("longer", "a zero byte more than the escape string needs", "0C 00"),
        escape("sign-byte", "an escape string, and a sign byte that need not be there", "0C 01"),
        escape("16-zeros", "an escape code with n = 16, several lanes", "00 00 01 00 00"),
        # v = 32767: fifteen zeros, a one, fifteen zeros: 1 + 32767 = 32768.
        escape("32768", "magnitude 32768, several lanes", "00 80 00 00"),
        behind("shared", "one byte that would do for both: the last of the escapes, or the sign", "FF FF FF FF 01"),
        # From the front: a one, then seven zeros, a one and seven digits, then 24 ones: 26 codes of 33.
        behind("behind", "signs before the escape string", "01 FF FF FF FF 01"),
        behind("one-string", "sign and escapes in one bit string", "FF FF FF FF 03"),
        # The 33rd code: seven zeros, a one; the seven digits would be those of the sign's byte.
        behind("cut", "an escape code that goes on in the sign's byte", "FF FF FF FF 80 01"),
    ]  # fmt: skip


def _tile_masks() -> list[Invalid]:
    return [
        _one("tile-mask-empty", "a tile mask without a masked tile", "05 00 03 80"),
        _one("tile-mask-padding", "a one behind the two bits of a tile mask", "05 05 03 80", n=2),
        _one("tile-mask-cut", "a tile mask of nine tiles in one byte", "01 FF", n=9),
        _one("tile-mask-no-state", "no state behind a tile mask", "01 01"),
    ]


def _token_masks() -> list[Invalid]:
    """Package `mask`: 4×3 own tokens; twelve zeros leave the state at 1."""

    def mask(name: str, reason: str, mask_bytes: bytes, state: str = "01") -> Invalid:
        file = head(MASK, scene=(8, 12), core=(8, 6))
        file += parts.record(encode_payload(MASK.tables, [TileIn([[0] * 12])], e=8))
        file += parts.record(b"\x02" + mask_bytes + bytes.fromhex(state), first_tile=1)
        return Invalid(f"payload-token-mask-{name}", reason, MASK, file, "record", "corrupt", 1)

    def bits(text: str) -> bytes:
        return pack_bits(int(bit) for bit in text.replace(" ", ""))

    wrong_layer = head(THREE, scene=(8, 8))
    wrong_layer += parts.record(encode_payload(THREE.tables, [TileIn([[0] * 4] * 3)], e=6))
    # One partly masked tile of 2×2: 1, then row 0: 0 10, row 1: 1.
    wrong_layer += parts.record(b"\x02" + bits("1 010 1") + b"\x01", layer=1)
    return [
        mask("empty", "a token mask without a partly masked tile", bits("0")),
        mask("spelled-out", "row 1 is spelled out and equals row 0", bits("1 0100 0100 1 1")),
        mask("spelled-out-first", "row 0 is spelled out and has only valid tokens", bits("1 0000 0100 1 1")),
        mask("all", "a partly masked tile with every token masked", bits("1 0111 1 1 1")),
        mask("none", "a partly masked tile with no token masked", bits("1 1 1 1 1")),
        mask("padding", "a one in the padding of a token mask of 11 bits", bits("1 0100 0001 1 1 00001")),
        mask("cut", "a token mask that does not end", bits("1 0100 0"), state=""),
        Invalid(
            "payload-token-mask-layer-1", "a token mask in layer 1", THREE, wrong_layer, "record", "corrupt", 1,
        ),
    ]  # fmt: skip
