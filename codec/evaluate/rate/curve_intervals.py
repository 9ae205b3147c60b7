"""95 % intervals of what curves say: places and training sets are drawn again, for all methods together.

A method is kept as sums, like in `codec.evaluate.intervals`, with an axis more: R resamples of the training set × S
settings × G groups × F parts. A draw takes G groups with replacement, the same for every method and setting (that makes
differences *paired*; bytes are drawn with them, for easy places are cheap places), and R of the resamples, the same for
every method when they trained on the same tiles. Few resamples hide spread: a bootstrap of R values shows (R−1)/R of their
variance and normal tails where Student's belong. Their part of each draw's deviation is widened by both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, t

from codec.errors import InputError
from codec.evaluate.intervals import Interval, Statistic, mean_of
from codec.evaluate.rate.curves import Curve, bd_rate, bytes_for, curve, utility_at

FloatVector = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Quantity = Callable[
    [Sequence[Curve]], npt.ArrayLike
]  # curves, one per method → Q numbers, NaN where undefined
DRAWS = 1000
DEFINED = 0.95  # share of draws that must give a number; with fewer there is no honest interval


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How to draw. `same_resamples`: row r of every method was trained on the same tiles."""

    statistic: Statistic = mean_of
    same_resamples: bool = True
    draws: int = DRAWS
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """What one method reached. Raises InputError for shapes that do not belong together and values not finite."""

    sums: FloatVector  # R×S×G×F
    sizes: FloatVector  # S×G×2: bytes of the group's tiles, number of tiles

    def __post_init__(self) -> None:
        if self.sums.ndim != 4 or self.sizes.shape != (*self.sums.shape[1:3], 2) or not self.sums.size:
            raise InputError(
                "sums are resamples × settings × groups × parts, sizes settings × groups × 2",
                expected=self.sums.shape,
                found=self.sizes.shape,
            )
        if not (np.isfinite(self.sums).all() and np.isfinite(self.sizes).all()):
            raise InputError(
                "a sum or a size is not finite",
                fix="leave the uncompressed reference and failed settings out",
            )


def size_sums(sizes: npt.ArrayLike, groups: IntArray) -> FloatVector:
    """Bytes of N tiles at S settings, S×N, as S×G×2 for `Measured`; groups in the order of their numbers."""
    values = np.atleast_2d(np.asarray(sizes, np.float64))
    if values.shape[1] != len(groups) or not len(groups):
        raise InputError("one group per tile is needed", expected=values.shape[1], found=len(groups))
    index = np.unique(groups, return_inverse=True)[1]
    tiles = np.bincount(index).astype(np.float64)
    return np.stack([np.stack([np.bincount(index, row), tiles], axis=1) for row in values])


def without_bytes(sums: FloatVector) -> Measured:
    """Sums R×G×F of what is not sent as a method of one setting; its sizes mean nothing."""
    return Measured(sums[:, None], np.ones((1, sums.shape[1], 2)))


def draw(
    methods: Sequence[Measured], quantity: Quantity, how: Bootstrap = Bootstrap()
) -> tuple[FloatVector, FloatVector]:
    """A quantity of the measured curves, Q, and of the drawn ones, draws×Q.

    Raises InputError where methods differ in groups, or in resamples while `same_resamples`.
    """
    if not methods or len({m.sums.shape[2] for m in methods}) > 1:
        raise InputError("methods are compared on the same groups", found=[m.sums.shape for m in methods])
    counts = {len(m.sums) for m in methods}
    if how.same_resamples and len(counts) > 1:
        raise InputError("methods that share resamples have equally many", found=sorted(counts))
    rng, weights, shared = _weights(methods[0], how)
    drawn = []
    for method in methods:
        picks = (
            shared
            if how.same_resamples
            else rng.integers(len(method.sums), size=(how.draws, len(method.sums)))
        )
        drawn.append(_drawn(method, weights, picks, how.statistic))
    points = [_whole(method, how) for method in methods]
    value = np.atleast_1d(np.asarray(quantity([curve(s[0], u[0]) for s, u in points]), np.float64))
    found = np.empty((how.draws, len(value)))
    for d in range(how.draws):
        found[d] = quantity([curve(sizes[d], utility[d]) for sizes, utility in drawn])
    return value, found


