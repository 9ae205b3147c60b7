"""The reference quantiser against one that takes every rounding step apart in exact arithmetic."""

import math
import struct

import numpy as np
import pytest

from codec.errors import InputError
from codec.transform.quantiser import quantise, reconstruct

MAX_MAGNITUDE = 32767  # bitstream §5.2


def to_float32(value: float) -> float:
    """Round a double to float32, half to even. Sums and products of two float32 are rounded once by this, although
    the double was rounded before: 53 ≥ 2·24 + 2 bits make that harmless."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def slow(x: float, inv_step: float, theta: float) -> int:
    scaled = to_float32(abs(x) * inv_step)
    scaled = max(to_float32(scaled - theta), 0.0)
    magnitude = (
        MAX_MAGNITUDE if scaled > MAX_MAGNITUDE else min(round(scaled), MAX_MAGNITUDE)
    )  # round: half to even
    return -magnitude if math.copysign(1, x) < 0 else magnitude


def neighbours(value: float) -> list[float]:
    v = np.float32(value)
    return [float(v), float(np.nextafter(v, np.float32(-np.inf))), float(np.nextafter(v, np.float32(np.inf)))]


STEPS = [1.0, 0.1, 3.0, 0.7071068, 2.0**-20, 1e20]
THETAS = [0.0, 0.1, 0.25, 0.5]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("theta", THETAS)
def test_every_rounding_edge_matches_the_slow_quantiser(step: float, theta: float) -> None:
    inv_step = float(np.float32(1) / np.float32(step))
    theta = float(np.float32(theta))
    edges = [
        k + half + t
        for k in (0, 1, 2, 3, 100, 32765, 32766, 32767, 32768)
        for half in (0, 0.5)
        for t in (0, theta)
    ]
    values = [n for edge in edges for n in neighbours(edge * step)]
    values += [0.0, -0.0, 1e-45, 1e-40, float(np.finfo(np.float32).tiny), 3e38, math.inf]
    values += [-v for v in values]
    got = quantise(np.array(values, np.float32), np.float32(inv_step), np.float32(theta))
    assert got.dtype == np.int16
    assert got.tolist() == [slow(v, inv_step, theta) for v in values]


def test_random_values_match_the_slow_quantiser() -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(4000) * 10 ** rng.uniform(-3, 5, 4000)).astype(np.float32)
    inv_step = np.float32(1) / np.float32(0.37)
    want = [slow(float(v), float(inv_step), float(np.float32(0.15))) for v in x]
    assert quantise(x, inv_step, np.float32(0.15)).tolist() == want


def test_halves_round_to_even() -> None:
    x = np.array([0.5, 1.5, 2.5, 3.5, -0.5, -1.5, -2.5], np.float32)
    assert quantise(x, 1.0, 0.0).tolist() == [0, 2, 2, 4, 0, -2, -2]


def test_not_a_number_is_refused_with_its_place() -> None:
    x = np.zeros((2, 3), np.float32)
    x[1, 2] = np.nan
    with pytest.raises(InputError, match=r"index \(1, 2\)"):
        quantise(x, 1.0, 0.0)


def test_reconstruction_follows_the_specification() -> None:
    got = reconstruct(
        np.array([0, 1, -1, 2, -5], np.int16), np.float32(0.5), np.float32(0.9), np.float32(-0.25)
    )
    np.testing.assert_array_equal(got, np.array([0, 0.45, -0.45, 0.875, -2.375], np.float32))
    assert got.dtype == np.float32
