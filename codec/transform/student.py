"""Quantiles of Student's t distribution for whole degrees of freedom, without scipy."""

from __future__ import annotations

import math

from codec.errors import InputError


def two_sided_probability(t: float, degrees: int) -> float:
    """P(|T| ≤ t), by the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    theta = math.atan2(t, math.sqrt(degrees))
    cosine = math.cos(theta)
    odd = degrees % 2
    if degrees == 1:
        return 2 * theta / math.pi
    term = cosine if odd else 1.0
    total = term
    for i in range(2 + odd, degrees, 2):
        term *= cosine * cosine * (i - 1) / i
        total += term
    total *= math.sin(theta)
    return (theta + total) * 2 / math.pi if odd else total


def two_sided_quantile(probability: float, degrees: int) -> float:
    """The t that |T| does not exceed with this probability. Raises InputError outside 0 … 1 or below one degree."""
    if not 0 < probability < 1 or degrees < 1:
        raise InputError(
            "a quantile needs a probability between 0 and 1 and at least one degree of freedom",
            found=f"{probability} and {degrees}",
        )
    low, high = 0.0, 1.0
    while two_sided_probability(high, degrees) < probability and high < 1e9:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        if two_sided_probability(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return high
