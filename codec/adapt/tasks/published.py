"""The authors' figures of the five tasks, from `deflect_poster.yaml`, and tables that say whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from codec.adapt.types import METHODS, Method

_POSTER = Path(__file__).parent / "deflect_poster.yaml"


class PublishedMethod(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float  # trained parameters, % of the encoder's
    figures: dict[str, tuple[float, float]]  # task → mean and standard deviation, %
    averages: dict[str, float]


class Published(BaseModel):
    """Table 1 of the poster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    metrics: dict[str, str]  # task → metric, in the poster's order
    methods: dict[Method, PublishedMethod]

    def figure(self, method: Method, task: str) -> tuple[float, float] | None:
        """Mean and standard deviation; None where the poster has no such cell."""
        row = self.methods.get(method)
        return None if row is None else row.figures.get(task)


def published() -> Published:
    return Published.model_validate(yaml.safe_load(_POSTER.read_text(encoding="utf-8")))


def poster_table() -> str:
    """Markdown, as `docs/reproduce_deflect.md` holds it."""
    poster = published()
    averages = next(iter(poster.methods.values())).averages
    heads = [
        "method",
        "trained",
        *(f"{task}, {metric}" for task, metric in poster.metrics.items()),
        *averages,
    ]
    lines = [_row(heads), "|" + "---|" * len(heads)]
    for name, method in poster.methods.items():
        cells = [f"{mean} ± {sd}" for mean, sd in (method.figures[task] for task in poster.metrics)]
        lines.append(_row([name, f"{method.share:g} %", *cells, *map(str, method.averages.values())]))
    return "\n".join(lines) + f"\n\nThe authors' figures, in per cent: {poster.source}.\n"


def beside(task: str, metric: str, ours: Mapping[Method, tuple[float, list[float]]]) -> str:
    """Markdown table of our scores (method → trained share in per cent, scores of the seeds) beside the authors'."""
    poster = published()
    lines = [
        _row(["method", "trained here", f"{metric} here", "seeds", "authors: trained", f"authors: {metric}"])
    ]
    lines.append("|" + "---|" * 6)
    for method in METHODS:
        if method not in ours:
            continue
        share, scores = ours[method]
        theirs, row = poster.figure(method, task), poster.methods.get(method)
        lines.append(
            _row(
                [
                    method,
                    percent(share),
                    spread(scores),
                    str(len(scores)),
                    "–" if row is None else f"{row.share:g} %",
                    "–" if theirs is None else f"{theirs[0]} ± {theirs[1]}",
                ]
            )
        )
    return (
        "\n".join(lines) + f"\n\nColumns of the authors: {poster.source}; another encoder and head, see "
        "docs/reproduce_deflect.md.\n"
    )


def percent(share: float) -> str:
    """Two digits or more of a share in per cent."""
    return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"


def spread(scores: list[float]) -> str:
    """Mean ± standard deviation (n − 1), the latter of two or more."""
    mean = sum(scores) / len(scores)
    if len(scores) == 1:
        return f"{mean:.1f}"
    return f"{mean:.1f} ± {(sum((s - mean) ** 2 for s in scores) / (len(scores) - 1)) ** 0.5:.1f}"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
