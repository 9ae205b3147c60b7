"""One adapter that sees a whole series, against single dates averaged: `python -m benchmarks.adapter_dates`.

    python -m benchmarks.adapter_dates --data ../shared/data

    rgb only, dates averaged   the frozen encoder answers each date alone; mean of the class probabilities
    deflect, one date          DEFLECT learns single dates and answers one of them: the score of a date drawn at random
    deflect, dates averaged    the same adapter; mean of the class probabilities over the dates that are there
    deflect, first date        learns and answers the first date alone: the next without its further dates
    deflect, all dates         every date is more bands of one adapter (`codec.scene.band_names`)

The task (`benchmarks.dated_series`) is land and water of a coastal series, five dates of one bay. A date that is mostly
under cloud in a tile is absent from it in every arm, and no arm knows where on the other dates there is cloud. The base of
`all dates` sees the first date, which is clear here; of a series that begins under cloud it would see nothing. All tiles
and dates of a place are in one fold and are drawn together, so `n` is the number of places, six.

Settings are the same for all arms and fixed before any score; answers are kept, so the same command goes on after anything.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.adapter_rows import rows_of
from benchmarks.adapter_tasks import FOLDS, Answered, Arm, Folders, IntArray, Task, adapter, held_out, keep
from benchmarks.command import finished
from benchmarks.dated_series import Series, read
from benchmarks.results import FOLDER, Row
from codec.adapt.training import NO_CLASS, Labelled, TaskRecipe
from codec.evaluate.rows import as_text, save
from codec.types import FloatArray

PART = "dates"
STEPS, SEEDS = 150, 3


@dataclass(frozen=True, slots=True)
class DatedArm:
    """Who learns, from which dates, and how dates become one answer."""

    name: str
    arm: Arm
    dates: Literal["alone", "first", "all"]
    averaged: bool = False


_ONE = Arm("deflect", "deflect")
ARMS = (
    DatedArm("deflect, dates averaged", _ONE, "alone", averaged=True),
    DatedArm("deflect, all dates", _ONE, "all"),
    DatedArm("deflect, first date", _ONE, "first"),
    DatedArm("deflect, one date", _ONE, "alone"),
    DatedArm(
        "rgb only, dates averaged", Arm("rgb only", "frozen", settings={"inputs": "own"}), "alone", True
    ),
)
# Whom each is held against: dates averaged, and of what sees all dates also the first of them alone.
RIVALS: Mapping[str, Sequence[str]] = {
    ARMS[0].name: tuple(arm.name for arm in ARMS[1:]),
    "deflect, first date": ("deflect, all dates",),
}


class PlaceTask(Task):
    """Scores answers of single dates, N×T×h×w with NO_CLASS where a tile lacks the date: a tile counts as much as any other,
    whatever the number of its dates.
    """

    def sums(self, answers: IntArray) -> npt.NDArray[np.float64]:
        """S×N×T×h×w → S×G×K·K: expected confusion where one date of each tile is drawn."""
        names, group = np.unique(self.groups, return_inverse=True)
        k = len(self.data.classes)
        told = (answers != NO_CLASS).any((3, 4))
        share = told / np.maximum(told.sum(2, keepdims=True), 1)
        known = (self.data.labels != NO_CLASS)[None, :, None]
        s, n, t, row, col = np.nonzero((answers != NO_CLASS) & known)
        cell = self.data.labels[n, row, col] * k + answers[s, n, t, row, col]
        found = np.zeros((len(answers), len(names), k * k))
        np.add.at(found, (s, group[n], cell), share[s, n, t])
        return found


def answer_dates(arm: DatedArm, series: Series, recipe: TaskRecipe, where: Folders, out: Path) -> Answered:
    """All folds of one seed, N×T×h×w (T is 1 where dates became one answer), NO_CLASS where a tile lacks the date."""
    if arm.dates != "alone":
        data, bands = series.until(1 if arm.dates == "first" else series.present.shape[1])
        logits, *size = _scores(arm.arm, data, bands, series.groups, recipe, where, out / arm.dates)
        return Answered(logits.argmax(-1)[:, None], *size)
    data, tile, date = series.alone()
    groups = series.groups[tile]
    logits, *size = _scores(arm.arm, data, series.bands, groups, recipe, where, out / arm.dates)
    if arm.averaged:
        return Answered(mean_of_dates(logits, tile).argmax(-1)[:, None], *size)
    answers = np.full((*series.present.shape, *data.labels.shape[1:]), NO_CLASS, np.int64)
    answers[tile, date] = logits.argmax(-1)
    return Answered(answers, *size)


def mean_of_dates(logits: FloatArray, tile: IntArray) -> FloatArray:
    """Logits M×…×K of single dates and the tile of each → class probabilities N×…×K, the mean of a tile's dates."""
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    found = np.zeros((int(tile.max()) + 1, *logits.shape[1:]), np.float64)
    np.add.at(found, tile, odds / odds.sum(-1, keepdims=True))
    count = np.bincount(tile).reshape(-1, *[1] * (logits.ndim - 1))
    return np.asarray(found / count, np.float32)


