"""Curves against hand calculation and independent implementations; intervals against the truth they must cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator
from scipy.stats import t
from sklearn.isotonic import IsotonicRegression

from codec.errors import InputError
from codec.evaluate.intervals import Interval, accuracy_of, bootstrap, confusion_sums
from codec.evaluate.rate.curve_intervals import (
    Bootstrap,
    Measured,
    bd_rate_interval,
    bytes_interval,
    point_intervals,
    size_sums,
    smallest_detectable,
    utility_intervals,
    without_bytes,
)
from codec.evaluate.rate.curves import bd_rate, bytes_for, curve, utility_at

SIZES = np.array([16.0, 32, 64, 128, 256, 512])
LINE = 0.5 + 0.05 * np.log2(SIZES / 16)  # 0.05 per doubling: straight in log bytes


def test_half_the_bytes_at_every_utility_is_minus_fifty_percent() -> None:
    found = bd_rate(curve(SIZES / 2, LINE), curve(SIZES, LINE))
    assert found.value == pytest.approx(-50, abs=1e-9)
    assert (found.low, found.high, found.reason) == (LINE[0], LINE[-1], None)
    assert bd_rate(curve(SIZES, LINE), curve(SIZES / 2, LINE)).value == pytest.approx(100, abs=1e-9)


def test_rates_need_not_be_the_same_nor_in_order() -> None:
    """Three points of the same line, shuffled, against six: no difference, over the common part only."""
    few = curve([300.0, 20.0, 90.0], 0.5 + 0.05 * np.log2(np.array([300.0, 20, 90]) / 16))
    found = bd_rate(few, curve(SIZES, LINE))
    assert found.value == pytest.approx(0, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((few.utility[0], few.utility[-1]))


def test_curves_without_common_utility_have_no_bd_rate_and_say_why() -> None:
    found = bd_rate(curve(SIZES, LINE), curve(SIZES, LINE + 1))
    assert np.isnan(found.value)
    assert found.reason == "the curves have no utility in common"
    flat = bd_rate(curve(SIZES, np.full(6, 0.7)), curve(SIZES, LINE))
    assert np.isnan(flat.value)
    assert flat.reason == "ours has one level of utility only"


def test_a_bd_rate_is_the_mean_of_monotone_cubics_on_a_fine_grid() -> None:
    """The same mean from scipy's interpolant evaluated point by point, midpoint rule, instead of its exact integral."""
    a_size, a = np.array([20.0, 55, 130, 400, 900]), np.array([0.52, 0.71, 0.78, 0.83, 0.84])
    b_size, b = np.array([30.0, 80, 200, 700]), np.array([0.50, 0.60, 0.80, 0.82])
    middle = (np.arange(200_000) + 0.5) / 200_000
    at = 0.52 + middle * (0.82 - 0.52)
    gap = PchipInterpolator(a, np.log(a_size))(at) - PchipInterpolator(b, np.log(b_size))(at)
    assert bd_rate(curve(a_size, a), curve(b_size, b)).value == pytest.approx(
        100 * (np.exp(gap.mean()) - 1), rel=1e-6
    )


def test_utility_is_never_extrapolated_and_never_overshoots() -> None:
    measured = curve([10.0, 20, 40, 80], [0.5, 0.9, 0.9, 0.95])
    found = utility_at(measured, [9.9, 10, 20, 28, 40, 80, 80.1])
    assert np.isnan(found[[0, -1]]).all()
    assert found[1:-1] == pytest.approx([0.5, 0.9, 0.9, 0.9, 0.95])  # flat stays flat between equal points
    line = utility_at(curve(SIZES, LINE), np.sqrt(SIZES[:-1] * SIZES[1:]))
    assert line == pytest.approx((LINE[:-1] + LINE[1:]) / 2)  # half way in log bytes
    assert utility_at(curve([64.0], [0.7]), [64.0, 65.0])[0] == 0.7
    assert np.isnan(utility_at(curve([64.0], [0.7]), [65.0])[0])


def test_bytes_for_a_utility_agree_with_hand_calculation() -> None:
    """Between 32 B (0.55) and 64 B (0.60), 0.56 lies a fifth of a doubling up."""
    found = bytes_for(curve(SIZES, LINE), 0.56)
    assert (found.size, found.end) == (pytest.approx(32 * 2**0.2), "inside")
    assert bytes_for(curve(SIZES, LINE), LINE[3]).size == pytest.approx(SIZES[3])


def test_bytes_for_a_utility_outside_the_curve_are_bounds() -> None:
    below, above = bytes_for(curve(SIZES, LINE), 0.3), bytes_for(curve(SIZES, LINE), 0.9)
    assert (below.size, below.end) == (16, "at most")
    assert (above.size, above.end) == (512, "never")


