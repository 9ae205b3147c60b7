"""Streams of a pack come back, and parts make the file again."""

from __future__ import annotations

import lzma
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.adapt.uplink_delta import Copy, Matcher, Source
from codec.adapt.uplink_streams import Stream, expand, shrink
from codec.errors import Corrupt


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600), st.integers(0, 3))
def test_streams_come_back(raw: bytes, kind: int) -> None:
    if kind == 1:
        raw = np.frombuffer(raw[: len(raw) // 4 * 4], "<i4").astype(np.float32).tobytes()
    elif kind == 2:
        raw = (np.frombuffer(raw, np.int8).astype("<f4") / 2**10).tobytes()
    elif kind == 3:
        raw *= 20
    stream = shrink(raw)
    assert len(stream.data) <= len(raw)
    assert expand(stream) == raw


def test_a_stream_ends_where_its_data_end() -> None:
    raw = bytes(range(256)) * 8
    packed = zlib.compress(raw)
    coded = lzma.compress(raw, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 23}])
    for coder, data in (("zlib", packed), ("lzma", coded)):
        assert expand(Stream(len(raw), "none", coder, data)) == raw
        for wrong in (data + b"x", data[:-1]):
            with pytest.raises(Corrupt, match="does not e"):
                expand(Stream(len(raw), "none", coder, wrong))


def test_numbers_on_a_grid_are_sent_as_integers() -> None:
    values = np.random.default_rng(0).normal(0, 0.09, 20_000)
    grid = (np.rint(values * 2**15) / 2**15 + 0.0).astype("<f4").tobytes()
    stream = shrink(grid)
    assert stream.filter == "fixed15"
    # Of a normal distribution of spread 0.09 in steps of 2⁻¹⁵: log2(0.09 · √(2πe)) + 15 = 13.6 bits.
    assert len(stream.data) < 14.3 / 8 * 20_000
    signed = np.frombuffer(grid, "<f4").copy()
    signed[0] = -0.0  # another float than 0
    assert expand(shrink(signed.tobytes())) == signed.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 400)), max_size=6),
    st.binary(max_size=200),
    st.integers(0, 9),
)
def test_parts_put_together_are_the_file(cuts: list[tuple[int, int]], own: bytes, seed: int) -> None:
    source = np.random.default_rng(seed).bytes(3000)
    target = own.join(source[a : a + n] for a, n in cuts)
    found = b""
    for part in Matcher([Source("base", "a", source)]).parts(target):
        found += source[part.offset : part.offset + part.length] if isinstance(part, Copy) else part
    assert found == target
