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

from codec.errors import InputError
from codec.evaluate import scenes as sets
from codec.evaluate.features import pixel_statistics, pooled, random_convolutions, random_twin
from codec.evaluate.intervals import bootstrap, mean_sums
from codec.evaluate.probes import fit_probe
from codec.evaluate.rows import Row
from codec.models.vit import Encoder
from codec.types import FloatArray

METRIC = "probe-accuracy"
UNIT = "% [95% bootstrap over neighbouring pictures and seeds]"


def correct(
    features: Callable[[sets.Scenes], FloatArray], data: Path, split: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Correctness of each held-out tile, and its group."""
    if split not in ("val", "test"):
        raise InputError("UC Merced is scored on val, or once for a release on test", found=split)
    fit, held = sets.ucmerced(data, ("train",)), sets.ucmerced(data, (split,))
    head = fit_probe(features(fit), fit.labels, fit.groups, fit.n_classes)
    return np.asarray(head.predict(features(held)) == held.labels, np.float64), held.groups


@lru_cache(maxsize=8)
def _rival(name: str, data: Path, split: str, seeds: int) -> npt.NDArray[np.float64]:
    if name == "pixel-statistics":
        return correct(pixel_statistics, data, split)[0][None]
    return np.stack([correct(partial(random_convolutions, seed=s), data, split)[0] for s in range(seeds)])


def ucmerced_rows(
    encoders: Encoder | Sequence[Encoder],
    data: Path,
    case_prefix: str,
    *,
    split: str = "val",
    suite: str = "candidates",
    rivals: Mapping[str, Sequence[Encoder]] | None = None,
    twins: bool = False,
    convolutions: bool = False,
    seeds: str = "",
) -> list[Row]:
    """Accuracy of the mean over the given seeds, and the paired differences to its rivals.

    Pixel statistics always; `twins` adds the random twins, `convolutions` random convolution features, `rivals` other
    encoders by name. A case is `<case_prefix>/ucmerced-<split>`; a rival's own row is `<rival>/ucmerced-<split>`.
    """
    data = Path(data)
    ours = [encoders] if isinstance(encoders, Encoder) else list(encoders)

    def of(models: Sequence[Encoder]) -> npt.NDArray[np.float64]:
        return np.stack([correct(partial(pooled, m), data, split)[0] for m in models])

    right = of(ours)
    groups = sets.ucmerced(data, (split,)).groups
    against = {"pixel-statistics": _rival("pixel-statistics", data, split, 1)}
    if convolutions:
        against["random-convolutions"] = _rival("random-convolutions", data, split, len(ours))
    if twins:
        against["random-twin"] = of([random_twin(e.config, seed) for seed, e in enumerate(ours)])
    for name, others in (rivals or {}).items():
        against[name] = of(others)
    a, n = mean_sums(right, groups), len(groups)
    alone = bootstrap(a).scaled(100)
    case = f"{case_prefix}/ucmerced-{split}"
    out = [Row(suite, case, METRIC, alone.value, alone.low, alone.high, UNIT, n=n, seeds=seeds)]
    for name, values in against.items():
        b = mean_sums(values, groups)
        own, paired = bootstrap(b).scaled(100), bootstrap(a, b).scaled(100)
        if suite != "candidates":
            out.append(
                Row(suite, f"{name}/ucmerced-{split}", METRIC, own.value, own.low, own.high, UNIT, n=n)
            )
        out.append(
            Row(
                suite,
                case,
                f"{METRIC}-difference",
                paired.value,
                paired.low,
                paired.high,
                UNIT,
                name,
                n,
                seeds,
            )
        )
    return out
