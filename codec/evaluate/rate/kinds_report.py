"""Rows and a table of kinds of heads: scores with paired intervals, and how far their probabilities can be believed.

Intervals are over places and draws of the labels. Differences are paired over both: to the same head on uncompressed
embeddings, and to the linear head of the same regime, share and setting. Calibration errors are means over the draws, and so
are the ends of their intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codec.evaluate.intervals import (
    Interval,
    Statistic,
    bootstrap,
    confusion_sums,
    mean_iou_of,
    mean_of,
    mean_sums,
)
from codec.evaluate.rate.kinds_run import Answered, Case
from codec.evaluate.rate.types import FloatVector
from codec.evaluate.rows import Row
from codec.heads.calibration import calibration_error, softmax
from codec.heads.regimes import UNCOMPRESSED

DRAWS = 400
_OVER = "95% bootstrap over places and draws of labels"


@dataclass(frozen=True)
class Found:
    """One set's target, one method: all heads."""

    encoder: str
    set_name: str
    target: str
    method: str
    n_classes: int
    dense: bool
    linear: str  # the kind that the others are compared with
    heads: Mapping[Case, Answered]

    @property
    def case(self) -> str:
        return f"{self.encoder}/{self.set_name}/{self.target}"

    @property
    def measure(self) -> str:
        return "mean IoU" if self.dense else "accuracy"

    @property
    def statistic(self) -> Statistic:
        return mean_iou_of if self.dense else mean_of

    def sums(self, head: Answered, setting: str) -> FloatVector:
        """R×G×F of one setting."""
        said = head.logits[:, head.settings.index(setting)].argmax(-1)
        if self.dense:
            return confusion_sums(head.y, said, head.groups, self.n_classes)
        return mean_sums(said == head.y, head.groups)

    def score(self, head: Answered, setting: str) -> Interval:
        return bootstrap(self.sums(head, setting), statistic=self.statistic, draws=DRAWS)


def errors(head: Answered, setting: str, *, scaled: bool) -> Interval:
    """Calibration error of one setting, with each fold's temperature or as the head says it."""
    at = head.settings.index(setting)
    found = []
    for logits, temperature in zip(head.logits[:, at], head.temperatures, strict=True):
        z = logits / temperature[:, None] if scaled else logits
        found.append(calibration_error(softmax(z), head.y, head.groups, draws=DRAWS))
    parts = ([e.value for e in found], [e.low for e in found], [e.high for e in found])
    return Interval(*(float(np.mean(part)) for part in parts))


def rows(of: Found, suite: str, bytes_per_tile: Mapping[str, float]) -> Iterator[Row]:
    """Of every head and setting; the bytes of a setting once."""
    for setting, size in bytes_per_tile.items():
        yield Row(suite, f"{of.case}/{of.method}/{setting}", "bytes", size, unit="B/tile")
    for case, head in of.heads.items():
        where = f"{of.case}/{of.method}/{case.kind}/{case.regime}/{case.share:g}"
        scale = head.temperatures
        yield Row(
            suite, where, "temperature", float(scale.mean()), float(scale.min()), float(scale.max()),
            "[min, max over folds and draws]",
        )  # fmt: skip
        unit = "of the largest logit, worst of n heads"
        yield Row(suite, where, "graph difference", max(head.differences), unit=unit, n=len(head.differences))
        yield Row(
            suite, where, "labelled tiles", float(np.mean(head.labels)), min(head.labels), max(head.labels),
            "tiles or scenes learnt from [min, max over folds and draws]",
        )  # fmt: skip
        for setting in head.settings:
            yield from _rows_at(of, suite, f"{where}/{setting}", case, setting)


def _rows_at(of: Found, suite: str, at: str, case: Case, setting: str) -> Iterator[Row]:
    head, n = of.heads[case], len(of.heads[case].y)
    score = of.score(head, setting)
    yield Row(suite, at, of.measure, score.value, score.low, score.high, f"share [{_OVER}]", n=n)
    rivals = {}
    if setting != UNCOMPRESSED:
        rivals["uncompressed"] = of.sums(head, UNCOMPRESSED)
    linear = of.heads.get(Case(of.linear, case.regime, case.share))
    if linear is not None and case.kind != of.linear:
        rivals[of.linear] = of.sums(linear, setting)
    for rival, theirs in rivals.items():
        found = bootstrap(
            of.sums(head, setting), theirs, statistic=of.statistic, same_seeds=True, draws=DRAWS
        )
        metric = f"{of.measure}-difference"
        yield Row(suite, at, metric, found.value, found.low, found.high, f"share [{_OVER}]", rival, n=n)
    for scaled, metric in ((False, "calibration error"), (True, "calibration error after temperature")):
        error = errors(head, setting, scaled=scaled)
        unit = "share [95% over places, mean of draws]"
        yield Row(suite, at, metric, error.value, error.low, error.high, unit, n=n)


def table(of: Found, settings: Sequence[str]) -> str:
    """One line per head: its score uncompressed and at some settings, and its calibration error uncompressed."""
    lines = [
        f"{of.case}, method {of.method}: {of.measure} in %, calibration error in % before → after temperature",
        f"{'head':14}{'regime':8}{'labels':>7}{'tiles':>7}"
        + "".join(f"{name[:14]:>16}" for name in settings)
        + f"{'ECE':>16}",
    ]
    for case, head in of.heads.items():
        scores = [100 * of.score(head, name).value for name in settings]
        before, after = (100 * errors(head, UNCOMPRESSED, scaled=s).value for s in (False, True))
        lines.append(
            f"{case.kind:14}{case.regime:8}{100 * case.share:6g}%{np.mean(head.labels):7.0f}"
            + "".join(f"{value:16.1f}" for value in scores)
            + f"{before:9.1f} →{after:5.1f}"
        )
    return "\n".join(lines)
