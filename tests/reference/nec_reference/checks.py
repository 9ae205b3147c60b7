"""CRC-32C and CRC-8 (§1), one byte per step from tables that are computed from the polynomials."""

from __future__ import annotations

_CRC32C_REFLECTED = int(f"{0x1EDC6F41:032b}"[::-1], 2)
_CRC8_POLYNOMIAL = 0x2F


def _crc32c_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_CRC32C_REFLECTED if byte & 1 else 0)
    return byte


def _crc8_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = ((byte << 1) & 0xFF) ^ (_CRC8_POLYNOMIAL if byte & 0x80 else 0)
    return byte


_CRC32C = [_crc32c_of_byte(byte) for byte in range(256)]
_CRC8 = [_crc8_of_byte(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of `data`; of b"123456789" it is 0xE3069283."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def crc8(data: bytes) -> int:
    """CRC-8/AUTOSAR of `data`; of b"123456789" it is 0xDF."""
    crc = 0xFF
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc ^ 0xFF
