"""What a run says: rows of results, a table per question, and curves.

A question is one target of one set. Its threshold is the uncompressed embedding's score with head `one`, less a stated loss,
the same for every method and regime. Bytes are those of complete records as sent, per 64×64-pixel tile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codec.errors import InputError
from codec.evaluate.intervals import Interval, bootstrap, mean_sums
from codec.evaluate.rate.curve_intervals import (
    Bootstrap,
    ByteInterval,
    Measured,
    bd_rate_interval,
    bytes_interval,
    point_intervals,
    smallest_detectable,
    utility_intervals,
    without_bytes,
)
from codec.evaluate.rate.plots import Line
from codec.evaluate.rate.plots import draw as draw_plot
from codec.evaluate.rate.run import Setting
from codec.evaluate.rate.store import Key, Scored
from codec.evaluate.rate.targets import Evidence, Target
from codec.evaluate.rate.utility import REFERENCE_REGIME, Judge, Utility
from codec.evaluate.rows import Row
from codec.types import BoolArray

DRAWS = 400
BD_DRAWS = 200  # of what needs cubics, which are slow: its ends move by a few percent of their width
EQUAL_BYTES = (16, 64, 256, 1024)  # a tile, at which methods are compared
LOSSES = {"scene": (0.01, 0.03), "tile": (0.01, 0.03), "token": (0.03, 0.06)}  # of accuracy, of mean IoU
NUMBER_LOSS = (0.05,)  # of explained variance
# What rivals are compared with: our training-free codec as each level uses it, and everything it can send.
OURS = {
    "scene": (("base mean", "tokens mean"), ("base", "tokens mean")),
    "tile": (("base mean", "tokens mean"), ("base", "tokens mean")),
    "token": (("base", "tokens"), ("base + spectral", "tokens+spectral")),
}
REFERENCE = "base"  # whose heads on uncompressed embeddings every method is compared with
_PLOTTED = ("bytes_per_tile", "value", "low", "high")


@dataclass(frozen=True)
class Contender:
    """One method as one head of one regime sees it."""

    method: str
    sends: str
    key: Key

    @property
    def label(self) -> str:
        return f"{self.method}, {self.key.view}"


@dataclass(frozen=True)
class Point:
    """One setting on a curve."""

    setting: str
    bytes_per_tile: float
    value: float
    low: float
    high: float


class Question:
    """One target of one set, with everything that was scored on it.

    `curves`: methods whose every setting is a row, where heads see means or tokens; None: all methods and views. What is
    said of a curve as a whole is said of all.
    """

    def __init__(
        self,
        encoder: str,
        evidence: Evidence,
        target: Target,
        scored: Mapping[str, Scored],
        suite: str,
        *,
        curves: Collection[str] | None = None,
    ) -> None:
        if REFERENCE not in scored:
            raise InputError(f"set {evidence.tiles.name!r} was not scored with method {REFERENCE!r}")
        self.encoder, self.evidence, self.target, self.scored = encoder, evidence, target, dict(scored)
        self.suite = suite
        self.curves = None if curves is None else set(curves)
        view = "tokens" if target.level == "token" else "tokens mean"
        self.judge = Judge.of_target(evidence, target, scored[REFERENCE], view)
        self.how = replace(Bootstrap(), draws=DRAWS)

    @property
    def case(self) -> str:
        return f"{self.encoder}/{self.evidence.tiles.name}/{self.target.name}"

    @property
    def losses(self) -> tuple[float, ...]:
        return LOSSES[self.target.level] if self.target.is_class else NUMBER_LOSS

    @property
    def has_skill(self) -> bool:
        """Whether the uncompressed embedding says anything of the target: where it does not, nothing can be lost."""
        return self.target.is_class or self._uncompressed().low > 0

    def lines(self, regime: str) -> list[Contender]:
        """Every method with every view of this target."""
        return [
            Contender(name, scored.sends, key)
            for name, scored in self.scored.items()
            for key in scored.answers
            if key.target == self.target.name and key.regime == regime
        ]

    def measured(self, line: Contender, utility: Utility = "score") -> Measured:
        return self.judge.measured(self.scored[line.method], line.key, utility)

    def _bootstrap(self, utility: Utility) -> Bootstrap:
        return replace(self.how, statistic=self.judge.statistic(utility))

    def ours(self, regime: str) -> list[Contender]:
        """The lines that rivals are compared with."""
        wanted = OURS[self.target.level]
        return [line for line in self.lines(regime) if (line.method, line.key.view) in wanted]

    def rows(self) -> Iterator[Row]:
        """Reference, curves, bytes at each loss, ratios and BD-rates against ours."""
        yield self._reference_row()
        yield from self._smallest_row()
        skill = self.has_skill
        for regime in sorted({key.regime for s in self.scored.values() for key in s.answers}):
            ours = [(line, self.measured(line)) for line in self.ours(regime)]
            for line in self.lines(regime):
                found = self.measured(line)
                if self._is_curve(line):
                    yield from self._curve_rows(line, regime)
                if not skill:
                    continue
                yield from self._byte_rows(line, found, regime)
                if line.key.view.endswith("max"):
                    continue  # compared by the bytes it needs
                for our, mine in ours:
                    if our != line:
                        yield from self._against(line, found, our, mine, regime)

    def _is_curve(self, line: Contender) -> bool:
        return self.curves is None or (line.method in self.curves and not line.key.view.endswith("max"))

    def _uncompressed(self) -> Interval:
        """Score of head `one` on the uncompressed embedding."""
        sums = without_bytes(self.judge.uncompressed("score"))
        (found,) = point_intervals(sums, self._bootstrap("score"))
        return found

    def _reference_row(self) -> Row:
        found, scenes = self._uncompressed(), self.evidence.tiles.scene[self.judge.of.tile[self.judge.held]]
        return Row(
            self.suite, f"{self.case}/uncompressed/one", self.judge.name("score"), found.value, found.low, found.high,
            f"{self.judge.unit('score')} of samples in {len(np.unique(scenes))} scenes [95% bootstrap over places and "
            "training sets]", n=int(self.judge.held.sum()),
        )  # fmt: skip

    def _curve_rows(self, line: Contender, regime: str) -> Iterator[Row]:
        utilities: tuple[Utility, ...] = ("score",)
        if self.target.is_class:
            utilities = ("score", "log-likelihood", "agreement")
        for utility in utilities:
            name, unit = self.judge.name(utility), f"{self.judge.unit(utility)} [95% interval]"
            lost = point_intervals(
                self.measured(line, utility),
                self._bootstrap(utility),
                reference=self.judge.uncompressed(utility),
            )
            for point, less in zip(self._points(line, utility), lost, strict=True):
                case = f"{self.case}/{line.method}/{line.key.view}/{regime}/{point.setting}"
                if utility == "score":
                    yield Row(self.suite, case, "bytes", point.bytes_per_tile, unit="B/tile")
                yield Row(self.suite, case, name, point.value, point.low, point.high, unit)
                if utility != "agreement":  # paired over places and training sets
                    yield Row(
                        self.suite, case, f"{name}-difference", less.value, less.low, less.high, unit, "uncompressed, one"
                    )  # fmt: skip

    def _points(self, line: Contender, utility: Utility) -> Iterator[Point]:
        """Every setting that takes bytes, from the finest."""
        scored, measured = self.scored[line.method], self.measured(line, utility)
        names = [s for s, sizes in zip(scored.settings, scored.sizes, strict=True) if sizes.sum() > 0]
        for s, (name, found) in enumerate(
            zip(names, point_intervals(measured, self._bootstrap(utility)), strict=True)
        ):
            bytes_, tiles = measured.sizes[s].sum(0)
            yield Point(name, float(bytes_ / tiles), found.value, found.low, found.high)

    def _byte_rows(self, line: Contender, measured: Measured, regime: str) -> Iterator[Row]:
        reference = self.judge.uncompressed("score")
        for loss in self.losses:
            found = bytes_interval(measured, None, -loss, self._bootstrap("score"), reference=reference)
            yield self._row(line, regime, f"bytes at −{100 * loss:g}", found, "B/tile", "")

    def _against(
        self, line: Contender, measured: Measured, ours: Contender, mine: Measured, regime: str
    ) -> Iterator[Row]:
        reference, how = self.judge.uncompressed("score"), self._bootstrap("score")
        for loss in self.losses:
            found = bytes_interval(mine, measured, -loss, how, reference=reference)
            yield self._row(ours, regime, f"times fewer bytes at −{100 * loss:g}", found, "ratio", line.label)
        fewer = replace(how, draws=BD_DRAWS)
        case, name = f"{self.case}/{ours.method}/{ours.key.view}/{regime}", self.judge.name("score")
        for size, gain in zip(
            EQUAL_BYTES, utility_intervals(mine, measured, EQUAL_BYTES, fewer), strict=True
        ):
            if np.isfinite((gain.value, gain.low, gain.high)).all():
                yield Row(
                    self.suite, case, f"{name}-difference at {size} B", gain.value, gain.low, gain.high,
                    f"{self.judge.unit('score')} [95% interval]", line.label,
                )  # fmt: skip
        if min(mine.sums.shape[1], measured.sums.shape[1]) > 1:
            rate = bd_rate_interval(mine, measured, fewer)
            if np.isfinite((rate.value, rate.low, rate.high)).all():
                yield Row(
                    self.suite, case, "BD-rate", rate.value, rate.low, rate.high, "% of bytes [95% interval]", line.label
                )  # fmt: skip

    def _row(
        self, line: Contender, regime: str, metric: str, found: ByteInterval, unit: str, rival: str
    ) -> Row:
        case = f"{self.case}/{line.method}/{line.key.view}/{regime}"
        return Row(
            self.suite, case, metric, found.value, found.low, found.high, f"{unit} [{found.note}]", rival
        )

    def _smallest_row(self) -> Iterator[Row]:
        """The smallest true difference to the uncompressed embedding that this set shows in 80 % of all repetitions, by the
        middle rate of our codec.
        """
        line = next(line for line in self.lines(REFERENCE_REGIME) if line.method == REFERENCE)
        reference = self.judge.uncompressed("score")
        lost = point_intervals(self.measured(line), self._bootstrap("score"), reference=reference)
        found = lost[len(lost) // 2]
        if not found.half_width > 0:
            return  # so few samples that nothing differed: that shows nothing
        case, unit = f"{self.case}/uncompressed/one", f"{self.judge.unit('score')} [80 % power]"
        yield Row(
            self.suite, case, f"{self.judge.name('score')}-smallest-difference", smallest_detectable(found), unit=unit
        )  # fmt: skip

    def plot(self, folder: Path, regime: str, methods: Sequence[str]) -> Path:
        """Score against bytes of some methods, each in the view that is best over its settings."""
        best: dict[str, tuple[float, Line]] = {}
        for line in self.lines(regime):
            points = list(self._points(line, "score")) if line.method in methods else []
            if len(points) < 2:
                continue
            mean = float(np.mean([p.value for p in points]))
            if mean > best.get(line.method, (-np.inf, None))[0]:
                arrays = (np.array([getattr(p, name) for p in points]) for name in _PLOTTED)
                best[line.method] = mean, Line(line.label, line.sends, *arrays)
        lines = [line for _, line in best.values()]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.case.replace('/', '-')}-{regime}.png"
        draw_plot(
            path,
            lines,
            title=f"{self.case}: one head for all rates ({regime})",
            utility=self.judge.name("score"),
            reference=self.judge.reference_value(),
            km2_per_tile=self.evidence.tiles.km2_per_tile,
        )
        return path


def scored_rows(encoder: str, evidence: Evidence, setting: Setting, suite: str) -> Iterator[Row]:
    """How many tiles of a set, and how many places, are scored; n is how many there are."""
    groups, held = evidence.tiles.groups, _held(evidence, setting)
    case = f"{encoder}/{evidence.tiles.name}"
    yield Row(suite, case, "tiles scored", float(held.sum()), unit="tiles", n=len(held))
    places = len(np.unique(groups[held]))
    yield Row(suite, case, "places scored", float(places), unit="places", n=len(np.unique(groups)))


def error_rows(
    encoder: str, evidence: Evidence, setting: Setting, scored: Mapping[str, Scored], suite: str
) -> Iterator[Row]:
    """Squared error of every decoded plane over the variance of a tile about the position mean and bits per element of the
    frozen encoder's own tokens, both of the tiles that are scored, and what coding costs.
    """
    held, groups = _held(evidence, setting), evidence.tiles.groups
    for name, of in scored.items():
        points = len(of.settings) * of.sizes.shape[1] / 1000
        yield Row(
            suite, f"{encoder}/{evidence.tiles.name}/{name}", "coding", of.cpu_seconds / points,
            unit="CPU-seconds per setting and 1,000 tiles, decoding and fitting included", n=of.sizes.shape[1],
        )  # fmt: skip
        for plane, errors in of.errors.items():
            for at, sizes, values in zip(of.settings, of.sizes, errors, strict=True):
                case = f"{encoder}/{evidence.tiles.name}/{name}/{at}"
                found = bootstrap(mean_sums(values[held], groups[held]), draws=DRAWS)
                yield Row(
                    suite, case, f"feature error of {plane}", found.value, found.low, found.high,
                    "of variance [95% interval]", n=int(held.sum()),
                )  # fmt: skip
                if plane == "tokens":
                    bits = 8 * float(sizes[held].mean()) / of.elements
                    yield Row(suite, case, "bits per element", bits, unit="bit")


def _held(evidence: Evidence, setting: Setting) -> BoolArray:
    """Tiles that are scored in any fold."""
    return np.asarray(np.any([fold.held for fold in setting.folds(evidence)], axis=0), np.bool_)
