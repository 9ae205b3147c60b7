"""EuroSAT, fixed split: fitted on train (258 tiles), scored on tiles of other 1-degree cells.

Choices are made on val (74); a release is scored once on `unseen`, val and test together (143).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codec.evaluate import scenes as sets
from codec.evaluate.bank import Bank
from codec.evaluate.folds import neighbours_correct
from codec.evaluate.intervals import mean_sums
from codec.evaluate.measured import Metric, compared, difference_rows
from codec.evaluate.probes import cross_entropy, fit_probe
from codec.evaluate.rows import Row
from codec.types import FloatArray

_SPAN = "[95% bootstrap over cells and seeds]"
METRICS = (
    Metric("probe-accuracy", f"% {_SPAN}", 100.0),
    Metric("probe-log-loss", f"nats {_SPAN}"),
    Metric("knn10-accuracy", f"% {_SPAN}", 100.0),
)
ALL_BANDS = "12-bands"


def scores(
    x: FloatArray, fit: sets.Scenes, z: FloatArray, held: sets.Scenes
) -> dict[str, npt.NDArray[np.float64]]:
    """Score of each held-out tile (features `z`) by probes of the training tiles (features `x`); metric → N."""
    logits = fit_probe(x, fit.labels, fit.groups, fit.n_classes).logits(z)
    return {
        "probe-accuracy": np.asarray(logits.argmax(1) == held.labels, np.float64),
        "probe-log-loss": cross_entropy(logits, held.labels),
        "knn10-accuracy": neighbours_correct(x, fit.labels, z, held.labels),
    }


def rows(bank: Bank, split: str) -> list[Row]:
    """`eurosat-<split>/<n>-bands/<feature>`: every feature, the differences, and fewer bands against all of them."""
    fit, held = sets.eurosat(bank.data, ("train",)), sets.eurosat(bank.data, sets.HELD_OUT[split])
    n, ours, out = len(held.labels), bank.subject.name, []
    of_ours: dict[str, npt.NDArray[np.float64]] = {}
    for case, keep in bank.cases().items():
        found: dict[str, list[dict[str, npt.NDArray[np.float64]]]] = {}
        for feature in bank.functions:
            x = bank.eurosat(feature, ("train",), keep)
            z = bank.eurosat(feature, sets.HELD_OUT[split], keep)
            found[feature] = [scores(a, fit, b, held) for a, b in zip(x, z, strict=True)]
        for metric in METRICS:
            sums = {
                feature: mean_sums(np.stack([s[metric.name] for s in seeds]), held.groups)
                for feature, seeds in found.items()
            }
            out += compared(bank.subject, f"eurosat-{split}/{case}", metric, sums, n)
            if metric is METRICS[0]:
                of_ours[case] = sums[ours]
    for case, sums_of_case in of_ours.items():
        if case != ALL_BANDS and ALL_BANDS in of_ours:
            out += difference_rows(
                bank.subject,
                f"eurosat-{split}/{case}/{ours}",
                METRICS[0],
                sums_of_case,
                (ALL_BANDS, of_ours[ALL_BANDS]),
                n,
                same_seeds=True,
            )
    return out
