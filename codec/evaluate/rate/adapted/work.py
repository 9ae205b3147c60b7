"""What every process of such a run holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from codec.evaluate.rate import suite_run
from codec.evaluate.rate.adapted.layouts import LAYOUTS
from codec.evaluate.rate.adapted.points import AdaptedPoints, opened_points
from codec.evaluate.rate.adapted.run import AdaptedRun
from codec.evaluate.rate.adapted.start_encoder import start_encoder
from codec.evaluate.rate.run import Entry, Setting
from codec.evaluate.rate.suite import Suite, entries, sendable
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
    if given.layout is not None:
        return _of_layout(given, given.layout, suite, encoder, out, setting, methods)
    work = suite_run.prepared(suite, encoder, given.data, out, setting, sets, methods)
    run = AdaptedRun(work.run.encoder, work.run.sets, out, setting)
    return suite_run.Work(run, {**work.methods, **_points(given)}, work.sets)


def _points(given: Given) -> dict[str, Entry]:
    place = Place(given.models, given.data, given.start)
    return {
        name: Entry(cast(EmbeddingMethod, opened_points(name, runs, place))) for name, runs in given.methods
    }


def _of_layout(
    given: Given,
    layout: str,
    suite: Suite,
    encoder: str,
    out: Path,
    setting: Setting,
    methods: Sequence[str],
) -> suite_run.Work:
    """A published set, seen by the encoder that the points start from."""
    adapted = _points(given)
    start = next(cast(AdaptedPoints, entry.method) for entry in adapted.values()).start
    evidence = LAYOUTS[layout](given.data, start.of)
    known = {entry.name: entry for entry in entries(sendable(suite, evidence), None, methods)}
    run = AdaptedRun(start_encoder(encoder, start), {layout: evidence}, out, setting)
    return suite_run.Work(run, {**known, **adapted}, (layout,))