def test_noise_that_falls_with_bytes_is_averaged_before_the_crossing_is_read() -> None:
    """The crossing on sklearn's isotonic fit, found by trying sizes one by one."""
    noisy = np.array([0.50, 0.62, 0.58, 0.70, 0.66, 0.80])
    fit = IsotonicRegression().fit_transform(np.log(SIZES), noisy)
    for target in (0.55, 0.599, 0.64, 0.69, 0.75):
        dense = np.exp(np.linspace(np.log(16), np.log(512), 400_001))
        level = np.interp(np.log(dense), np.log(SIZES), fit)
        expected = dense[np.argmax(level >= target - 1e-12)]
        assert bytes_for(curve(SIZES, noisy), target).size == pytest.approx(expected, rel=1e-4)


def test_a_stretch_without_gain_counts_with_its_mean_log_bytes() -> None:
    """0.6 at 32 and at 128: one level at 64. Against the line through (16, .5), (64, .6), (256, .7) nothing is left."""
    ours = curve([16.0, 32, 128, 256], [0.5, 0.6, 0.6, 0.7])
    assert bd_rate(ours, curve([16.0, 64, 256], [0.5, 0.6, 0.7])).value == pytest.approx(0, abs=1e-9)


def test_settings_of_equal_bytes_become_one_point() -> None:
    merged = curve([10.0, 10.0, 20.0], [0.4, 0.6, 0.7])
    assert merged.size.tolist() == [10, 20]
    assert merged.utility.tolist() == [0.5, 0.7]


@pytest.mark.parametrize(
    ("size", "utility"),
    [([], []), ([10.0, np.inf], [0.5, 0.6]), ([0.0, 1.0], [0.5, 0.6]), ([1.0, 2.0], [0.5, np.nan]), ([1.0], [0.5, 1])],
    ids=["empty", "uncompressed", "no bytes", "no score", "lengths"],
)  # fmt: skip
def test_points_that_cannot_lie_on_a_curve_are_refused(size: list[float], utility: list[float]) -> None:
    with pytest.raises(InputError):
        curve(size, utility)


def two_methods(
    rng: np.random.Generator, groups: int, resamples: int, shift: float = 1.0
) -> tuple[Measured, Measured]:
    """Rival on LINE, ours on the line of `shift` doublings fewer bytes; places, training sets and both together vary."""
    sizes = SIZES[:, None] * np.exp(0.2 * rng.standard_normal(groups))
    tiles = np.ones((len(SIZES), groups))
    place = 0.06 * rng.standard_normal(groups)
    trained = 0.01 * rng.standard_normal((2, resamples, 1))
    methods = []
    for side, factor in ((0, 2.0**-shift), (1, 1.0)):
        own = 0.04 * rng.standard_normal(groups)
        score = LINE[None, :, None] + trained[side][:, :, None] + place + own
        sums = np.stack([score, np.ones_like(score)], axis=-1)
        methods.append(Measured(sums, np.stack([factor * sizes, tiles], axis=-1)))
    return methods[0], methods[1]


