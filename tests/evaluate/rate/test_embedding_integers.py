"""UQE, integers per channel, companding and floats against hand calculations and Blosc itself."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from codec.errors import Corrupt
from codec.evaluate.rate.embedding import companding, frames, uqe
from codec.evaluate.rate.embedding.floats import FLOAT16, FLOAT32
from codec.evaluate.rate.embedding.per_channel import PerChannelCoder, pack_nibbles, unpack_nibbles
from tests.evaluate.rate.correlated_planes import planes


def test_uqe_of_two_by_two_numbers() -> None:
    """By hand, 2 bits: range −1 … 2, three steps of 1; 0.4 → 1.4 → 1, 0.6 → 1.6 → 2; back to −1, 2, 0, 1."""
    q, low, high = uqe.quantise(np.array([[-1.0, 2.0], [0.4, 0.6]], np.float32), 2)
    assert (q.tolist(), low, high) == ([[0, 3], [1, 2]], -1.0, 2.0)
    assert uqe.dequantise(q, low, high, 2).tolist() == [[-1.0, 2.0], [0.0, 1.0]]


def test_uqe_of_a_constant_batch_is_that_constant() -> None:
    q, low, high = uqe.quantise(np.full((2, 2), 0.25, np.float32), 8)
    assert (uqe.dequantise(q, low, high, 8) == 0.25).all()


def test_a_uqe_batch_is_64_tiles_and_has_its_own_range() -> None:
    x = np.zeros((65, 1, 1, 2), np.float32)
    x[0, 0, 0] = [-3, 5]
    x[64, 0, 0] = [1, 2]
    coder = uqe.UqeCoder((1, 1, 2))
    parts = coder.encode(x, np.ones((65, 1, 1), bool), "8 bit")
    assert [(p.first, p.count) for p in parts] == [(0, 64), (64, 1)]
    assert np.frombuffer(parts[0].data[:8], "<f4").tolist() == [-3, 5]
    assert np.frombuffer(parts[1].data[:8], "<f4").tolist() == [1, 2]


def test_bit_shuffle_of_eight_bytes_by_hand() -> None:
    """Element 0 has bit 0, element 1 bit 7, element 7 bits 0 and 1: planes 0b10000001, 0b10000000, 0, …, 0b00000010."""
    data = np.array([1, 128, 0, 0, 0, 0, 0, 3], np.uint8)
    assert frames.bit_shuffle(data).tolist() == [0b10000001, 0b10000000, 0, 0, 0, 0, 0, 0b00000010]


@pytest.mark.parametrize("n", [0, 5, 8, 64, 1000, 4099])
def test_bit_shuffle_is_the_bitshuffle_library_s(n: int) -> None:
    """Whole groups of eight elements are transposed, what is left over stays."""
    data = np.random.default_rng(n).integers(0, 256, n, dtype=np.uint8)
    own = frames.bit_shuffle(data)
    whole = n // 8 * 8
    if whole:
        theirs = imagecodecs.bitshuffle_encode(data[:whole].tobytes(), itemsize=1, blocksize=whole)
        assert own[:whole].tobytes() == bytes(theirs)
    assert own[whole:].tolist() == data[whole:].tolist()
    assert frames.bit_unshuffle(own).tolist() == data.tolist()


def test_uqe_takes_no_more_bytes_than_blosc() -> None:
    """Blosc, zstd, level 3, bit-shuffle over the same bytes: ours lacks its headers and block cuts, and is no worse."""
    numcodecs = pytest.importorskip("numcodecs")
    x = planes(64, 5, widths={"tokens": 32}).values["tokens"]
    coder = uqe.UqeCoder(x.shape[1:])
    for setting, bits in (("8 bit", 8), ("5 bit", 5), ("2 bit", 2)):
        (part,) = coder.encode(x, np.ones(x.shape[:3], bool), setting)
        q, _, _ = uqe.quantise(x, bits)
        blosc = numcodecs.Blosc(cname="zstd", clevel=3, shuffle=numcodecs.Blosc.BITSHUFFLE).encode(q)
        assert 0.85 * len(blosc) <= len(part.data) <= 1.02 * len(blosc)


def test_int8_spans_the_largest_magnitude_and_int4_its_sixteen_levels() -> None:
    """By hand: mean 0, largest magnitude 2, so one int8 step is 2/127; signs decode to the means of either half."""
    x = np.array([-2.0, -1.0, 1.0, 2.0], np.float32).reshape(4, 1, 1, 1)
    valid = np.ones((4, 1, 1), bool)
    coder = PerChannelCoder.fit(x)
    for setting, expected in (("int8", [-2, -126 / 127, 126 / 127, 2]), ("sign", [-1.5, -1.5, 1.5, 1.5])):
        found = coder.decode([p.data for p in coder.encode(x, valid, setting)], setting, 4)
        # −1 is −63.5 steps, which rounds to the even −64
        want = [-2, -128 / 127, 128 / 127, 2] if setting == "int8" else expected
        np.testing.assert_allclose(found.ravel(), want, rtol=1e-6)
    step = float(coder.int4_step[0])
    four = coder.decode([p.data for p in coder.encode(x, valid, "int4")], "int4", 4)
    assert np.abs(four - x).max() <= step / 2 + 1e-6
    np.testing.assert_allclose(four / step - np.floor(four / step), 0.5, atol=1e-5)


def test_nibbles_lie_low_half_first() -> None:
    packed = pack_nibbles(np.array([1, 2, 15], np.uint8))
    assert packed.tolist() == [0x21, 0x0F]
    assert unpack_nibbles(packed, 3).tolist() == [1, 2, 15]


@pytest.mark.parametrize(
    ("q", "value"),
    [(127, 0.99217), (64, 0.25197), (1, 6.1515e-05), (0, 0.0), (-64, -0.25197), (-127, -0.99217)],
)
def test_companding_is_alphaearth_s_formula(q: int, value: float) -> None:
    """sign(q)·(|q|/127.5)²: (127/127.5)² = 0.99217, (64/127.5)² = 0.25197, (1/127.5)² = 6.1515·10⁻⁵."""
    assert companding.expand(np.array([q], np.int8))[0] == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize(
    ("value", "q"), [(0.25, 64), (-0.5, -90), (0.01, 13), (1.0, 127), (-1.0, -127), (0.0, 0)]
)
def test_companding_takes_the_nearest_root(value: float, q: int) -> None:
    """√0.25·127.5 = 63.75, √0.5·127.5 = 90.16, √0.01·127.5 = 12.75; ±127.5 stays off the nodata value −128."""
    assert companding.compress(np.array([value], np.float32))[0] == q


def test_every_stored_byte_but_nodata_survives_companding() -> None:
    q = np.arange(-127, 128).astype(np.int8)
    assert companding.compress(companding.expand(q)).tolist() == q.tolist()


def test_floats_are_those_of_ieee() -> None:
    tiles = planes(3, 1)
    exact = FLOAT32.fit(tiles)
    half = FLOAT16.fit(tiles)
    for setting in ("raw", "zstd"):
        np.testing.assert_array_equal(exact.code(tiles, setting).planes["tokens"], tiles.values["tokens"])
        expected = tiles.values["tokens"].astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(half.code(tiles, setting).planes["tokens"], expected)
    assert exact.code(tiles, "raw").sizes.tolist() == [4 * 64 * (12 + 4)] * 3


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a frame at all", frames.compress(b"short")])
def test_a_frame_of_another_length_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        frames.decompress(data, 6)