def point_intervals(
    method: Measured, how: Bootstrap = Bootstrap(), *, reference: FloatVector | None = None
) -> list[Interval]:
    """Utility of each setting, as `draw` gives it for one method, without a curve between them.

    `reference`: sums R×G×F whose utility is taken off, drawn with the method's places and resamples.
    """
    _, weights, picks = _weights(method, how)
    value, drawn = _whole(method, how)[1], _drawn(method, weights, picks, how.statistic)[1]
    if reference is not None:
        beside = without_bytes(reference)
        value = value - _whole(beside, how)[1]
        drawn = drawn - _drawn(beside, weights, picks, how.statistic)[1]
    return [interval(float(v), drawn[:, s]) for s, v in enumerate(value[0])]


def _weights(first: Measured, how: Bootstrap) -> tuple[np.random.Generator, FloatVector, IntArray]:
    """Of each draw how often each group counts, and which resamples; the generator for what is drawn besides."""
    rng = np.random.default_rng(how.seed)
    groups = first.sums.shape[2]
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=how.draws).astype(np.float64)
    return rng, weights, rng.integers(len(first.sums), size=(how.draws, len(first.sums)))


def _whole(method: Measured, how: Bootstrap) -> tuple[FloatVector, FloatVector]:
    """Bytes and utility of all groups and resamples, each 1×S."""
    groups, resamples = method.sums.shape[2], len(method.sums)
    return _drawn(method, np.ones((1, groups)), np.arange(resamples)[None], how.statistic)


def interval(value: float, drawn: FloatVector) -> Interval:
    """The 2.5 and 97.5 percentiles of the draws; NaN ends where less than 95 % of them gave a number."""
    if np.isfinite(drawn).mean() < DEFINED:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return Interval(value, float(low), float(high))


def utility_intervals(
    ours: Measured,
    rival: Measured | None,
    size: npt.ArrayLike,
    how: Bootstrap = Bootstrap(),
    *,
    reference: FloatVector | None = None,
) -> list[Interval]:
    """Utility at each of the given bytes, or its difference to the rival's at the same bytes; NaN outside a curve.

    `reference`: sums R×G×F of what is not sent, in the place of a rival: its utility is taken off whatever the bytes.
    Raises InputError for both.
    """
    if rival is not None and reference is not None:
        raise InputError("a difference is to a rival or to a reference", fix="give one of them")
    other = rival if reference is None else without_bytes(reference)

    def quantity(curves: Sequence[Curve]) -> FloatVector:
        first = utility_at(curves[0], size)
        if other is None:
            return first
        return first - (utility_at(curves[1], size) if reference is None else curves[1].utility[0])

    return _intervals(ours, other, quantity, how)


def bd_rate_interval(ours: Measured, rival: Measured, how: Bootstrap = Bootstrap()) -> Interval:
    """BD-rate of utility, percent of the rival's bytes."""
    return _intervals(ours, rival, lambda curves: bd_rate(curves[0], curves[1]).value, how)[0]


Outside = Literal["", "at most", "at least", "either way"]
# By whether the truth may be lower, and whether it may be higher, than an end of a curve.
_OUTSIDE: dict[tuple[bool, bool], Outside] = {
    (False, False): "",
    (True, False): "at most",
    (False, True): "at least",
    (True, True): "either way",
}


@dataclass(frozen=True, slots=True)
class ByteInterval:
    """Bytes, or a ratio of bytes, with its interval; `low_open`, `high_open`: that end is a bound, the curve ended."""

    value: float
    low: float
    high: float
    low_open: bool
    high_open: bool
    outside: Outside = ""  # where the truth lies when the value is an end of a curve; empty: it is inside

    @property
    def note(self) -> str:
        """What a row's unit says of it."""
        said = [
            f"{self.outside}: not reached inside the curves" if self.outside else "",
            "low end open" if self.low_open else "",
            "high end open" if self.high_open else "",
        ]
        return "; ".join(["95% interval", *filter(None, said)])


