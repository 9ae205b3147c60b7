"""The weights λ at which the recipe lands on the published rates.

Every trial is a whole run with its own λ, kept in a folder of its own: those that land are the points. Between trials
log rate over log λ is taken as a line, through the two nearest trials where there are two.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.atomic import write_atomic
from codec.errors import InputError

RATES = (0.02, 0.09, 0.30, 1.5)  # bit per coded element, arXiv 2403.17886 on UC Merced
POINTS = "points.json"
_SLOPE = 0.7  # of log rate over log λ where fewer than two trials say it
_LONGEST = math.log(30.0)  # that one trial may move λ
_STEEPEST = 3.0
_FLATTEST = 0.2


@dataclass(frozen=True, slots=True)
class Trial:
    """One run: its λ and the rate that it reached."""

    weight: float
    rate: float

    def __post_init__(self) -> None:
        if not (self.weight > 0 and self.rate > 0 and math.isfinite(self.weight * self.rate)):
            raise InputError("a trial has a weight and a rate above 0", found=(self.weight, self.rate))


def next_weight(trials: Sequence[Trial], wanted: float, first: float) -> float:
    """λ for the rate `wanted`: `first` where nothing was tried."""
    if not trials:
        return first
    known = sorted({t.weight: t for t in trials}.values(), key=lambda t: abs(math.log(t.rate / wanted)))
    nearest = known[0]
    slope = _SLOPE
    across = [t for t in known[1:] if (t.rate - wanted) * (nearest.rate - wanted) < 0] or known[1:]
    if across:
        other = across[0]
        run, rise = math.log(other.weight / nearest.weight), math.log(other.rate / nearest.rate)
        # Two runs so near that their noise decides tell no slope.
        if abs(run) > 0.05:
            slope = min(_STEEPEST, max(_FLATTEST, rise / run))
    step = math.log(wanted / nearest.rate) / slope
    return nearest.weight * math.exp(min(_LONGEST, max(-_LONGEST, step)))


def search(
    attempt: Callable[[float], float],
    out: Path,
    *,
    first: float,
    rates: Sequence[float] = RATES,
    tolerance: float = 0.15,
    attempts: int = 5,
    tell: Callable[[str], None] = print,
) -> dict[float, float]:
    """Rate → λ. `attempt(λ)` trains and gives the rate; what was tried lies in `out`, and a search that stopped goes on.

    `tolerance`: of the rate, in its logarithm. Raises InputError where a rate is not reached in `attempts` new trials,
    naming how far it was missed; the nearest trial is then in the file all the same.
    """
    path = out / POINTS
    trials = [Trial(*pair) for pair in json.loads(path.read_text())["trials"]] if path.exists() else []
    missed = []
    for wanted in rates:
        left = attempts
        while _miss(trials, wanted) > tolerance and left:
            weight = float(f"{next_weight(trials, wanted, first):.4g}")
            tell(f"search: {wanted} bit per element, λ {weight:g}")
            trials.append(Trial(weight, attempt(weight)))
            left -= 1
            tell(f"search: λ {weight:g} gives {trials[-1].rate:.4f} bit per element")
            _write(path, trials, rates)
        if _miss(trials, wanted) > tolerance:
            missed.append(f"{wanted} by {math.expm1(_miss(trials, wanted)):.0%}")
    _write(path, trials, rates)
    if missed:
        raise InputError(
            f"rates were not reached: {', '.join(missed)}",
            path=path,
            fix="repeat with more --attempts, or another rate.weight to begin with",
        )
    return {wanted: _nearest(trials, wanted).weight for wanted in rates}


def _nearest(trials: Sequence[Trial], wanted: float) -> Trial:
    return min(trials, key=lambda t: abs(math.log(t.rate / wanted)))


def _miss(trials: Sequence[Trial], wanted: float) -> float:
    return abs(math.log(_nearest(trials, wanted).rate / wanted)) if trials else math.inf


def _write(path: Path, trials: Sequence[Trial], rates: Sequence[float]) -> None:
    points = {str(rate): _nearest(trials, rate).weight for rate in rates} if trials else {}
    text = {"points": points, "trials": [[t.weight, t.rate] for t in trials]}
    write_atomic(path, (json.dumps(text, indent=1) + "\n").encode())
