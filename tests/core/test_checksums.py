"""CRC-32C and CRC-8 of bitstream §1."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from table_files import slow_crc8, slow_crc32c

from _swathpack_core import crc8, crc32c


def test_check_values_are_those_of_the_format() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc8(b"123456789") == 0xDF


def test_published_crc32c_vectors() -> None:
    # RFC 3720 (iSCSI), B.4: 32 bytes of zeros, of ones, ascending, descending.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(bytes(range(31, -1, -1))) == 0x113FDB5C


@given(st.binary(max_size=100))
def test_both_equal_their_definition(data: bytes) -> None:
    assert crc32c(data) == slow_crc32c(data)
    assert crc8(data) == slow_crc8(data)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_the_seed_continues_a_crc(a: bytes, b: bytes) -> None:
    assert crc32c(b, crc32c(a)) == crc32c(a + b)


def test_any_buffer_is_taken() -> None:
    assert crc32c(memoryview(b"x123456789")[1:]) == crc32c(bytearray(b"123456789")) == 0xE3069283