def bytes_interval(
    ours: Measured,
    rival: Measured | None,
    utility: float,
    how: Bootstrap = Bootstrap(),
    *,
    reference: FloatVector | None = None,
) -> ByteInterval:
    """Bytes for a utility, or the rival's bytes over ours (above 1: ours needs fewer).

    `reference`: sums R×G×F of what `utility` is added to (below 0: a loss). It is drawn with the methods: places that are
    hard for them are hard for the reference, and the loss is a paired one.

    Where a drawn curve does not cross the utility it counts with its end, as the note on the dense gap does; an end of the
    interval that more than 2.5 % of the draws cut is marked open.
    """

    methods = [ours] if rival is None else [ours, rival]
    beside = []
    if reference is not None:
        beside = [without_bytes(reference)]

    def quantity(curves: Sequence[Curve]) -> FloatVector:
        base = 0.0 if reference is None else float(curves[-1].utility[0])
        found = [bytes_for(c, base + utility) for c in curves[: len(methods)]]
        log = [float(np.log2(f.size)) for f in found]
        # ours "at most" bounds our bytes from above: the truth is lower. In a ratio that is the numerator's other way round.
        lower, upper = found[0].end == "at most", found[0].end == "never"
        if rival is None:
            return np.array([log[0], lower, upper])
        return np.array(
            [log[1] - log[0], upper or found[1].end == "at most", lower or found[1].end == "never"]
        )

    value, drawn = draw([*methods, *beside], quantity, how)
    low, high = np.percentile(drawn[:, 0], (2.5, 97.5))
    cut = drawn[:, 1:].mean(0) > 0.025
    return ByteInterval(
        float(2 ** value[0]),
        float(2**low),
        float(2**high),
        bool(cut[0]),
        bool(cut[1]),
        _OUTSIDE[bool(value[1]), bool(value[2])],
    )


def smallest_detectable(difference: Interval, power: float = 0.8) -> float:
    """The smallest true difference that this set would show as significant in `power` of all repetitions.

    (1.96 + the power's normal quantile) standard errors, the error read from the interval's half-width. At power 0.5 it is
    the half-width itself.
    """
    if not 0.5 <= power < 1:
        raise InputError("power lies between 0.5 and 1", found=power)
    return float(difference.half_width * (1 + norm.ppf(power) / norm.ppf(0.975)))


def _intervals(ours: Measured, rival: Measured | None, quantity: Quantity, how: Bootstrap) -> list[Interval]:
    value, drawn = draw([ours] if rival is None else [ours, rival], quantity, how)
    return [interval(float(v), drawn[:, q]) for q, v in enumerate(value)]


def _drawn(
    method: Measured, weights: FloatVector, picks: IntArray, statistic: Statistic
) -> tuple[FloatVector, FloatVector]:
    """Bytes per tile and utility of each draw, each draws×S."""
    n = len(method.sums)
    totals = np.einsum("dg,sgp->dsp", weights, method.sizes)
    utility = np.empty((len(weights), method.sums.shape[1]))
    for s in range(utility.shape[1]):
        each = np.stack([statistic(weights @ one) for one in method.sums[:, s]])  # R×draws
        mean = each.mean(0)
        deviation = np.take_along_axis(each, picks.T, axis=0).mean(0) - mean
        utility[:, s] = mean + _widening(n) * deviation
    return np.asarray(totals[..., 0] / totals[..., 1], np.float64), utility


def _widening(resamples: int) -> float:
    """What a bootstrap of so few values must be stretched by: the lost variance, and Student's tails over the normal's."""
    if resamples == 1:
        return 1.0  # the mean of one value has no deviation to stretch
    return float((resamples / (resamples - 1)) ** 0.5 * t.ppf(0.975, resamples - 1) / norm.ppf(0.975))
