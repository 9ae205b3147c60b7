"""The arithmetic that docs/range_coding.md proves, at the edges of its proofs; no part of the core runs here."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_records import WORD
from float_division import FREQUENCIES, float_division, quotients, states_near_multiples

TABLES = [
    (1,),
    (65535,),
    (32768,),
    (1, 2),
    (65534, 65535),
    tuple(range(1, 256)),
    (64982, 65533),
    (2, 9, 40000),
]


@pytest.mark.parametrize("thresholds", TABLES, ids=lambda t: f"{len(t)} from {t[0]}")
def test_extremes_of_wrapped_differences_give_offset_and_frequency_of_every_slot(
    thresholds: tuple[int, ...],
) -> None:
    slots = np.arange(WORD)
    edges = np.array([0, *thresholds, WORD])
    k = np.searchsorted(edges, slots, side="right") - 1
    filled_up = [*thresholds, WORD, WORD]  # as where another lane's table has two thresholds more
    low = high = slots
    symbol = np.full(WORD, len(thresholds))
    for threshold in filled_up:
        low = np.minimum(low, (slots - threshold) % WORD)
        high = np.maximum(high, (slots - threshold) % WORD)
        symbol = symbol - ((threshold % WORD) > slots)
    np.testing.assert_array_equal(symbol, k)
    np.testing.assert_array_equal(low, slots - edges[k])
    np.testing.assert_array_equal((low - high) % WORD, edges[k + 1] - edges[k])


@pytest.mark.parametrize("frequency", [1, 2, 3, 255, 32767, 32768, 65521, 65534, 65535])
def test_a_sum_below_its_addend_is_a_carry(frequency: int) -> None:
    hi = np.arange(1, WORD)
    for offset in {0, frequency // 2, frequency - 1}:
        product = frequency * hi
        low = (product % WORD + offset) % WORD
        np.testing.assert_array_equal((product // WORD + (low < offset)) * WORD + low, product + offset)


def test_division_in_float32_is_exact_after_its_correction_and_errs_as_little_as_proved() -> None:
    found = float_division()
    assert found["largest"] < 1.5  # in units of 2^-8, §9
    assert found["too large"] > 0  # so that the subtraction is needed,
    assert found["once more"] > 0  # and the correction,
    assert found["wide"] > 0  # and its 17th bit


def test_division_by_multiplication_is_exact_and_stays_in_64_bits() -> None:
    m = (2**48 + FREQUENCIES - 1) // FREQUENCIES
    assert all(int(m[f - 1]) * (65536 * f - 1) < 2**64 for f in (1, 2, 3, 32767, 32768, 65521, 65535))
    for q in quotients():
        for x, f in states_near_multiples(q):
            product = x.astype(np.uint64) * m[f - 1].astype(np.uint64)
            np.testing.assert_array_equal((product >> np.uint64(48)).astype(np.int64), x // f)
