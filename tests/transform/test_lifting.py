"""Lifting `linear`: the numbers of the text worked by hand, the slow decoder's, and exactness for whatever comes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.errors import InputError
from codec.transform.fit_lifting import fit_lifting, value_range
from codec.transform.lifting import Lifting, plain

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))
from nec_reference.lifting import Linear, undo_linear

BY_HAND = Lifting(
    -128,
    256,
    np.array([3, -5], np.int16),
    np.array([[512, 256, 0, 256], [1024, 1024, -1024, 0]], np.int16),
    np.array([[0, 0], [-1536, 0]], np.int16),
)
# tests/reference/nec_vectors/arrays.py has the steps between.
SYMBOLS = np.array([[[10, -4, 7, 100, -60, 2], [1, -2, 3, -4, 5, -6]]], np.int16)
VALUES = np.array([[13, 9, 16, 112, 2, 11], [-19, -15, -22, 83, -74, -90]]).T.reshape(1, 2, 3, 2)


def test_symbols_worked_by_hand_become_the_values() -> None:
    np.testing.assert_array_equal(BY_HAND.inverse(SYMBOLS, 2, 3), VALUES)


def test_values_worked_by_hand_become_the_symbols() -> None:
    np.testing.assert_array_equal(BY_HAND.forward(VALUES), SYMBOLS)


@st.composite
def liftings(draw: st.DrawFn, channels: int) -> Lifting:
    low = draw(st.integers(-32768, 32000))
    modulus = draw(st.one_of(st.integers(1, min(65535, 32768 - low)), st.just(min(256, 32768 - low))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.sampled_from([0, 700, 32767]))

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-size, size, shape, endpoint=True).astype(np.int16)

    return Lifting(
        low,
        modulus,
        rng.integers(low, low + modulus, channels).astype(np.int16),
        weights(channels, 4),
        np.tril(weights(channels, channels), -1),
    )


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    n=st.integers(1, 3),
    rows=st.integers(1, 5),
    cols=st.integers(1, 5),
    channels=st.integers(1, 20),
    holes=st.floats(0, 0.9),
)
def test_any_values_come_back_and_the_slow_decoder_agrees(
    data: st.DataObject, n: int, rows: int, cols: int, channels: int, holes: float
) -> None:
    lifting = data.draw(liftings(channels))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    values = rng.integers(lifting.low, lifting.high, (n, rows, cols, channels), endpoint=True).astype(
        np.int16
    )
    known = rng.random((n, rows, cols)) >= holes
    symbols = lifting.forward(values, known)
    assert symbols.min() > -32768
    assert not np.moveaxis(symbols, 1, 2)[~known.reshape(n, -1)].any()
    back = lifting.inverse(symbols, rows, cols)
    np.testing.assert_array_equal(back[known], values[known])
    slow = Linear(
        lifting.low,
        lifting.modulus,
        lifting.start.tolist(),
        lifting.neighbours.tolist(),
        lifting.channels.tolist(),
    )
    np.testing.assert_array_equal(back[0], undo_linear(symbols[0].tolist(), rows, cols, slow))


def test_a_fit_finds_the_weights_a_field_was_made_with() -> None:
    """x = 0.6 left + 0.4 above + noise: an autoregression whose least squares are its own weights."""
    rng = np.random.default_rng(0)
    x = np.zeros((300, 300))
    for i in range(1, 300):
        for j in range(1, 300):
            x[i, j] = 0.55 * x[i, j - 1] + 0.4 * x[i - 1, j] + rng.normal() * 6
    q = np.clip(np.rint(x[44:, 44:]), -127, 127).astype(np.int8)
    tiles = q.reshape(8, 32, 8, 32).swapaxes(1, 2).reshape(64, 32, 32, 1)
    lifting = fit_lifting(tiles, np.ones((64, 32, 32), bool), low=-128, modulus=256, spatial=True)
    np.testing.assert_allclose(lifting.neighbours[0] / 1024, [0.55, 0.4, 0, 0], atol=0.03)


def test_a_fit_finds_what_one_channel_says_of_another() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(50, 8, 8)) * 20
    q = np.rint(np.stack([a, -0.75 * a + rng.normal(size=a.shape)], axis=-1)).astype(np.int8)
    lifting = fit_lifting(q, np.ones(q.shape[:3], bool), low=-128, modulus=256, spatial=False)
    assert lifting.channels[1, 0] / 1024 == pytest.approx(-0.75, abs=0.02)
    assert not lifting.neighbours.any()


def test_weights_that_do_not_earn_their_bytes_stay_out_of_a_file() -> None:
    rng = np.random.default_rng(2)
    q = rng.integers(-50, 50, (2, 8, 8, 12)).astype(np.int8)
    lifting = fit_lifting(q, np.ones((2, 8, 8), bool), low=-128, modulus=256, spatial=True, n_tokens=128)
    assert not lifting.channels.any()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 0, 1),
        (-5, 5, 16),
        (-32768, 32766, 65535),
        (-20000, 20000, 40001),
        (32767, 32767, 1),
        (32760, 32767, 8),
    ],
)
def test_the_range_of_int16_holds_all_values(low: int, high: int, expected: int) -> None:
    first, modulus = value_range(np.dtype(np.int16), low, high)
    assert modulus == expected
    assert -32768 <= first <= low
    assert high <= first + modulus - 1 <= 32767


def test_illegal_liftings_are_refused() -> None:
    good = plain(2, -128, 256)
    for change in (
        {"low": -40000},
        {"modulus": 65536},
        {"channels": np.eye(2, dtype=np.int16)},
        {"start": np.zeros(3, np.int16)},
    ):
        fields = {name: getattr(good, name) for name in ("low", "modulus", "start", "neighbours", "channels")}
        with pytest.raises(InputError):
            Lifting(**{**fields, **change})


def test_predictions_beyond_32_bits_are_exact() -> None:
    # 4095 weights of 32767/1024 times residuals of 32767: a sum of 4.3e9 for the last channel.
    channels, modulus = 4096, 65535
    a = np.zeros((channels, channels), np.int16)
    a[-1, :-1] = 32767
    none = np.zeros((channels, 4), np.int16)
    lifting = Lifting(-32768, modulus, np.zeros(channels, np.int16), none, a)
    symbols = np.full((1, channels, 1), 32767, np.int16)
    predicted = (512 + 32767 * 32767 * (channels - 1)) // 1024
    expected = -32768 + (predicted + 32767 + 32768) % modulus
    values = lifting.inverse(symbols, 1, 1)
    assert values[0, 0, 0, -1] == expected
    np.testing.assert_array_equal(lifting.forward(values), symbols)
