"""Vectors of tables with low bits: the smallest derived on paper as in `by_hand.py`, the others from the slow encoder.

An index k ≥ 1 of frequency f stands for 2^b magnitudes of f / 2^b slots each. Encoding (k, r) onto state x, with
s = f / 2^b: first, if x >= 65536·s, the low 16 bits of x go out as a word; then x becomes
65536·⌊x/s⌋ + (x mod s)·2^b + r + T_k. Package `one-low`: at ladder index 8 K=2, T = 32768, 49152 and b = 2, so that k = 1
has s = 4096; at index 9 K=1, T = 49152 and b = 3, so that the escape has s = 2048.
"""

from __future__ import annotations

from nec_encoder import parts
from nec_encoder.parts import record
from nec_encoder.payload import TileIn, encode_payload

from nec_vectors.files import Grid, Invalid, Plan, Vector, assemble, draw, head, outcomes, plane
from nec_vectors.packages import LOW, ONE_LOW


def vectors() -> list[Vector]:
    """All legal vectors with low bits."""
    return [*_by_hand(), *_mixed()]


def _by_hand() -> list[Vector]:
    def strip(
        name: str, reason: str, payload_hex: str, values: list[int], ladder_index: int, **more: float
    ) -> Vector:
        n = len(values)
        log2_lanes = int(more.get("log2_lanes", 0))
        payload = bytes.fromhex(payload_hex)
        data = assemble(
            head(ONE_LOW, scene=(8, 8 * n), ladder_index=ladder_index),
            [record(payload, count=n, log2_lanes=log2_lanes)],
        )
        planes = [plane([[0]] * n, ["1"] * n, [[[value]] for value in values])]
        if "embedding" in more:
            planes[0]["embeddings"] = {"0": [[[more["embedding"]]]]}
        return Vector(f"low-bits-{name}", reason, ONE_LOW, data, Plan(records=outcomes(1), planes=planes))

    return [
        # −3 = −(0·4 + 1 + 2): k = 1, r = 2; start state 1‖1 = 3: 65536·0 + 3·4 + 2 + 32768 = 32782 = 0x800E.
        # Decoder: slot 32782: k = 1, 14 above T_1: r = 14 mod 4 = 2; x = 4096·0 + ⌊14/4⌋ = 3.
        # Step 1, r2 = −0.25: −2.75; 0.5 + 2.75.
        strip("minus-three", "short form, one symbol with two low bits", "04 0E 80", [-3], 8, embedding=3.25),
        # 0 has no low bits: f = 32768: the start state 1 stays.
        strip("zero", "a zero has no low bits", "00 01", [0], 8, embedding=0.5),
        # Six tiles of 4 = 0·4 + 1 + 3: k = 1, r = 3. Start state 1‖000000 = 64:
        # 64:                                 64·4 + 3 + 32768 = 33027
        # 33027 = 8·4096 + 259:               8·65536 + 259·4 + 32771 = 558095
        # 558095 = 136·4096 + 1039:           136·65536 + 1039·4 + 32771 = 8949823
        # 8949823 = 2185·4096 + 63:           2185·65536 + 63·4 + 32771 = 143229183
        # 143229183 = 34968·4096 + 255:       34968·65536 + 255·4 + 32771 = 2291696639 = 0x889883FF
        # That is >= 0x10000000: word 83FF, x = 0x8898 = 34968 = 8·4096 + 2200:
        #                                     8·65536 + 2200·4 + 32771 = 565859 = 0x08A263
        strip("word", "low bits and a word behind the state", "08 63 A2 08 FF 83", [4] * 6, 8),
        # 21 = (1 + v − 1)·8 + 1 + r: v = 2, r = 4. Sign 0: 65536 = 32·2048: 32·65536 + 4 + 49152 = 0x20C004.
        # v + 1 = 11 in binary: bits 0 1 1: 06. Step 2: 2·20.75 = 41.5; 0.5 − 41.5.
        strip("escape", "an escape with low bits", "18 04 C0 20 06", [21], 9, embedding=-41.0),
        # −1: k = K, v = 0, r = 0. Sign 1: 98304 = 48·2048: 48·65536 + 49152 = 0x30C000. r1 = 0.75: 0.5 + 1.5.
        strip("escape-v0", "the smallest escape is the magnitude 1", "18 00 C0 30 01", [-1], 9, embedding=2.0),
        # −32767 = −(v·8 + 1 + r): v = 4095, r = 6; v + 1 = 2¹²: twelve zeros, a one, twelve zeros.
        strip(
            "32767", "the largest magnitude, an escape with low bits", "18 06 C0 30 00 10 00 00", [-32767], 9,
            embedding=65534.0,
        ),
        # Sign 1 is the lowest bit: 65537 = 16·4096 + 1: 16·65536 + 1·4 + 2 + 32768 = 0x108006.
        strip("two-lanes", "two lanes, one symbol with low bits", "1C 06 80 10 00 00 00 01 00", [-3], 8, log2_lanes=1),
        # 65537 = 32·2048 + 1: 32·65536 + 1·8 + 4 + 49152 = 0x20C00C.
        strip(
            "two-lanes-escape", "two lanes, an escape with low bits", "1C 0C C0 20 00 00 00 01 00 06", [-21], 9,
            log2_lanes=1,
        ),
    ]  # fmt: skip


