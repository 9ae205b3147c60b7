"""One point from nothing: start, training, tables, measures; each step is skipped where its result lies there already."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codec.errors import TryAgain
from codec.nec.coding import POINT, Coder, freeze, load_point, recipe_of, save_point
from codec.nec.measure import Measured, as_dict, measure
from codec.nec.published import Nec2024
from codec.nec.recipe import Recipe, check_same
from codec.nec.samples import Samples, Views
from codec.nec.start import autoencoder_of, load_start
from codec.nec.train import Run, train

MEASURES = "measured.json"


@dataclass(frozen=True)
class Place:
    """Where things are."""

    root: Path  # of model packages
    data: Path | None  # the collection, for galileo_nano
    start: Path  # starting weights


def make_point(
    recipe: Recipe,
    pool: Views,
    place: Place,
    out: Path,
    *,
    stop_after_s: float = math.inf,
    tell: Callable[[str], None] = print,
) -> Measured:
    """Train, freeze, measure; writes `point.pt` and `measured.json`. Raises TryAgain where the time was up before."""
    path = out / POINT
    if path.exists():
        check_same(recipe.model_dump(mode="json"), recipe_of(path).model_dump(mode="json"), path)
        return Measured(**json.loads((out / MEASURES).read_text()))
    autoencoder = autoencoder_of(recipe, place.root, place.data)
    samples = Samples.of(pool, autoencoder.of)
    start = load_start(recipe, samples, autoencoder, place.start)
    run = Run(recipe, Nec2024(autoencoder), samples, start)
    if not train(run, out, stop_after_s=stop_after_s, tell=tell):
        raise TryAgain("stopped in time", path=out, fix="the same command goes on")
    coder = freeze(recipe, run.model)
    found = measure(coder, samples)
    if run.processes.is_first:
        text = json.dumps(as_dict(found), indent=1) + "\n"
        (out / MEASURES).write_text(text)
        save_point(coder, path, as_dict(found))
    return found


def open_point(out: Path, place: Place, *, group: int = 1) -> Coder:
    """The coder of a finished run."""
    path = out / POINT
    recipe = recipe_of(path)
    return load_point(path, autoencoder_of(recipe, place.root, place.data), group=group)
