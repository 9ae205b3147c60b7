"""Bit strings (docs/bitstream.md §1) and escape codes (§5.3)."""

from __future__ import annotations

from collections.abc import Iterable


def pack_bits(bits: Iterable[int]) -> bytes:
    """Least significant bit first, zero padding."""
    text = "".join(str(bit) for bit in bits)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at : at + 8][::-1], 2) for at in range(0, len(text), 8))


def escape_bits(v: int) -> list[int]:
    """v = 0: 1. v = 1: 0 1 0. v = 2: 0 1 1. v = 3: 00 1 00. v = 4: 00 1 10 (low digit first)."""
    n = (v + 1).bit_length() - 1
    low = (v + 1) - (1 << n)
    return [0] * n + [1] + [(low >> digit) & 1 for digit in range(n)]
