"""What is asked of a question by name, beside every method's curve.

    regimes       how many times fewer bytes a head of mixed rates needs than one trained on uncompressed embeddings
    spread        heads on mean, spread and maximum of tokens at 100 bytes, against the same head without compression
    level         bytes at a fixed explained variance of numbers asked of tokens, and how many times fewer they are
    half a point  the bytes of our codec at a loss finer than the one that all methods are compared at
    parity        the pooled part with the spectral plane against pixels seen by their statistics alone

Each is paired: places and training sets are drawn for both sides together, as in `report`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from codec.evaluate.rate.curve_intervals import Bootstrap, ByteInterval, bytes_interval, utility_intervals
from codec.evaluate.rate.ground_features import STATISTICS
from codec.evaluate.rate.report import OURS, Contender, Question
from codec.evaluate.rate.utility import REFERENCE_REGIME, Judge
from codec.evaluate.rows import Row

MIXED = "mixed"
SPREAD, SPREAD_BYTES = "tokens mean-std-max", 100
LEVEL = 0.85  # of the variance of numbers asked of tokens
HALF_POINT = 0.005  # of accuracy
# All that is sent is the mean of the tokens and the spectral plane; statistics are a mean and a spread of the same bands.
WITHOUT_TOKENS = ("shipped mean + spectral", "tokens+spectral")


def asked_rows(question: Question) -> Iterator[Row]:
    """Every row that the question's target and methods allow."""
    target = question.target
    if question.has_skill:
        yield from regime_rows(question)
    if target.is_class and target.level == "token":
        yield from parity_rows(question)
    elif target.is_class:
        yield from spread_rows(question)
        yield from half_point_rows(question)
    elif target.level == "token":
        yield from level_rows(question)


def regime_rows(question: Question) -> Iterator[Row]:
    """Bytes with heads trained on uncompressed embeddings over bytes with heads of mixed rates, of our codec."""
    one = {(line.method, line.key.view): line for line in question.ours(REFERENCE_REGIME)}
    for line in question.ours(MIXED):
        other = one.get((line.method, line.key.view))
        if other is None:
            continue
        for loss in question.losses:
            found = _at_loss(question, line, other, loss)
            rival = f"{other.label}, {REFERENCE_REGIME}"
            yield _row(question, line, f"times fewer bytes at −{100 * loss:g}", found, "ratio", rival)


def spread_rows(question: Question) -> Iterator[Row]:
    """Score at 100 bytes less that of head `one` on the same pooling of uncompressed tokens; nothing outside a curve."""
    ours = {method for method, _ in OURS[question.target.level]}
    for regime in _regimes(question):
        for line in question.lines(regime):
            if line.method not in ours or line.key.view != SPREAD:
                continue
            of = question.scored[line.method]
            own = Judge.of_target(question.evidence, question.target, of, SPREAD).uncompressed("score")
            (found,) = utility_intervals(
                question.measured(line), None, [SPREAD_BYTES], _how(question), reference=own
            )
            if not np.isfinite((found.value, found.low, found.high)).all():
                continue
            yield Row(
                question.suite, _case(question, line),
                f"{question.judge.name('score')}-difference at {SPREAD_BYTES} B", found.value, found.low, found.high,
                f"{question.judge.unit('score')} [95% interval]", f"uncompressed, {SPREAD}, {REFERENCE_REGIME}",
            )  # fmt: skip


def level_rows(question: Question) -> Iterator[Row]:
    """Bytes at a fixed score, whatever the uncompressed embedding reaches; and of ours how many times fewer they are."""
    metric = f"bytes at {question.judge.name('score')} {LEVEL:g}"
    for regime in _regimes(question):
        ours = [(line, question.measured(line)) for line in question.ours(regime)]
        for line in question.lines(regime):
            found = bytes_interval(question.measured(line), None, LEVEL, _how(question))
            yield _row(question, line, metric, found, "B/tile", "")
            for our, mine in ours:
                if our != line:
                    found = bytes_interval(mine, question.measured(line), LEVEL, _how(question))
                    yield _row(question, our, f"times fewer {metric}", found, "ratio", line.label)


def half_point_rows(question: Question) -> Iterator[Row]:
    """Bytes of our codec at half a point of accuracy."""
    for regime in _regimes(question):
        for line in question.ours(regime):
            found = _at_loss(question, line, None, HALF_POINT)
            yield _row(question, line, f"bytes at −{100 * HALF_POINT:g}", found, "B/tile", "")


def parity_rows(question: Question) -> Iterator[Row]:
    """Bytes of pixels whose statistics a head sees over those of the pooled part and the spectral plane."""
    for regime in _regimes(question):
        lines = question.lines(regime)
        for line in lines:
            if (line.method, line.key.view) != WITHOUT_TOKENS:
                continue
            for rival in (one for one in lines if one.key.view == STATISTICS):
                for loss in question.losses:
                    found = _at_loss(question, line, rival, loss)
                    metric = f"times fewer bytes at −{100 * loss:g}"
                    yield _row(question, line, metric, found, "ratio", rival.label)


def _regimes(question: Question) -> list[str]:
    return sorted({key.regime for scored in question.scored.values() for key in scored.answers})


def _how(question: Question) -> Bootstrap:
    return replace(question.how, statistic=question.judge.statistic("score"))


def _at_loss(question: Question, line: Contender, rival: Contender | None, loss: float) -> ByteInterval:
    other = None if rival is None else question.measured(rival)
    reference = question.judge.uncompressed("score")
    return bytes_interval(question.measured(line), other, -loss, _how(question), reference=reference)


def _case(question: Question, line: Contender) -> str:
    return f"{question.case}/{line.method}/{line.key.view}/{line.key.regime}"


def _row(question: Question, line: Contender, metric: str, found: ByteInterval, unit: str, rival: str) -> Row:
    unit = f"{unit} [{found.note}]"
    return Row(question.suite, _case(question, line), metric, found.value, found.low, found.high, unit, rival)
