"""What is kept of a run: the uncompressed score, the points, and how they stand beside ours. Everything else that a report
would say of a hundred lines can be had of the answers on disk.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial

from codec.evaluate.rate.adapted.shares import curve_rows, share_rows
from codec.evaluate.rate.report import Question, scored_rows
from codec.evaluate.rate.suite_run import Work
from codec.evaluate.rows import Row

TWIN = "per-channel prior"  # the recipe without training: a step and a density for each channel
CURVES = "per-rate"  # a head for every point: what the recipe was published with

_say = partial(print, file=sys.stderr, flush=True)


def brief_rows(work: Work, suite: str, encoder: str, points: Sequence[str]) -> Iterator[Row]:
    """Score what is not on disk, then say it. `points`: names of the methods that are trained points; their static
    twin is compared too, where it was scored. Raises InternalError for answers that the audit refuses.
    """
    for name in work.sets:
        scored = {}
        for method, entry in work.methods.items():
            if (name, method) in work.pieces:
                scored[method] = work.run.score(name, entry)
                _say(f"scored {name}, {method}")
        evidence = work.run.sets[name]
        yield from scored_rows(encoder, evidence, work.run.setting, suite)
        for target in evidence.targets:
            question = Question(encoder, evidence, target, scored, suite)
            yield question._reference_row()
            yield from share_rows(question, [one for one in scored if one in points or one == TWIN])
            if CURVES in work.run.setting.regimes:
                yield from curve_rows(question, points, CURVES)
            _say(f"said {name}, {target.name}")
