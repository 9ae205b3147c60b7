"""From scores of several features to rows: each alone, ours against each rival, and what the set could show at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codec.evaluate.intervals import FloatVector, Statistic, bootstrap, mean_of
from codec.evaluate.rows import Row

DIFFERENCE = "difference"  # metric suffix: ours less the rival, paired
SMALLEST = "smallest-difference"  # half the width of that interval: what this set can tell from no difference


@dataclass(frozen=True, slots=True)
class Metric:
    """A named score: its statistic of sums, and the factor to its unit."""

    name: str
    unit: str
    factor: float = 1.0
    statistic: Statistic = mean_of


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is measured: the name in the rows, and the seeds its encoders were trained with."""

    name: str
    suite: str = "model"
    seeds: str = "0"

    def owner(self, feature: str) -> str:
        """How a feature's own row is called; a twin is its subject's, other rivals are everybody's."""
        return f"{self.name}-twin" if feature == "random-twin" else feature


def own_row(subject: Subject, case: str, metric: Metric, sums: FloatVector, n: int, seeds: str) -> Row:
    """A score alone."""
    found = bootstrap(sums, statistic=metric.statistic).scaled(metric.factor)
    return Row(
        subject.suite, case, metric.name, found.value, found.low, found.high, metric.unit, n=n, seeds=seeds
    )


def difference_rows(
    subject: Subject,
    case: str,
    metric: Metric,
    ours: FloatVector,
    rival: tuple[str, FloatVector],
    n: int,
    *,
    same_seeds: bool = False,
) -> list[Row]:
    """Ours less the rival with its paired interval, and that interval's half-width."""
    name, sums = rival
    found = bootstrap(ours, sums, statistic=metric.statistic, same_seeds=same_seeds).scaled(metric.factor)
    return [
        Row(
            subject.suite,
            case,
            f"{metric.name}-{DIFFERENCE}",
            found.value,
            found.low,
            found.high,
            metric.unit,
            name,
            n,
            subject.seeds,
        ),
        Row(
            subject.suite,
            case,
            f"{metric.name}-{SMALLEST}",
            found.half_width,
            unit=metric.unit.split(" [")[0] + " [half-width of the paired interval]",
            rival=name,
            n=n,
            seeds=subject.seeds,
        ),
    ]


def compared(
    subject: Subject, place: str, metric: Metric, sums: Mapping[str, FloatVector], n: int
) -> list[Row]:
    """Rows `<place>/<feature>` of every feature, and of the subject against each other one."""
    out = []
    for feature, values in sums.items():
        seeds = subject.seeds if feature == subject.name else ",".join(str(s) for s in range(len(values)))
        out.append(own_row(subject, f"{place}/{subject.owner(feature)}", metric, values, n, seeds))
    for feature, values in sums.items():
        if feature != subject.name:
            out += difference_rows(
                subject, f"{place}/{subject.name}", metric, sums[subject.name], (feature, values), n
            )
    return out