def coverage(repetitions: int, draws: int, groups: int) -> dict[str, float]:
    """Share of the intervals that hold the truth: −50 % of bytes, +0.05 of utility at 64 bytes."""
    hits = {"BD-rate": 0, "at equal bytes": 0}
    for repetition in range(repetitions):
        ours, rival = two_methods(np.random.default_rng([7, repetition]), groups, 5)
        how = Bootstrap(draws=draws, seed=repetition)
        rate = bd_rate_interval(ours, rival, how)
        at = utility_intervals(ours, rival, [64.0], how)[0]
        hits["BD-rate"] += rate.low <= -50 <= rate.high
        hits["at equal bytes"] += at.low <= 0.05 <= at.high
    return {name: count / repetitions for name, count in hits.items()}


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Of 40 intervals of 93 % (so few draws know the ends less well) 33 hold it in 993 of 1000 such tests (binomial)."""
    for name, share in coverage(40, 60, 40).items():
        assert share >= 33 / 40, name


@pytest.mark.long
def test_intervals_hold_the_truth_in_95_of_100() -> None:
    for name, share in coverage(500, 400, 40).items():
        assert 0.925 <= share <= 0.985, name


def test_pairing_takes_out_what_both_methods_share() -> None:
    """Places differ by 0.06, methods on a place by nothing: the difference is certain, each alone is not."""
    rng = np.random.default_rng(0)
    place = 0.06 * rng.standard_normal(40)
    sizes = size_sums(np.repeat(SIZES[:, None], 40, axis=1), np.arange(40))
    sides = []
    for more in (0.05, 0.0):
        score = np.broadcast_to(LINE[None, :, None] + place + more, (5, 6, 40))
        sides.append(Measured(np.stack([score, np.ones_like(score)], axis=-1), sizes))
    both = utility_intervals(sides[0], sides[1], [100.0])[0]
    alone = utility_intervals(sides[0], None, [100.0])[0]
    assert (both.low, both.high) == pytest.approx((0.05, 0.05))
    assert alone.half_width == pytest.approx(1.96 * 0.06 / 40**0.5, rel=0.35)


def test_one_resample_gives_the_interval_of_the_plain_bootstrap() -> None:
    """At a measured rate the curve is its point: the interval is that of the sums alone, by `intervals.bootstrap`."""
    rng = np.random.default_rng(1)
    truth, groups = rng.integers(0, 3, 300), np.arange(300) // 10
    found = np.where(rng.random((6, 300)) < LINE[:, None], truth, (truth + 1) % 3)
    sums = confusion_sums(truth, found, groups, 3)[None]
    measured = Measured(sums, size_sums(np.repeat(SIZES[:, None], 300, axis=1), groups))
    ours = utility_intervals(measured, None, [64.0], Bootstrap(accuracy_of, draws=2000))[0]
    plain = bootstrap(sums[:, 2], statistic=accuracy_of, draws=2000)
    assert ours.value == pytest.approx(plain.value)
    assert (ours.low, ours.high) == pytest.approx((plain.low, plain.high), abs=0.1 * plain.half_width)


def test_training_sets_widen_the_interval_as_student_s_t_does() -> None:
    """Places alike: the mean of five training sets, ± t(4) · s / √5, s their standard deviation."""
    level = np.array([0.00, 0.01, -0.02, 0.015, -0.005])
    score = np.broadcast_to(LINE[None, :, None] + level[:, None, None], (5, 6, 20))
    sizes = size_sums(np.repeat(SIZES[:, None], 20, axis=1), np.arange(20))
    found = utility_intervals(
        Measured(np.stack([score, np.ones_like(score)], axis=-1), sizes), None, [64.0], Bootstrap(draws=3000)
    )[0]
    assert found.half_width == pytest.approx(2.776 * level.std(ddof=1) / 5**0.5, rel=0.08)


def test_bytes_follow_the_drawn_places() -> None:
    """Two places of 10 and 30 bytes: the mean of a draw is 10, 20 or 30, so its curve's point moves with it."""
    sizes = np.array([[[10.0, 1], [30.0, 1]], [[40.0, 1], [120.0, 1]]])
    score = np.broadcast_to(np.array([0.5, 0.7])[None, :, None], (1, 2, 2))
    found = bytes_interval(Measured(np.stack([score, np.ones_like(score)], axis=-1), sizes), None, 0.6)
    assert (found.value, found.low, found.high) == pytest.approx((40, 20, 60))
    assert not found.low_open
    assert not found.high_open
    assert not found.outside


def test_bytes_at_a_loss_do_not_depend_on_how_hard_the_drawn_places_are() -> None:
    """Every place loses 0.1 at 10 bytes and nothing at 40, so 0.05 is lost at 20 bytes whichever places are drawn."""
    level = np.array([0.3, 0.6, 0.9, 0.5])
    score = np.stack([level - 0.1, level])[None]
    sizes = size_sums(np.array([[10.0] * 4, [40.0] * 4]), np.arange(4))
    measured = Measured(np.stack([score, np.ones_like(score)], axis=-1), sizes)
    reference = np.stack([level, np.ones(4)], axis=-1)[None]
    found = bytes_interval(measured, None, -0.05, Bootstrap(draws=100), reference=reference)
    assert (found.value, found.low, found.high) == pytest.approx((20, 20, 20))
    fixed = bytes_interval(measured, None, float(level.mean()) - 0.05, Bootstrap(draws=100))
    assert (fixed.value, fixed.low, fixed.high) == pytest.approx((20, 10, 40))


