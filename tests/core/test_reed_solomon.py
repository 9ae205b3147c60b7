"""The erasure code against an independent one: logarithm tables and Gaussian elimination, written here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _swathpack_core import rs_decode, rs_encode
from codec.errors import InputError

Bytes = npt.NDArray[np.uint8]


def _tables() -> tuple[list[int], list[int]]:
    exp, log, x = [0] * 510, [0] * 256, 1
    for i in range(255):
        exp[i] = exp[i + 255] = x
        log[x] = i
        x = (x << 1) ^ (0x11D if x & 0x80 else 0)
    return exp, log


EXP, LOG = _tables()


def multiply(a: int, b: int) -> int:
    return EXP[LOG[a] + LOG[b]] if a and b else 0


def inverse(a: int) -> int:
    return EXP[255 - LOG[a]]


def scaled(row: Bytes, factor: int) -> Bytes:
    return np.array([multiply(int(v), factor) for v in range(256)], np.uint8)[row]


def generator_row(index: int, k: int) -> list[int]:
    """How symbol `index` is made of the k source symbols."""
    if index < k:
        return [int(j == index) for j in range(k)]
    return [inverse(index ^ j) for j in range(k)]


def slow_encode(source: Bytes, r: int) -> Bytes:
    k = len(source)
    out = np.zeros((r, source.shape[1]), np.uint8)
    for i in range(r):
        for j, factor in enumerate(generator_row(k + i, k)):
            out[i] ^= scaled(source[j], factor)
    return out


def slow_decode(symbols: Bytes, indices: list[int], k: int) -> Bytes:
    """Solve the first k equations by elimination."""
    matrix = [generator_row(i, k) for i in indices[:k]]
    values = symbols[:k].copy()
    for column in range(k):
        pivot = next(row for row in range(column, k) if matrix[row][column])
        matrix[column], matrix[pivot] = matrix[pivot], matrix[column]
        values[[column, pivot]] = values[[pivot, column]]
        factor = inverse(matrix[column][column])
        matrix[column] = [multiply(v, factor) for v in matrix[column]]
        values[column] = scaled(values[column], factor)
        for row in range(k):
            factor = matrix[row][column]
            if row != column and factor:
                matrix[row] = [
                    a ^ multiply(factor, b) for a, b in zip(matrix[row], matrix[column], strict=True)
                ]
                values[row] ^= scaled(values[column], factor)
    return values


def random_source(k: int, size: int, seed: int) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (k, size), dtype=np.uint8)


def test_one_repair_symbol_by_hand() -> None:
    # k = 2, r = 1: p_0 = s_0 / (2 ^ 0) + s_1 / (2 ^ 1). In this field 1/2 is 0x8E and 1/3 is 0xF4:
    # 2 · 0x8E = 0x11C ^ 0x11D = 1; 3 · 0xF4 = (0x1E8 ^ 0x11D) ^ 0xF4 = 0xF5 ^ 0xF4 = 1.
    repair = rs_encode(np.array([[1, 0], [0, 1]], np.uint8), 1)
    assert repair.tolist() == [[0x8E, 0xF4]]


@pytest.mark.parametrize(
    ("k", "r"), [(1, 0), (1, 1), (1, 254), (5, 3), (40, 12), (200, 55), (254, 1), (255, 0)]
)
def test_repair_symbols_are_those_of_the_definition(k: int, r: int) -> None:
    source = random_source(k, 3, k)
    np.testing.assert_array_equal(rs_encode(source, r), slow_encode(source, r))


@pytest.mark.parametrize("k", range(1, 6))
@pytest.mark.parametrize("r", range(5))
def test_every_loss_pattern_of_small_blocks_is_repaired(k: int, r: int) -> None:
    source = random_source(k, 5, 10 * k + r)
    every = np.concatenate([source, rs_encode(source, r)])
    for count in range(k, k + r + 1):
        for kept in combinations(range(k + r), count):
            np.testing.assert_array_equal(rs_decode(every[list(kept)], list(kept), k), source)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 30), st.integers(0, 9), st.randoms(use_true_random=False))
def test_any_k_symbols_in_any_order_give_the_block_of_the_elimination(
    k: int, r: int, size: int, random: object
) -> None:
    source = random_source(k, size, k * 31 + r)
    every = np.concatenate([source, rs_encode(source, r)])
    order = list(range(k + r))
    random.shuffle(order)  # type: ignore[attr-defined]
    kept = order[: k + (r + 1) // 2]
    decoded = rs_decode(every[kept], np.array(kept), k)
    np.testing.assert_array_equal(decoded, source)
    if k <= 25:
        np.testing.assert_array_equal(slow_decode(every[kept], kept, k), source)


def test_the_largest_block_survives_the_loss_of_all_its_source_symbols() -> None:
    source = random_source(127, 64, 1)
    repair = rs_encode(source, 128)
    np.testing.assert_array_equal(rs_decode(repair[:127], range(127, 254), 127), source)


def test_the_result_does_not_depend_on_which_extra_symbols_came() -> None:
    source = random_source(4, 8, 2)
    every = np.concatenate([source, rs_encode(source, 4)])
    every[7] ^= 1  # a damaged extra symbol: the repair symbols of lowest index are used
    np.testing.assert_array_equal(rs_decode(every[[7, 5, 4, 1, 0]], [7, 5, 4, 1, 0], 4), source)


def test_threads_that_decode_other_losses_at_once_do_not_disturb_each_other() -> None:
    """What restores a loss pattern is kept from call to call: here more patterns than are kept, by turns."""
    rng = np.random.default_rng(5)
    source = random_source(20, 100, 3)
    every = np.concatenate([source, rs_encode(source, 10)])
    patterns = [np.sort(rng.permutation(30)[:20]) for _ in range(12)]

    def decode(turn: int) -> bool:
        kept = patterns[turn % len(patterns) if turn % 3 else 0]
        return np.array_equal(rs_decode(every[kept], kept, 20), source)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(decode, range(2000)))


@pytest.mark.parametrize(
    ("indices", "k"),
    [
        ([0, 1], 3),  # too few
        ([0, 0], 2),  # twice the same
        ([0, 255], 2),
        ([-1, 0], 2),
        ([0], 2),  # not one index per symbol
        ([0, 1], 0),
        ([0, 1], 256),
    ],
)
def test_impossible_blocks_are_input_errors(indices: list[int], k: int) -> None:
    with pytest.raises(InputError):
        rs_decode(np.zeros((2, 4), np.uint8), indices, k)


@pytest.mark.parametrize(("k", "r"), [(0, 1), (255, 1), (1, 255), (300, 0), (2, -1)])
def test_impossible_counts_are_input_errors(k: int, r: int) -> None:
    with pytest.raises(InputError):
        rs_encode(np.zeros((k, 4), np.uint8), r)
