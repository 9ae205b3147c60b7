"""UC Merced, 21 classes of aerial RGB at 128 px: does an encoder carry over to another scale and sensor?

Fitted on train (419), penalty by folds on train, scored on val (105) for choices and on test (126) for a release.
Encoders of 64-px tiles see four of them; mean‖std over all tokens. Intervals resample groups of a few consecutive numbers,
since neighbours may come from one source picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.evaluate import scenes as sets
from codec.evaluate.bank import Bank
from codec.evaluate.features import pixel_statistics, pooled
from codec.evaluate.intervals import mean_sums
from codec.evaluate.measured import Metric, Subject, compared, difference_rows, own_row
from codec.evaluate.probes import fit_probe
from codec.evaluate.rows import Row
from codec.models.vit import Encoder
from codec.types import FloatArray

METRIC = Metric("probe-accuracy", "% [95% bootstrap over neighbouring pictures and seeds]", 100.0)
SPLIT = {"val": "val", "test": "test", "unseen": "test"}  # val is for choices here too, test for a release


def correct(features: Callable[[sets.Scenes], FloatArray], data: Path, split: str) -> npt.NDArray[np.float64]:
    """1.0 for each held-out tile that a linear probe of the training tiles names rightly."""
    fit, held = sets.ucmerced(data, ("train",)), sets.ucmerced(data, (split,))
    head = fit_probe(features(fit), fit.labels, fit.groups, fit.n_classes)
    return np.asarray(head.predict(features(held)) == held.labels, np.float64)


@lru_cache(maxsize=2)
def _statistics(data: Path, split: str) -> npt.NDArray[np.float64]:
    return correct(pixel_statistics, data, split)


def ucmerced_rows(encoder: Encoder, data: Path, case_prefix: str, *, seeds: str = "0") -> list[Row]:
    """Rows of suite `candidates` for one trained encoder: `<case_prefix>/ucmerced-val`, its accuracy and the paired
    difference to pixel statistics. Some ten seconds; opens train and val only.
    """
    groups, case = sets.ucmerced(Path(data), ("val",)).groups, f"{case_prefix}/ucmerced-val"
    ours = mean_sums(correct(partial(pooled, encoder), Path(data), "val"), groups)
    rival = mean_sums(_statistics(Path(data), "val"), groups)
    subject, n = Subject(case_prefix, "candidates", seeds), len(groups)
    return [
        own_row(subject, case, METRIC, ours, n, seeds),
        difference_rows(subject, case, METRIC, ours, ("pixel-statistics", rival), n)[0],
    ]


def rows(bank: Bank, split: str, others: Mapping[str, Sequence[Encoder]] | None = None) -> list[Row]:
    """`ucmerced-<val or test>/<feature>`: the model, its rivals but the teacher, and `others` by name (another model)."""
    part = SPLIT[split]
    groups = sets.ucmerced(bank.data, (part,)).groups
    functions = {f: seeds for f, seeds in bank.functions.items() if f != "teacher"}
    for name, encoders in (others or {}).items():
        functions[name] = [partial(pooled, encoder) for encoder in encoders]
    sums = {
        feature: mean_sums(np.stack([correct(f, bank.data, part) for f in seeds]), groups)
        for feature, seeds in functions.items()
    }
    return compared(bank.subject, f"ucmerced-{part}", METRIC, sums, len(groups))
