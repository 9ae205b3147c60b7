"""The card of a head: what a user must know. Every number and every statement about skill is computed."""

from __future__ import annotations

from typing import Any

from codec.heads.fit import FittedHead
from codec.heads.score import BINS, Score
from codec.package import Package

INTERVAL = (
    "95 % bootstrap over groups (1-degree cells, 64-pixel blocks, or neighbouring pictures) of the held-out part; "
    "it does not cover other places"
)
_POOR = 0.2  # mean IoU of one class below which it is said that the class is not found


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _condition(score: Score) -> str:
    bands = "all bands" if score.bands == "all" else f"{score.bands} bands"
    return f"{bands} {score.rate.label}"


def limits(fitted: FittedHead) -> list[str]:
    """What the held-out scores forbid, in words: no skill over one class, classes not found, classes not tested."""
    names, first = fitted.classes, fitted.scores[0]
    said = []
    weak = [s for s in fitted.scores if not s.shows_skill]
    if weak:
        majority = names[weak[0].majority]
        if not first.shows_skill:
            worse = "is worse than" if first.gain_high < 0 else "is not shown to be better than"
            said.append(
                f"any use that needs skill: on the held-out part it {worse} calling everything {majority} "
                f"({_percent(first.accuracy)} against {_percent(first.majority_accuracy)})"
            )
        rest = [_condition(s) for s in weak if s is not first]
        if len(weak) == len(fitted.scores):
            said.append("this holds at every rate and for every band subset scored")
        elif rest:
            said.append(f"not shown to be better than calling everything {majority} with {', '.join(rest)}")
    poor = [
        f"{name} (intersection over union {_percent(iou)})"
        for name, iou in zip(names, first.class_iou, strict=True)
        if iou is not None and iou < _POOR
    ]
    if poor:
        said.append(f"finding, held out: {', '.join(poor)}")
    untested = [name for name, iou in zip(names, first.class_iou, strict=True) if iou is None]
    if untested:
        said.append(f"not tested, for lack of held-out samples: {', '.join(untested)}")
    return said


def _rates(fitted: FittedHead) -> list[dict[str, Any]]:
    return [
        {
            "ladder_index": rate.ladder_index,
            "bytes_per_tile": None if rate.ladder_index is None else round(rate.bytes_per_tile, 1),
            "layers": rate.layers,
        }
        for rate in fitted.rates
    ]


def _score(score: Score, classes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "bands": score.bands,
        "rate": score.rate.label,
        "accuracy": round(score.accuracy, 4),
        "interval_95": [round(score.low, 4), round(score.high, 4)],
        "mean_iou": round(score.mean_iou, 4),
        "n": score.n,
        "majority_class": classes[score.majority],
        "majority_accuracy": round(score.majority_accuracy, 4),
        "majority_mean_iou": round(score.majority_mean_iou, 4),
        "gain_over_majority": round(score.gain, 4),
        "gain_interval_95": [round(score.gain_low, 4), round(score.gain_high, 4)],
        "expected_calibration_error": round(score.calibration_error, 4),
    }


def card(fitted: FittedHead, package: Package) -> dict[str, Any]:
    """What a user must know of a head; the ground binds it to planes by `space_ids`."""
    task, first = fitted.task, fitted.scores[0]
    return {
        "name": task.name,
        "task": task.title,
        "level": task.level,
        "classes": list(fitted.classes),
        "colours": [task.colours[c] for c in fitted.classes],
        "planes": list(task.planes),
        "space_ids": {name: package.space_ids[name].hex() for name in task.planes},
        "training_data": list(task.training_data),
        "training_rates": _rates(fitted),
        "training_bands": "all bands of each tile and the subsets scored below",
        "penalty": fitted.penalty,
        "penalty_chosen_by": f"log-loss on folds of training data that hold out whole {fitted.folds}",
        "held_out": {
            "split": fitted.held_out,
            "groups": first.n_groups,
            "interval": INTERVAL,
            "majority_class": "the commonest of the held-out part: the best constant answer",
            "calibration_error": f"expected calibration error, {BINS} bins of equal width",
            "class_iou": {
                name: None if iou is None else round(iou, 4)
                for name, iou in zip(fitted.classes, first.class_iou, strict=True)
            },
            "scores": [_score(s, fitted.classes) for s in fitted.scores],
        },
        "must_not_be_used_for": "; ".join([task.not_for, *limits(fitted)]),
        "licence": "Apache-2.0",
    }
