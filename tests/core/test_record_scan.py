"""The scan finds every intact record in cut, padded, damaged and hostile bytes (bitstream §4.4), in linear work."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nec_reference.records import scan as reference_scan
from table_files import resealed, slow_crc8

from _swathpack_core import crc8, scan
from codec.errors import InputError


def record(payload: bytes, kind: int = 1, fields: int = 0) -> bytes:
    return resealed(struct.pack("<Q", kind | fields << 3) + payload + bytes(4))


def pieces() -> st.SearchStrategy[bytes]:
    intact = st.builds(record, st.binary(min_size=1, max_size=40), st.integers(1, 7), st.integers(0, 2**36))
    cut = st.builds(lambda r, n: r[: n % len(r)], intact, st.integers(0, 100))
    flipped = st.builds(
        lambda r, bit: bytes(b ^ (1 << bit % 8 if i == bit // 8 % len(r) else 0) for i, b in enumerate(r)),
        intact,
        st.integers(0, 500),
    )
    return st.one_of(intact, intact, cut, flipped, st.just(b"\0\0\0"), st.binary(max_size=20))


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces(), max_size=8), st.integers(0, 20))
def test_it_finds_what_the_reference_finds(parts: list[bytes], offset: int) -> None:
    data = b"".join(parts)
    found, _ = reference_scan(data, min(offset, len(data)))
    offsets, headers = scan(data, offset)
    assert offsets.dtype == np.int64
    assert headers.dtype == np.uint64
    assert offsets.tolist() == [r.offset for r in found]
    assert headers.tolist() == [struct.unpack_from("<Q", data, r.offset)[0] for r in found]


def test_every_truncation_keeps_the_records_before_the_cut() -> None:
    records = [record(bytes([n]) * n) for n in range(1, 12)]
    data = b"".join(records)
    ends = np.cumsum([len(r) for r in records])
    for n in range(len(data) + 1):
        assert len(scan(data[:n])[0]) == int((ends <= n).sum())


def test_a_record_inside_a_damaged_one_is_found() -> None:
    inner = record(b"inner")
    outer = record(b"ab" + inner + b"cd")
    assert scan(outer)[0].tolist() == [0]
    assert scan(outer[:-1] + b"\x00")[0].tolist() == [10]


def test_empty_bytes_and_an_offset_at_the_end_give_nothing() -> None:
    assert len(scan(b"")[0]) == 0
    assert len(scan(b"abc", 3)[0]) == 0
    assert len(scan(b"abc", 10**12)[0]) == 0
    with pytest.raises(InputError):
        scan(b"abc", -1)


def claims(n: int) -> bytes:
    """Bytes that claim a record of about 64 KiB at every position: each is the check byte of the seven before."""
    data = bytearray(b"\x31\x22\x31\x44\x55\xf1\xff")
    while len(data) < n:
        data.append(crc8(data[-7:]))
    return bytes(data)


def test_the_hostile_pattern_claims_a_record_at_most_positions() -> None:
    data = claims(3000)
    claimed = [i for i in range(2000) if data[i] & 7 and slow_crc8(data[i : i + 7]) == data[i + 7]]
    assert len(claimed) > 1000


def test_claims_at_every_position_cost_no_more_than_a_fixed_time_per_byte() -> None:
    # Hashing each claim would be some 30 KiB of CRC per byte of file: 2·10^10 bytes, half a minute at the least.
    # This bound is 20 times above what is measured and 20 times below that.
    data = claims(600_000)
    start = time.process_time()
    scan(data)
    assert time.process_time() - start < 2.0
