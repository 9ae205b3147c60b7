"""How trained points stand beside our codec: bytes at shares of the uncompressed score, and BD-rates.

Ours is one stream: its layer 0 where a head asks for a mean, L0 | S | AC where it asks for tokens. A rival is taken in the
view (its tokens, or behind its first decoder block; pooled one way or the other) in which it needs the fewest bytes for
that share, which favours it. A share is of the score of head `one` on uncompressed embeddings, taken off as a loss: places
that are hard for the codecs are hard for the reference too.

A curve may end before a share: ours because layer 0 alone reaches it, a rival's because its finest point does not. A ratio
then is a bound, and says which; where it is none, there is no row. Heads are trained on all rates or for each; one that saw
only the frozen encoder's tokens would be asked about other encoders' here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codec.evaluate.rate.curve_intervals import ByteInterval, Measured, bd_rate_interval, bytes_interval
from codec.evaluate.rate.curves import End
from codec.evaluate.rate.report import BD_DRAWS, Contender, Question
from codec.evaluate.rows import Row

REGIMES = ("mixed", "per-rate")
AT_LEAST, AT_MOST = "at least", "at most"
SHARES = (0.94, 0.97, 0.99, 0.997)  # of the uncompressed score: the points of the published curves, roughly
OURS = {  # the first that was scored: an encoder may have no spectral plane
    "scene": (("base mean", "tokens mean"),),
    "tile": (("base mean", "tokens mean"),),
    "token": (("base + spectral", "tokens+spectral"), ("base", "tokens")),
}


def curve_rows(question: Question, rivals: Sequence[str], regime: str) -> Iterator[Row]:
    """Bytes and score of every point of the rivals, by tokens and behind the first decoder block."""
    for line in question.lines(regime):
        if line.method not in rivals or line.key.view.endswith("max"):
            continue
        for point in question._points(line, "score"):
            case = f"{question.case}/{line.method}/{line.key.view}/{regime}/{point.setting}"
            yield Row(question.suite, case, "bytes", point.bytes_per_tile, unit="B/tile")
            name, unit = question.judge.name("score"), f"{question.judge.unit('score')} [95% interval]"
            yield Row(question.suite, case, name, point.value, point.low, point.high, unit)


def share_rows(question: Question, rivals: Sequence[str]) -> Iterator[Row]:
    """Bytes of ours and of every rival at each share, the ratio, and the BD-rate; for each regime.

    Nothing where the uncompressed embedding has no skill: of nothing there are no shares.
    """
    uncompressed = question.judge.reference_value("score")
    if not uncompressed > 0:
        return
    regimes = {key.regime for scored in question.scored.values() for key in scored.answers}
    for regime in sorted(regimes & set(REGIMES)):
        lines = question.lines(regime)
        named = {(line.method, line.key.view): line for line in lines}
        method, view = next(one for one in OURS[question.target.level] if one in named)
        mine = question.measured(named[method, view])
        case = f"{question.case}/{method}/{view}/{regime}"
        needs = {share: _needs(question, mine, (share - 1) * uncompressed) for share in SHARES}
        for share, need in needs.items():
            yield _bytes_row(question, case, share, need, "")
        for rival in rivals:
            theirs = [(line, question.measured(line)) for line in lines if line.method == rival]
            for share, ours in needs.items():
                loss = (share - 1) * uncompressed
                found = [_needs(question, one, loss) for _, one in theirs]
                best = min(range(len(found)), key=lambda i: (found[i].end == "never", found[i].bytes.value))
                line, measured = theirs[best]
                own = f"{question.case}/{rival}/best view/{regime}"
                yield _bytes_row(question, own, share, found[best], f" by {line.key.view}")
                bound = bound_of(ours.end, found[best].end)
                if bound is None:
                    continue
                ratio = _at(question, mine, measured, loss)
                metric = f"times fewer bytes at {100 * share:g} %"
                unit = f"times [{_note(ratio, bound)}]; {rival} by {line.key.view}"
                yield Row(question.suite, case, metric, ratio.value, ratio.low, ratio.high, unit, rival)
            yield from _bd_row(question, case, mine, rival, theirs)


@dataclass(frozen=True, slots=True)
class _Need:
    """Bytes for a share, and where on the curve that is."""

    bytes: ByteInterval
    end: End


def _needs(question: Question, measured: Measured, loss: float) -> _Need:
    found = _at(question, measured, None, loss)
    sizes = measured.sizes.sum(1)
    smallest = float((sizes[:, 0] / sizes[:, 1]).min())
    if not found.outside:
        return _Need(found, "inside")
    return _Need(found, "never" if found.value > smallest * (1 + 1e-9) else "at most")


def bound_of(ours: End, theirs: End) -> str | None:
    """What their bytes over ours are where curves end: "" for measured, "at least", "at most", or None for no bound."""
    if (ours, theirs) == ("inside", "inside"):
        return ""
    if ours != "never" and theirs != "at most":
        return AT_LEAST
    if ours != "at most" and theirs != "never":
        return AT_MOST
    return None


def _note(found: ByteInterval, bound: str) -> str:
    """The unit's note; an end that is open against the bound is called otherwise, for tables mark ends by these words."""
    low, high, other = found.low_open, found.high_open, False
    parts = ["95% interval"]
    if bound:
        parts.append(f"{bound}: not reached inside the curves")
        other = low if bound == AT_LEAST else high
        low, high = bound == AT_MOST, bound == AT_LEAST
    parts += ["low end open"] * low + ["high end open"] * high + ["the other end is a curve's too"] * other
    return "; ".join(parts)


def _at(question: Question, measured: Measured, rival: Measured | None, loss: float) -> ByteInterval:
    reference = question.judge.uncompressed("score")
    return bytes_interval(measured, rival, loss, question._bootstrap("score"), reference=reference)


def _bytes_row(question: Question, case: str, share: float, need: _Need, view: str) -> Row:
    found, metric = need.bytes, f"bytes at {100 * share:g} %"
    end = {"inside": "", "at most": AT_MOST, "never": AT_LEAST}[need.end]
    return Row(
        question.suite,
        case,
        metric,
        found.value,
        found.low,
        found.high,
        f"B/tile [{_note(found, end)}]{view}",
    )


def _bd_row(
    question: Question, case: str, mine: Measured, rival: str, theirs: Sequence[tuple[Contender, Measured]]
) -> Iterator[Row]:
    """Of the rival's view that ours gains least on; nothing where no view's curve overlaps ours."""
    fewer = replace(question._bootstrap("score"), draws=BD_DRAWS)
    found = []
    for line, measured in theirs:
        if min(mine.sums.shape[1], measured.sums.shape[1]) < 2:
            continue
        rate = bd_rate_interval(mine, measured, fewer)
        if np.isfinite(rate.value):
            found.append((rate, line))
    if not found:
        return
    rate, line = max(found, key=lambda one: one[0].value)
    whole = np.isfinite((rate.low, rate.high)).all()
    unit = f"% of bytes [{'95% interval' if whole else 'no interval: too few draws overlap'}]; {rival} by {line.key.view}"
    low, high = (rate.low, rate.high) if whole else (None, None)
    yield Row(question.suite, case, "BD-rate", rate.value, low, high, unit, rival)
