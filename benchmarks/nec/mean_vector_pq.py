"""Product quantisation of the tile mean against layer 0: which is better at how few bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.nec.held_out import Collection
from codec.evaluate.rate.curve_intervals import Bootstrap, utility_intervals
from codec.evaluate.rate.embedding.curves import LayerCosts, Points
from codec.evaluate.rate.embedding.pooled import MEAN_OPQ
from codec.evaluate.rate.embedding.shipped import Shipped
from codec.evaluate.rate.run import Entry
from codec.evaluate.rate.store import Key
from codec.evaluate.rate.types import Method
from codec.evaluate.rate.utility import Judge, Utility
from codec.evaluate.rows import Row

SUITE = "nec"
SET, TARGET, VIEW = "eurosat", "class", "tokens mean"
BYTES = (4, 6, 8, 10, 12, 15, 20, 30)
_DRAWS = 1000


def every_third(costs: LayerCosts) -> Points:
    """Layer 0 alone down to the coarsest quality."""
    return {f"q{index} L0": (index, 1) for index in list(costs.tables.usable_indices())[-1:-31:-3][::-1]}


def rows(of: Collection) -> Iterator[Row]:
    """Accuracy and agreement of product quantisation less those of layer 0, at the same bytes, and where they cross."""
    source = f"package {of.package.name} {of.package.codec_id.hex()}; layer 0 alone, down to the coarsest"
    ours = Entry(Shipped(Method("layer 0, to the coarsest", "embedding", source), of.package, every_third))
    rival = Entry(MEAN_OPQ)
    mine, theirs = (of.run.score(SET, entry) for entry in (ours, rival))
    evidence = of.run.sets[SET]
    (target,) = (t for t in evidence.targets if t.name == TARGET)
    judge = Judge.of_target(evidence, target, mine, VIEW)
    utilities: tuple[Utility, ...] = ("score", "agreement", "log-likelihood")
    for regime in of.run.setting.regimes:
        key = Key(TARGET, VIEW, regime)
        case = f"{of.package.name}/{SET}/{TARGET}/{VIEW}/{regime}"
        for name, scored in (("layer 0", mine), ("product quantisation", theirs)):
            least = float(scored.bytes_per_tile[scored.sizes.sum(1) > 0].min())
            yield Row(SUITE, case, f"fewest bytes, {name}", least, unit="B/tile")
        for utility in utilities:
            how = replace(Bootstrap(), statistic=judge.statistic(utility), draws=_DRAWS)
            pq, layer0 = (judge.measured(scored, key, utility) for scored in (theirs, mine))
            unit = f"{judge.unit(utility)} [95% over places and training sets]"
            for size, found, alone in zip(
                BYTES,
                utility_intervals(pq, layer0, np.array(BYTES, float), how),
                utility_intervals(pq, None, np.array(BYTES, float), how),
                strict=True,
            ):
                if np.isfinite(alone.value):
                    yield Row(
                        SUITE, case, f"{judge.name(utility)} at {size} B, product quantisation", alone.value,
                        alone.low, alone.high, unit, n=int(judge.held.sum()),
                    )  # fmt: skip
                if np.isfinite(found.value):
                    yield Row(
                        SUITE, case, f"{judge.name(utility)}-difference at {size} B, product quantisation", found.value,
                        found.low, found.high, unit, "layer 0", int(judge.held.sum()),
                    )  # fmt: skip
