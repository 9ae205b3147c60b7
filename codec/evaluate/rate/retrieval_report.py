"""Rows of a retrieval run: each measure with its interval, paired differences, and the bytes at a stated loss.

Intervals are over places, drawn for all methods together; the archive that is searched stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from codec.evaluate.intervals import bootstrap, mean_sums
from codec.evaluate.rate.curve_intervals import Bootstrap, Measured, bytes_interval, size_sums
from codec.evaluate.rate.report import DRAWS
from codec.evaluate.rate.retrieval import Scores
from codec.evaluate.rate.retrieval_run import MEASURES, RECALLS, SET, key_of
from codec.evaluate.rate.store import Scored
from codec.evaluate.rate.types import FloatVector, IntArray
from codec.evaluate.rows import Row

LOSSES = {
    True: (0.03, 0.06),
    False: (0.1, 0.2),
}  # by whether it is a recall; the exact ranking's own overlap is 1
RIVAL = "per-channel prior"  # the static twin: whole embeddings, each channel coded by a density of its own
_UNIT = "share [95% bootstrap over places]"
_HOW = replace(Bootstrap(), draws=DRAWS)


def rows(
    encoder: str, suite: str, reference: Mapping[str, Scores], scored: Mapping[str, Scored], groups: IntArray
) -> Iterator[Row]:
    """Of all methods. `reference`: measures of the uncompressed embedding; `groups`: the place of each query."""
    for measure in RECALLS:
        found = bootstrap(reference[measure].sums(), draws=DRAWS)
        case = f"{encoder}/{SET}/uncompressed"
        yield Row(suite, case, measure, found.value, found.low, found.high, _UNIT, n=len(groups))
    for name, of in scored.items():
        for measure in MEASURES:
            sums = _sums(of, measure, groups)
            yield from _curve(f"{encoder}/{SET}/{name}", suite, measure, of, sums, reference[measure])
            yield from _bytes(f"{encoder}/{SET}/{name}", suite, measure, of, sums, reference[measure], groups)
            if RIVAL in scored and name != RIVAL:
                beside = _measured(scored[RIVAL], _sums(scored[RIVAL], measure, groups), groups)
                mine = _measured(of, sums, groups)
                yield from _against(
                    f"{encoder}/{SET}/{name}", suite, measure, mine, beside, reference[measure]
                )


def _sums(of: Scored, measure: str, groups: IntArray) -> list[FloatVector]:
    """1×G×2 of each setting."""
    return [mean_sums(values, groups) for values in of.answers[key_of(measure)].predicted[0, 1:]]


def _curve(
    case: str, suite: str, measure: str, of: Scored, sums: list[FloatVector], reference: Scores
) -> Iterator[Row]:
    for setting, size, mine in zip(of.settings, of.bytes_per_tile, sums, strict=True):
        at = f"{case}/{setting}"
        if measure == MEASURES[0]:
            yield Row(suite, at, "bytes", float(size), unit="B/tile", n=of.sizes.shape[1])
        found = bootstrap(mine, draws=DRAWS)
        yield Row(suite, at, measure, found.value, found.low, found.high, _UNIT, n=len(reference.values))
        if measure in RECALLS:  # what the others lack to 1 is their difference
            lost = bootstrap(mine, reference.sums(), same_seeds=True, draws=DRAWS)
            yield Row(
                suite, at, f"{measure}-difference", lost.value, lost.low, lost.high, _UNIT, "uncompressed",
                n=len(reference.values),
            )  # fmt: skip


def _bytes(
    case: str,
    suite: str,
    measure: str,
    of: Scored,
    sums: list[FloatVector],
    reference: Scores,
    groups: IntArray,
) -> Iterator[Row]:
    measured = _measured(of, sums, groups)
    for loss in LOSSES[measure in RECALLS]:
        found = bytes_interval(measured, None, -loss, _HOW, reference=reference.sums())
        metric = f"bytes at −{100 * loss:g} of {measure}"
        yield Row(suite, case, metric, found.value, found.low, found.high, f"B/tile [{found.note}]")


def _measured(of: Scored, sums: list[FloatVector], groups: IntArray) -> Measured:
    sent = np.flatnonzero(of.sizes.sum(1) > 0)  # a curve in log bytes has no place for none
    return Measured(np.stack([sums[s] for s in sent], axis=1), size_sums(of.sizes[sent], groups))


def _against(
    case: str, suite: str, measure: str, ours: Measured, rival: Measured, reference: Scores
) -> Iterator[Row]:
    for loss in LOSSES[measure in RECALLS]:
        found = bytes_interval(ours, rival, -loss, _HOW, reference=reference.sums())
        metric = f"times fewer bytes at −{100 * loss:g} of {measure}"
        yield Row(suite, case, metric, found.value, found.low, found.high, f"ratio [{found.note}]", RIVAL)


def table(found: Sequence[Row]) -> str:
    """One line a method: bytes per tile at the smaller loss of each measure; ≤ and ≥ where the curve ended before."""
    wanted = [f"bytes at −{100 * LOSSES[measure in RECALLS][0]:g} of {measure}" for measure in MEASURES]
    cells = {(row.case, row.metric): row for row in found}
    cases = list(dict.fromkeys(case for case, metric in cells if metric == wanted[0]))
    lines = [f"{'B/tile':26}" + "".join(f"{name.removeprefix('bytes at '):>28}" for name in wanted)]
    for case in cases:
        name = case.rsplit("/", 1)[1]
        lines.append(f"{name:26}" + "".join(f"{_cell(cells[case, metric]):>28}" for metric in wanted))
    references = [row for row in found if row.case.endswith(f"/{SET}/uncompressed")]
    said = ", ".join(f"{row.metric} {row.value:.3f} [{row.lo:.3f}, {row.hi:.3f}]" for row in references)
    return "\n".join([*lines, f"uncompressed: {said}; {references[0].n} queries"])


def _cell(row: Row) -> str:
    end = ""
    if "not reached" in row.unit:
        end = "≤ " if "at most: not reached" in row.unit else "≥ "
    return f"{end}{row.value:.4g} [{row.lo:.3g}, {row.hi:.3g}]"
