"""What every process of such a run holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from codec.evaluate.rate import suite_run
from codec.evaluate.rate.adapted.points import opened_points
from codec.evaluate.rate.adapted.run import AdaptedRun
from codec.evaluate.rate.run import Entry, Setting
from codec.evaluate.rate.suite import Suite
from codec.evaluate.rate.types import EmbeddingMethod
from codec.nec.point import Place

if TYPE_CHECKING:
    from codec.evaluate.rate.adapted.__main__ import Given


def prepared(
    given: Given,
    suite: Suite,
    encoder: str,
    out: Path,
    setting: Setting,
    sets: Sequence[str],
    methods: Sequence[str],
) -> suite_run.Work:
    """As `codec.evaluate.rate.suite_run.prepared`, with the adapted methods behind those of the suite."""
    work = suite_run.prepared(suite, encoder, given.data, out, setting, sets, methods)
    run = AdaptedRun(work.run.encoder, work.run.sets, out, setting)
    place = Place(given.models, given.data, given.start)
    entries = dict(work.methods)
    for name, runs in given.methods:
        entries[name] = Entry(cast(EmbeddingMethod, opened_points(name, runs, place)))
    return suite_run.Work(run, entries, work.sets)
