"""Channel transforms by frequency against one for all of them, by what heads make of equal bytes, in the harness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from unittest.mock import patch

import numpy as np

from benchmarks.nec.held_out import Collection
from codec.evaluate.rate.curve_intervals import Bootstrap, utility_intervals
from codec.evaluate.rate.embedding import base
from codec.evaluate.rate.run import Entry
from codec.evaluate.rate.types import EmbeddingCoder, Method, Planes
from codec.evaluate.rate.utility import Judge
from codec.evaluate.rows import Row
from codec.transform.fit import fit_planes
from codec.transform.layout import PlaneLayout

SUITE = "nec"
SIZES = (32, 64, 128, 256, 512, 1024)  # bytes a tile
_DRAWS = 300


@dataclass(frozen=True)
class OneBasis(base.Base):
    """`base` with one channel transform for all frequencies."""

    def fit(self, train: Planes) -> EmbeddingCoder:
        layouts = dict.fromkeys(train.values, PlaneLayout(rotations=False))
        with patch.object(base, "fit_planes", partial(fit_planes, layouts=layouts)):
            return super().fit(train)


ONE = OneBasis(
    Method("base, one basis", "embedding", f"{base.BASE.about.source}; no rotations"), base.BASE.choose
)


def rows(of: Collection) -> Iterator[Row]:
    """Score at equal bytes less that of one basis, for every class target and regime."""
    how = replace(Bootstrap(), draws=_DRAWS)
    for held in of.held:
        evidence = of.run.sets[held.name]
        one, turned = (of.run.score(held.name, Entry(method)) for method in (ONE, base.BASE))
        for target in evidence.targets:
            if not target.is_class:
                continue
            view = "tokens" if target.level == "token" else "tokens mean"
            judge = Judge.of_target(evidence, target, one, view)
            for key in one.answers:
                if (key.target, key.view) != (target.name, view):
                    continue
                before, after = (judge.measured(scored, key, "score") for scored in (one, turned))
                case = f"{of.package.name}/rotations/{held.name}/{key.regime}"
                drawn = replace(how, statistic=judge.statistic("score"))
                for size, gain in zip(SIZES, utility_intervals(after, before, SIZES, drawn), strict=True):
                    if np.isfinite((gain.value, gain.low, gain.high)).all():
                        yield Row(
                            SUITE, case, f"{judge.name('score')}-difference at {size} B", gain.value, gain.low, gain.high,
                            f"{judge.unit('score')} [95% interval]", "one basis", int(judge.held.sum()),
                            str(of.run.setting.resamples),
                        )  # fmt: skip