def test_an_interval_of_bytes_says_where_the_curve_ended() -> None:
    rng = np.random.default_rng(4)
    score = LINE[None, :, None] + 0.1 * rng.standard_normal((5, 1, 20))
    sizes = size_sums(np.repeat(SIZES[:, None], 20, axis=1), np.arange(20))
    measured = Measured(np.stack([score, np.ones_like(score)], axis=-1), sizes)
    high = bytes_interval(measured, None, float(score.mean((0, 2))[-1]) - 0.005)
    assert (high.high, high.high_open, high.low_open) == (pytest.approx(512), True, False)
    never = bytes_interval(measured, None, 2.0)
    assert (never.outside, never.high_open) == ("at least", True)
    ratio = bytes_interval(measured, measured, 0.6)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize(
    ("ours", "rival", "low_open", "high_open"),
    [(0.0, 0.5, True, False), (0.0, -0.5, False, True), (0.5, 0.0, False, True), (-0.5, 0.0, True, False)],
    ids=["rival needs less than it shows", "rival never", "ours needs less than it shows", "ours never"],
)
def test_a_ratio_of_bytes_is_a_bound_where_one_curve_ends(
    ours: float, rival: float, low_open: bool, high_open: bool
) -> None:
    """0.6 lies on LINE, below all of LINE + 0.5 and above all of LINE − 0.5; the ratio is rival over ours."""
    sizes = size_sums(np.repeat(SIZES[:, None], 4, axis=1), np.arange(4))

    def at(shift: float) -> Measured:
        score = np.broadcast_to(LINE[None, :, None] + shift, (5, 6, 4))
        return Measured(np.stack([score, np.ones_like(score)], axis=-1), sizes)

    found = bytes_interval(at(ours), at(rival), 0.6, Bootstrap(draws=20))
    said = "at most" if low_open else "at least"
    assert (found.low_open, found.high_open, found.outside) == (low_open, high_open, said)
    parts = found.note.split("; ")
    assert parts[:2] == ["95% interval", f"{said}: not reached inside the curves"]
    assert ("low end open" in parts, "high end open" in parts) == (low_open, high_open)


def test_the_ratio_of_bytes_of_half_the_bytes_is_two() -> None:
    ours, rival = two_methods(np.random.default_rng(2), 200, 5)
    found = bytes_interval(ours, rival, 0.6, Bootstrap(draws=400))
    assert found.low < 2 < found.high
    # Training sets: 2.78 · 0.01 · √(2/5) = 0.018 of utility, 0.35 doublings; five values know their spread to a third.
    assert found.high / found.low < 2 ** (2 * 0.35 * 1.8)


def test_where_few_draws_give_a_number_there_is_no_interval() -> None:
    """At the smallest measured mean size half of the drawn curves begin above it."""
    ours, _ = two_methods(np.random.default_rng(3), 30, 5)
    smallest = float((ours.sizes[0, :, 0].sum()) / 30)
    found = utility_intervals(ours, None, [smallest], Bootstrap(draws=200))[0]
    assert np.isfinite(found.value)
    assert np.isnan([found.low, found.high]).all()


def test_the_smallest_detectable_difference_is_that_of_the_textbook() -> None:
    """Standard error 1: 1.96 at even odds, 2.80 at 80 %, 3.24 at 90 % (Cohen 1988)."""
    one = Interval(0.3, 0.3 - 1.959964, 0.3 + 1.959964)
    assert smallest_detectable(one, 0.5) == pytest.approx(1.96, abs=0.005)
    assert smallest_detectable(one) == pytest.approx(2.80, abs=0.005)
    assert smallest_detectable(one, 0.9) == pytest.approx(3.24, abs=0.005)


def test_what_cannot_be_compared_is_refused() -> None:
    ours, rival = two_methods(np.random.default_rng(0), 10, 5)
    fewer = Measured(rival.sums[:, :, :9], rival.sizes[:, :9])
    with pytest.raises(InputError, match="same groups"):
        bd_rate_interval(ours, fewer)
    with pytest.raises(InputError, match="equally many"):
        bd_rate_interval(ours, Measured(rival.sums[:3], rival.sizes))
    with pytest.raises(InputError, match="not finite"):
        Measured(np.where(ours.sums == ours.sums[0, 0, 0, 0], np.nan, ours.sums), ours.sizes)
    with pytest.raises(InputError, match="resamples"):
        Measured(ours.sums[0], ours.sizes)
    with pytest.raises(InputError, match="one group"):
        size_sums(np.ones((2, 5)), np.arange(4))
    with pytest.raises(InputError, match="power"):
        smallest_detectable(Interval(0, -1, 1), 1.0)


def test_a_difference_of_five_training_sets_has_students_width() -> None:
    """Spread from training sets alone: half the width is t(0.975, 4) · s / √5 (Student 1908), not the normal's 1.96."""
    lost = np.array([0.01, 0.03, 0.02, 0.05, 0.04])
    groups = 40
    ours = np.stack([np.stack([np.full(groups, 0.8 - x), np.ones(groups)], axis=1) for x in lost])
    reference = np.stack([np.stack([np.full(groups, 0.8), np.ones(groups)], axis=1)] * 5)
    how = Bootstrap(draws=4000)
    (found,) = point_intervals(without_bytes(ours), how, reference=reference)
    assert found.value == pytest.approx(-0.03)
    expected = t.ppf(0.975, 4) * lost.std(ddof=1) / 5**0.5
    assert found.half_width == pytest.approx(expected, rel=0.1)
