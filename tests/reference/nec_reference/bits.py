"""Bit strings (§1): bits fill each byte from the least significant bit up; zero bits pad the last byte."""

from __future__ import annotations

from nec_reference.refusals import Corrupt


class BitReader:
    """Reads one bit string that begins at byte `start` of a payload.

    A payload stands in a record whose CRC held, so bits that are not there are *corrupt*, not truncated (§5.6).
    """

    def __init__(self, data: bytes, start: int) -> None:
        self.data = data
        self.start = start
        self.position = 0  # in bits, from `start`

    def bit(self) -> int:
        byte = self.start + self.position // 8
        if byte >= len(self.data):
            raise Corrupt(f"a bit string ends after {self.position} bits, more are needed")
        value = (self.data[byte] >> (self.position % 8)) & 1
        self.position += 1
        return value

    def bits(self, count: int) -> list[int]:
        return [self.bit() for _ in range(count)]

    def end(self) -> int:
        """Check that the padding is zero; return the byte position behind the bit string."""
        while self.position % 8:
            if self.bit():
                raise Corrupt("the padding of a bit string is not zero")
        return self.start + self.position // 8


def exp_golomb(reader: BitReader) -> int:
    """One v >= 0 of the escape string (§5.3)."""
    n = 0
    while not reader.bit():
        n += 1
        if n > 15:
            raise Corrupt("an escape code begins with more than 15 zero bits")
    v_plus_1 = 1 << n
    for digit in range(n):  # least significant first
        v_plus_1 |= reader.bit() << digit
    return v_plus_1 - 1