def _scores(
    arm: Arm,
    data: Labelled,
    bands: tuple[str, ...],
    groups: IntArray,
    recipe: TaskRecipe,
    where: Folders,
    out: Path,
) -> tuple[FloatArray, int, int]:
    """Logits of every tile by an adapter that learned at other places, how much learned, and of how much; kept in `out`
    under a name that says all that decides, and read from there.
    """
    encoder = where.encoder(arm.encoder)
    made = adapter(arm, encoder, recipe, bands)
    digest = hashlib.sha256()
    for part in (data.pixels, data.present, data.validity, data.labels, groups):
        digest.update(np.ascontiguousarray(part).tobytes())
    decides = [
        arm.method, made.settings.model_dump(mode="json"), recipe.model_dump(mode="json"), bands,
        made.base_sha256, digest.hexdigest(), FOLDS,
    ]  # fmt: skip
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
    path = out / f"{arm.name}-{recipe.seed}-{key}.npz"
    if path.exists():
        with np.load(path) as kept:
            return np.asarray(kept["logits"], np.float32), made.n_trained, made.base_parameters
    found = held_out(arm, encoder, bands, data, groups, recipe)
    keep(path, logits=found)
    return found, made.n_trained, made.base_parameters


def date_rows(series: Series, found: Mapping[str, list[Answered]]) -> list[Row]:
    """Scores of the arms and their differences to each of RIVALS; of one task there is no average over tasks."""
    data, _ = series.until(series.present.shape[1])
    task = PlaceTask(series.name, data, series.groups)
    rows: list[Row] = []
    for rival, arms in RIVALS.items():
        # Of the arms it is given, `rows_of` holds all against the first.
        fresh = rows_of(PART, [task], {(arm, series.name): found[arm] for arm in (rival, *arms)})
        rows += [row for row in fresh if row.rival or not any(row.key == old.key for old in rows)]
    return [row for row in rows if not row.case.startswith(f"{PART}/average/")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.adapter_dates", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of model packages")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--out", type=Path, default=Path("runs/adapters/dates"), help="answers are kept here")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the results")
    return parser


def _run(options: argparse.Namespace) -> None:
    series, where = read(options.data), Folders(options.data, options.models)
    found: dict[str, list[Answered]] = {}
    for seed in range(options.seeds):
        recipe = TaskRecipe(steps=options.steps, seed=seed)
        for arm in ARMS:
            found.setdefault(arm.name, []).append(answer_dates(arm, series, recipe, where, options.out))
            print(f"dates: {arm.name}, seed {seed} answered", flush=True)
    rows = date_rows(series, found)
    print(as_text(rows))
    save(rows, options.results, ("swathpack", "numpy", "torch"), per_machine=False)


def main(arguments: list[str] | None = None) -> int:
    """Run what is left; a SwathpackError becomes one line and its exit code."""
    options = _parser().parse_args(arguments)
    return finished(partial(_run, options))


if __name__ == "__main__":
    sys.exit(main())
