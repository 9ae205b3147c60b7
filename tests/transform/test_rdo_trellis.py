"""The offline estimate of dependent quantisation: its trellises, its search, and its gain where theory knows it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.nec.trellis import Model, Trellis, best_candidates, search

# State transitions by parity and states that use Q1, as in H.266 (ITU-T H.266 (2020), 7.3.10.11).
H266 = {0: (0, 2), 1: (2, 0), 2: (1, 3), 3: (3, 1)}
H266_Q1 = {2, 3}


def test_four_states_are_those_of_h266_under_other_names() -> None:
    trellis = Trellis.of(2)
    names = [
        order
        for order in itertools.permutations(range(4))
        if all(
            (trellis.quantiser[order[s]] == 1) == (s in H266_Q1)
            and tuple(trellis.following[order[s]]) == tuple(order[t] for t in H266[s])
            for s in range(4)
        )
    ]
    assert names


@pytest.mark.parametrize("memory", [2, 3])
def test_every_state_is_reached_from_two_and_both_quantisers_from_each_pair(memory: int) -> None:
    trellis = Trellis.of(memory)
    assert np.bincount(trellis.following.ravel()).tolist() == [2] * (1 << memory)
    assert (trellis.following[:, 0] != trellis.following[:, 1]).all()
    assert trellis.quantiser.sum() == 1 << (memory - 1)


@pytest.mark.parametrize("memory", [0, 2, 3])
def test_the_search_finds_the_path_of_least_loss(memory: int) -> None:
    trellis, model = Trellis.of(memory), Model.first(40)
    rng = np.random.default_rng(memory)
    level, tradeoff = np.array([14, 16, 18, 20, 16]), 0.06
    a = np.abs(rng.laplace(size=(6, 5))) * 2.0 ** ((level - 16) / 4)
    k, used = search(best_candidates(a, level, model, tradeoff, False), trellis)

    def loss(row: int, path: tuple[int, ...]) -> float:
        state, total = 0, 0.0
        for t, m in enumerate(path):
            q = int(trellis.quantiser[state])
            point = model.points[level[t], q, m]
            total += (a[row, t] - point) ** 2 + tradeoff * model.bits[level[t], q, m]
            state = int(trellis.following[state, m & 1])
        return total

    for row in range(len(a)):
        near = [sorted({0, *(int(v) for v in np.floor(x) + np.arange(-1, 3) if v >= 0)}) for x in a[row]]
        least = min(loss(row, path) for path in itertools.product(*near))
        assert loss(row, tuple(k[row])) == pytest.approx(least, rel=1e-5)
        state = 0
        for t in range(5):
            assert used[row, t] == trellis.quantiser[state]
            state = int(trellis.following[state, k[row, t] & 1])


def test_eight_states_gain_over_scalar_what_is_known_of_them() -> None:
    """Granular gains of entropy-coded trellises lie between 0.8 and 1.1 dB at high rate (Marcellin 1994, of 1.53 dB)."""
    a = np.abs(np.random.default_rng(1).laplace(scale=2**-0.5, size=(16, 1000))) * 4.0
    level = np.full(1000, 24)

    def bits_and_decibels(memory: int, scale: float, tradeoff: float) -> tuple[float, float]:
        x, model, trellis = a * scale, Model.first(40), Trellis.of(memory)
        for _ in range(3):
            k, used = search(best_candidates(x, level, model, tradeoff, False), trellis)
            model = model.refit(np.broadcast_to(level, k.shape).ravel(), used.ravel(), k.ravel(), x.ravel())
        error = np.square(x - model.points[24, used, k]).mean() / scale**2
        return float(model.bits[24, used, k].mean()), float(10 * np.log10(error))

    bits, noise = bits_and_decibels(0, 1.0, 0.1155)
    curve = sorted(bits_and_decibels(3, scale, 0.09) for scale in (0.8, 0.9, 1.0))
    at = np.interp(bits, [b for b, _ in curve], [d for _, d in curve])
    assert curve[0][0] < bits < curve[-1][0]
    assert 0.7 < noise - at < 1.3


@pytest.mark.parametrize(("level", "least", "most"), [(10, -0.02, 0.15), (14, 0.4, 1.2)])
def test_the_gain_goes_with_the_rate_and_no_bound_is_crossed(level: int, least: float, most: float) -> None:
    """Of a Gaussian source D ≥ 2^(−2R), and scalar quantisation of zeros is all but optimal below a twentieth of a bit."""
    a = np.abs(np.random.default_rng(2).standard_normal((24, 1000))) * 2.0 ** ((level - 16) / 4)
    levels, scale = np.full(1000, level), 2.0 ** ((level - 16) / 4)

    def excess(memory: int, tradeoff: float) -> tuple[float, float]:
        """Bits, and decibels above the bound."""
        model, trellis = Model.first(40), Trellis.of(memory)
        for _ in range(4):
            k, used = search(best_candidates(a, levels, model, tradeoff, False), trellis)
            model = model.refit(np.broadcast_to(levels, k.shape).ravel(), used.ravel(), k.ravel(), a.ravel())
        bits = float(model.bits[level, used, k].mean())
        error = float(np.square(a - model.points[level, used, k]).mean()) / scale**2
        return bits, 10 * np.log10(error) + 20 * np.log10(2) * bits

    scalar, trellis = excess(0, 0.1155), excess(3, 0.12)
    assert trellis[1] > -0.05
    assert abs(scalar[0] - trellis[0]) < 0.15
    assert least < scalar[1] - trellis[1] < most
