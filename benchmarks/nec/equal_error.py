"""Bytes at equal error of two codecs on the same tiles, with intervals over places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

FloatVector = npt.NDArray[np.float64]
DRAWS = 500


@dataclass(frozen=True)
class Point:
    """One codec at one quality on N tiles."""

    bytes: FloatVector  # N; the sum is what records take
    errors: FloatVector  # N squared errors

    def only(self, chosen: npt.NDArray[np.bool_]) -> Point:
        """Some of the tiles, with their share of the records' bytes."""
        return Point(self.bytes[chosen], self.errors[chosen])


@dataclass(frozen=True)
class Ratio:
    """Bytes of one codec over another's at equal error, with a 95 % interval, and the rival's bytes per tile."""

    value: float
    low: float
    high: float
    bytes: float
    n: int


def _weights(groups: npt.NDArray[np.int64], seed: int) -> FloatVector:
    """How often each tile counts, (1 + draws)×N: first as it is, then with places drawn again."""
    names, index = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng([seed, len(names)])
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)[:, index]
    return np.concatenate([np.ones((1, len(groups))), drawn]).astype(np.float64)


def bytes_at_error(curve: Sequence[Point], error: FloatVector, weights: FloatVector) -> FloatVector:
    """Bytes of each draw where the curve has the error of that draw, NaN off the curve.

    A monotone cubic between the points in logarithms: the curve is hollow, and straight lines between every third index
    of a ladder would say up to 6 % too few bytes, between every index 1 %.
    """
    x = np.log(np.stack([weights @ p.errors for p in curve]))  # points × draws
    y = np.log(np.stack([weights @ p.bytes for p in curve]))
    order = np.argsort(x[:, 0])
    found = np.empty(weights.shape[0])
    for d, wanted in enumerate(np.log(error)):
        at, size = x[order, d], y[order, d]
        rising = np.concatenate([[True], np.diff(np.maximum.accumulate(at)) > 0])
        inside = at.min() <= wanted <= at.max() and rising.sum() > 1
        found[d] = PchipInterpolator(at[rising], size[rising])(wanted) if inside else np.nan
    return np.exp(found)


def ratio(
    ours: Sequence[Sequence[Point]],
    rival: Sequence[Point],
    groups: npt.NDArray[np.int64],
    seed: int = 0,
) -> Ratio:
    """Ours over the rival's bytes at the rival's own error, over several splits.

    `ours`: a curve per split, `rival`: one point per split. The value is the geometric mean over splits; a draw takes
    places and splits again.
    """
    weights = _weights(groups, seed)
    logs = []
    for curve, point in zip(ours, rival, strict=True):
        mine = bytes_at_error(curve, weights @ point.errors, weights)
        logs.append(np.log(mine / (weights @ point.bytes)))
    table = np.stack(logs)  # splits × (1 + draws)
    rng = np.random.default_rng([seed, 1])
    picks = rng.integers(len(table), size=(len(table), DRAWS))
    drawn = np.take_along_axis(table[:, 1:], picks, axis=0).mean(axis=0)
    enough = np.isfinite(drawn).mean() >= 0.95
    low, high = np.exp(np.nanpercentile(drawn, (2.5, 97.5))) if enough else (np.nan, np.nan)
    size = float(np.mean([p.bytes.mean() for p in rival]))
    return Ratio(float(np.exp(table[:, 0].mean())), float(low), float(high), size, len(groups))


def times(ours: FloatVector, rival: FloatVector, groups: npt.NDArray[np.int64], seed: int = 0) -> Ratio:
    """Ours over the rival's bytes (N each) at one quality."""
    weights = _weights(groups, seed)
    found = (weights @ ours) / (weights @ rival)
    low, high = np.percentile(found[1:], (2.5, 97.5))
    return Ratio(float(found[0]), float(low), float(high), float(rival.mean()), len(groups))