def _mixed() -> list[Vector]:
    def build(name: str, reason: str, log2_lanes: int, spread: float, n: int) -> Vector:
        grids: list[Grid] = [draw(700 + t, LOW.tables, 0, (8,), spread=spread) for t in range(n)]
        tiles = [TileIn(grid) for grid in grids]
        payload = encode_payload(LOW.tables, tiles, e=8, lanes=1 << log2_lanes)
        data = assemble(head(LOW, scene=(8, 8 * n)), [record(payload, count=n, log2_lanes=log2_lanes)])
        planes = [plane([[0]] * n, ["11"] * n, list(grids))]
        return Vector(f"low-bits-{name}", reason, LOW, data, Plan(records=outcomes(1), planes=planes))

    return [
        build("lane", "one lane, tables of 0 to 8 low bits in turn", 0, 20.0, 1),
        build("few", "one lane in short form, mostly zeros", 0, 0.3, 1),
        build("lanes-8", "eight lanes, each with another number of low bits", 3, 20.0, 3),
        build("lanes-64", "64 lanes, each with another number of low bits; groups of 61 and 61", 6, 200.0, 3),
        build("lanes-large", "64 lanes, large symbols: escapes with up to 8 low bits", 6, 3000.0, 2),
    ]


def invalid() -> list[Invalid]:
    """Payloads with low bits that break a rule of §5."""

    def one(name: str, reason: str, payload_hex: str, *, ladder_index: int, log2_lanes: int = 0) -> Invalid:
        file = head(ONE_LOW, scene=(8, 16), ladder_index=ladder_index)
        file += parts.record(encode_payload(ONE_LOW.tables, [TileIn([[0]])], e=ladder_index))
        file += parts.record(bytes.fromhex(payload_hex), first_tile=1, log2_lanes=log2_lanes)
        return Invalid(f"payload-low-bits-{name}", reason, ONE_LOW, file, "record", "corrupt", 1)

    return [
        # 5 instead of 3 above the low bits: 5·4 + 2 + 32768 = 32790.
        one("end-state", "end state 5 with one sign", "04 16 80", ladder_index=8),
        # The escape k = 2 on state 3, r = 1: 3·4 + 1 + 49152 = 0xC00D.
        one("short-with-escape", "short form with an escape", "04 0D C0", ladder_index=8),
        # As `low-bits-32767` with r = 7: v·8 + 1 + 7 = 32768.
        one("32768", "magnitude 32768", "18 07 C0 30 00 10 00 00", ladder_index=9),
        # 65537 = 32·2048 + 1: 1·8 + 7.
        one(
            "lanes-32768", "magnitude 32768, two lanes", "1C 0F C0 20 00 00 00 01 00 00 10 00 00",
            ladder_index=9, log2_lanes=1,
        ),
        # 0x01C000: k = 1, r = 0; x = 2048·1, below 65536.
        one("no-word", "a state below 65536 and no word left", "18 00 C0 01", ladder_index=9),
    ]  # fmt: skip
