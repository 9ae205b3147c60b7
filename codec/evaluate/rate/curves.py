"""Utility against bytes: what two curves say about each other where both were measured, and nothing beyond.

Everything is interpolated in log bytes and never extrapolated. Three questions:

    utility at equal bytes     monotone piecewise cubics (Fritsch and Carlson 1980) through the points as measured
    bytes for a utility        isotonic regression first (more bytes cannot hurt; where they seem to, it is noise), then
                               straight lines
    BD-rate, BD-accuracy       Bjøntegaard's mean difference over the common range, by the same monotone cubics: the cubic
                               polynomial of the original bends outside its points on curves that saturate
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression

from codec.errors import InputError

FloatVector = npt.NDArray[np.float64]
End = Literal["inside", "at most", "never"]


@dataclass(frozen=True, slots=True)
class Curve:
    """One method: S rates with ascending, distinct bytes. Made by `curve`."""

    size: FloatVector  # S, bytes per tile, above 0
    utility: FloatVector  # S, larger is better

    @property
    def log_size(self) -> FloatVector:
        """S, base 2."""
        return np.asarray(np.log2(self.size), np.float64)


def curve(size: npt.ArrayLike, utility: npt.ArrayLike) -> Curve:
    """A curve from S points in any order; settings of equal bytes become one with their mean utility.

    Raises InputError for no points, for sizes that are not finite numbers above 0 and for utilities that are not finite.
    The uncompressed reference has no place on a curve unless its bytes are counted.
    """
    s, u = np.asarray(size, np.float64), np.asarray(utility, np.float64)
    if s.ndim != 1 or s.shape != u.shape or not len(s):
        raise InputError("a curve needs one utility for each of its sizes", expected=s.shape, found=u.shape)
    if not (np.isfinite(s) & (s > 0)).all() or not np.isfinite(u).all():
        raise InputError(
            "a point of a curve is not a size above 0 with a finite utility",
            found=(s.tolist(), u.tolist()),
            fix="leave the uncompressed reference out, and settings without a score",
        )
    order = np.argsort(s, kind="stable")
    if (s[order][1:] > s[order][:-1]).all():
        return Curve(s[order], u[order])
    names, index = np.unique(s, return_inverse=True)
    return Curve(names, np.bincount(index, u) / np.bincount(index))


def utility_at(measured: Curve, size: npt.ArrayLike) -> FloatVector:
    """Utility at the given bytes; NaN outside the measured range."""
    asked = np.log2(np.asarray(size, np.float64))
    at = measured.log_size
    if len(at) == 1:
        return np.where(asked == at[0], measured.utility[0], np.nan)
    return np.asarray(PchipInterpolator(at, measured.utility, extrapolate=False)(asked), np.float64)


@dataclass(frozen=True, slots=True)
class Reached:
    """Bytes at which a utility is reached.

    `end` is "inside" the measured range; "at most" the smallest size measured, which already reaches it; or "never", not
    even at the largest. Outside, `size` is that end of the curve.
    """

    size: float
    end: End


def bytes_for(measured: Curve, utility: float) -> Reached:
    """The smallest bytes at which the isotonic curve, straight in log bytes between its points, reaches a utility."""
    level = np.asarray(isotonic_regression(measured.utility).x, np.float64)
    if level[0] >= utility:
        return Reached(float(measured.size[0]), "at most")
    if level[-1] < utility:
        return Reached(float(measured.size[-1]), "never")
    i = int(np.argmax(level >= utility))  # level[i−1] < utility ≤ level[i]
    share = (utility - level[i - 1]) / (level[i] - level[i - 1])
    at = measured.log_size
    return Reached(float(2 ** (at[i - 1] + share * (at[i] - at[i - 1]))), "inside")


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean difference over the common range, or NaN and why."""

    value: float
    low: float  # the common range of utilities
    high: float
    reason: str | None = None


def bd_rate(ours: Curve, rival: Curve) -> Mean:
    """Mean change of bytes at equal utility, percent: −50 is half the rival's bytes.

    Log bytes as a function of utility over the utilities that both reach. Curves are made isotonic first; a stretch
    without gain becomes one point at its mean log bytes, for a utility must have one size.
    """
    a, b = _levels(ours), _levels(rival)
    low, high = max(a[0][0], b[0][0]), min(a[0][-1], b[0][-1])
    for (level, _), name in ((a, "ours"), (b, "the rival")):
        if len(level) < 2:
            return _undefined(low, high, f"{name} has one level of utility only")
    if not low < high:
        return _undefined(low, high, "the curves have no utility in common")
    gap = (_integral(*a, low, high) - _integral(*b, low, high)) / (high - low)
    return Mean(100 * (2**gap - 1), low, high)


def _undefined(low: float, high: float, reason: str) -> Mean:
    return Mean(float("nan"), float(low), float(high), reason)


def _levels(measured: Curve) -> tuple[FloatVector, FloatVector]:
    """Rising levels of the isotonic curve and the mean log bytes of each."""
    fit = np.asarray(isotonic_regression(measured.utility).x, np.float64)
    names, index = np.unique(fit, return_inverse=True)
    return names, np.asarray(np.bincount(index, measured.log_size) / np.bincount(index), np.float64)


def _integral(x: FloatVector, y: FloatVector, low: float, high: float) -> float:
    return float(PchipInterpolator(x, y).integrate(low, high))
