"""The erasure code against Intel's ISA-L, as Debian packages it (libisal2), through ctypes.

The coefficients are computed here, bit by bit from the definition of the field; ISA-L multiplies, and inverts.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from _swathpack_core import isa, isas, rs_decode, rs_encode, set_isa

Bytes = npt.NDArray[np.uint8]


def times(a: int, b: int) -> int:
    """Product in GF(2^8) by shift and add, modulo x^8 + x^4 + x^3 + x^2 + 1."""
    product = 0
    for bit in range(8):
        product ^= (a << bit) if b >> bit & 1 else 0
    for bit in range(14, 7, -1):
        product ^= (0x11D << (bit - 8)) if product >> bit & 1 else 0
    return product


@cache
def inverse(a: int) -> int:
    return next(b for b in range(1, 256) if times(a, b) == 1)


def repair_rows(k: int, indices: list[int]) -> Bytes:
    return np.array([[inverse(i ^ j) for j in range(k)] for i in indices], np.uint8).reshape(-1, k)


class IsaL:
    """The few functions of erasure_code.h and gf_vect_mul.h that are compared with."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    @staticmethod
    def _at(array: Bytes) -> ctypes.c_void_p:
        return ctypes.c_void_p(array.ctypes.data)

    def product(self, matrix: Bytes, symbols: Bytes) -> Bytes:
        """matrix (rows × k) times symbols (k × size)."""
        (rows, k), size = matrix.shape, symbols.shape[1]
        matrix, symbols = np.ascontiguousarray(matrix), np.ascontiguousarray(symbols)
        tables, out = np.zeros(32 * k * rows, np.uint8), np.zeros((rows, size), np.uint8)
        self._library.ec_init_tables(k, rows, self._at(matrix), self._at(tables))
        from_, to = (
            (ctypes.c_void_p * len(a))(*(a.ctypes.data + i * size for i in range(len(a))))
            for a in (symbols, out)
        )
        self._library.ec_encode_data(size, k, rows, self._at(tables), from_, to)
        return out

    def inverted(self, matrix: Bytes) -> Bytes:
        work, out = matrix.copy(), np.zeros_like(matrix)
        assert self._library.gf_invert_matrix(self._at(work), self._at(out), len(matrix)) == 0
        return out

    def cauchy_rows(self, k: int, r: int) -> Bytes:
        out = np.zeros((k + r, k), np.uint8)
        self._library.gf_gen_cauchy1_matrix(self._at(out), k + r, k)
        return out[k:]

    def scaled(self, data: Bytes, factor: int) -> Bytes:
        """data · factor; a multiple of 32 bytes."""
        table, out = np.zeros(32, np.uint8), np.zeros_like(data)
        self._library.gf_vect_mul_init(ctypes.c_ubyte(factor), self._at(table))
        assert self._library.gf_vect_mul(data.size, self._at(table), self._at(data), self._at(out)) == 0
        return out


@pytest.fixture(params=isas())
def isa_l(request: pytest.FixtureRequest) -> Iterator[IsaL]:
    """The rival, while ours runs on one instruction set after the other."""
    try:
        library = ctypes.CDLL("libisal.so.2")
    except OSError:
        pytest.skip("ISA-L is not installed: apt-get install libisal2")
    before = isa()
    set_isa(request.param)
    yield IsaL(library)
    set_isa(before)


def random_symbols(n: int, size: int, seed: int) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (n, size), dtype=np.uint8)


def test_the_two_have_the_same_field(isa_l: IsaL) -> None:
    """Repair symbol i of a block of one source symbol is that symbol divided by i: 254 factors, all bytes."""
    every = np.arange(256, dtype=np.uint8)
    repair = rs_encode(every[None], 254)
    for i in range(1, 255):
        np.testing.assert_array_equal(repair[i - 1], isa_l.scaled(every, inverse(i)))


@pytest.mark.parametrize(
    ("k", "r", "size"),
    [
        (1, 1, 1),
        (3, 2, 31),
        (10, 4, 64),
        (64, 13, 1024),
        (64, 13, 1000),
        (64, 81, 960),
        (127, 128, 65),
        (254, 1, 333),
    ],
)
def test_repair_symbols_are_those_of_isa_l(isa_l: IsaL, k: int, r: int, size: int) -> None:
    source = random_symbols(k, size, k)
    rows = repair_rows(k, list(range(k, k + r)))
    np.testing.assert_array_equal(rows, isa_l.cauchy_rows(k, r))
    np.testing.assert_array_equal(rs_encode(source, r), isa_l.product(rows, source))


@pytest.mark.parametrize("seed", range(25))
def test_any_k_symbols_are_solved_as_isa_l_solves_them(isa_l: IsaL, seed: int) -> None:
    """Any bytes in any k symbols are a block's, so nothing here comes from our own encoder."""
    rng = random.Random(seed)
    k = rng.choice([1, 2, 7, 32, 64, 100, 127])
    size = rng.choice([1, 31, 64, 257, 1000, 1024])
    indices = rng.sample(range(min(255, 2 * k)), k)
    received = random_symbols(k, size, seed)
    generator = np.concatenate([np.eye(k, dtype=np.uint8), repair_rows(k, list(range(k, min(255, 2 * k))))])
    expected = isa_l.product(isa_l.inverted(generator[indices]), received)
    np.testing.assert_array_equal(rs_decode(received, indices, k), expected)
