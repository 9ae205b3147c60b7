"""Bytes at equal accuracy of an adapted encoder, the one it came from, and one that was made for all bands.

    python -m benchmarks.adapter_bytes --data ../shared/data                  # DEFLECT, three seeds
    python -m benchmarks.adapter_bytes --data ../shared/data --narrow 120     # of 120 interpolated narrow bands

An adapter learns a task on the collection's training part of it. The tokens of each encoder then go through the same
training-free codec (`base`, of tile classes its layer 0) and the heads of `codec.evaluate rate`, one for all rates, on tiles
outside every training part. The codec is fitted to training tiles as the harness does it: of `water`, whose columns are
folded, to those of `eurosat` and `landuse` alone, so it never saw what the adapter was trained for. Equal accuracy is that
of the other encoder uncompressed, by a head of its own, less the loss that a row names. Heads learn from five draws of the
training places, and what is said is their mean; intervals draw places and the seeds of adapters, which other encoders do
not have.

`landuse` has nine tiles left and `sky` is dates of one place, whose labels an adapter would have seen: no rows. What is
scored is kept, so the same command goes on after anything. Rows: `adapters.csv`, cases `bytes/TASK/ARM`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.adapter_rows import NATIVE, OURS, RGB_ONLY, SUITE
from benchmarks.adapter_tasks import Task
from benchmarks.command import finished
from benchmarks.results import FOLDER, Row
from codec.adapt import apply
from codec.adapt.files import save_adapter
from codec.adapt.training import Labelled, TaskRecipe, train
from codec.errors import InternalError
from codec.evaluate.intervals import Statistic
from codec.evaluate.rate.curve_intervals import Bootstrap, Measured, bytes_interval, point_intervals
from codec.evaluate.rate.digests import of_code
from codec.evaluate.rate.encoders import PlaneEncoder, open_encoder, with_adapter
from codec.evaluate.rate.report import DRAWS, LOSSES
from codec.evaluate.rate.report import OURS as METHODS
from codec.evaluate.rate.run import Run, Setting
from codec.evaluate.rate.sets import SETS
from codec.evaluate.rate.store import Key
from codec.evaluate.rate.suite import chosen, entries
from codec.evaluate.rate.targets import Evidence
from codec.evaluate.rate.types import FloatVector
from codec.evaluate.rate.utility import Judge
from codec.evaluate.rows import as_text, save
from codec.heads.regimes import Regime
from codec.models.bands import S2_NANO_BANDS
from codec.models.weights import load_encoder
from codec.package import load
from codec.package.files import sha256_of

TASKS = ("eurosat", "water")
CODEC_SETS = (*TASKS, "landuse")
BASE, MADE_FOR_ALL = "rgb-small", "s2-nano"
REGIME: Regime = "mixed"
SETTING = Setting(split="unseen", regimes=("one", REGIME))


@dataclass(frozen=True, slots=True)
class Reached:
    """What the heads of one encoder said of one task: R seeds of its adapter, 1 where it has none."""

    measured: Measured
    uncompressed: FloatVector  # sums R×G×F

    @classmethod
    def mean_of_heads(cls, measured: Measured, uncompressed: FloatVector) -> Reached:
        """Of one seed: heads that share a training set are no seeds."""
        return cls(Measured(measured.sums.mean(0)[None], measured.sizes), uncompressed.mean(0)[None])

    def beside(self, seeds: int) -> Reached:
        """An encoder without seeds, as it meets each seed of another: it adds nothing to what they scatter."""
        sums = np.repeat(self.measured.sums, seeds, axis=0)
        return Reached(Measured(sums, self.measured.sizes), np.repeat(self.uncompressed, seeds, axis=0))


def joined(seeds: Sequence[Reached]) -> Reached:
    """Seeds of one adapter, at the mean of their bytes."""
    if len({one.measured.sums.shape[1] for one in seeds}) > 1:
        raise InternalError("seeds were coded at different numbers of settings")
    sums = np.concatenate([one.measured.sums for one in seeds])
    sizes = np.mean([one.measured.sizes for one in seeds], axis=0)
    return Reached(Measured(sums, sizes), np.concatenate([one.uncompressed for one in seeds]))


def evidence_of(task: str, data: Path, narrow: int) -> Evidence:
    """The set with its class target alone; with `narrow` bands interpolated in the place of all but red, green and blue."""
    found = SETS[task](data, S2_NANO_BANDS)
    found = replace(found, targets=tuple(target for target in found.targets if target.is_class))
    if not narrow:
        return found
    tiles, target = found.tiles, found.targets[0]
    labels = np.asarray(target.labels, np.int64)
    labelled = Labelled(tiles.pixels, tiles.present, tiles.validity, labels, target.classes)
    more, bands = Task(task, labelled, tiles.groups).narrow(narrow)
    return replace(
        found, tiles=replace(tiles, bands=bands, pixels=more.data.pixels, present=more.data.present)
    )


def learned(task: Evidence, recipe: TaskRecipe, weights: Path, folder: Path) -> Path:
    """The file of an adapter that saw the task's training part and nothing else; one that is there is not trained again."""
    tiles, target = task.tiles, task.targets[0]
    data = Labelled(
        tiles.pixels, tiles.present, tiles.validity, np.asarray(target.labels, np.int64), target.classes
    ).part(np.asarray(task.split == "train"))
    decides = [recipe.model_dump_json(), sha256_of(weights), tiles.bands, of_code(("codec.adapt",))]
    digest = hashlib.sha256(json.dumps(decides).encode())
    for part in (data.pixels, data.present, data.validity, data.labels):
        digest.update(np.ascontiguousarray(part).tobytes())
    path = folder / f"{tiles.name}-{recipe.seed}-{digest.hexdigest()[:12]}.safetensors"
    if path.exists():
        return path
    adapted = apply(load_encoder(weights), "deflect", tiles.bands, seed=recipe.seed)
    train(adapted, data, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    save_adapter(adapted, path, encoder_sha256=sha256_of(weights))
    return path


def reached(encoder: PlaneEncoder, task: str, sets: dict[str, Evidence], out: Path) -> tuple[Reached, Judge]:
    """Every setting of the codec, as the heads for all rates answer, and what judges them."""
    target = sets[task].targets[0]
    method, view = METHODS[target.level][0]
    (entry,) = entries(chosen("default"), None, (method,))
    scored = Run(encoder, sets, out, SETTING).score(task, entry)
    judge = Judge.of_target(sets[task], target, scored, view)
    measured = judge.measured(scored, Key(target.name, view, REGIME), "score")
    return Reached.mean_of_heads(measured, judge.uncompressed("score")), judge


def rows_of(task: str, judge: Judge, arms: dict[str, Reached], seeds: int) -> Iterator[Row]:
    """Scores, bytes, and bytes at equal accuracy of one task; each arm beside those before it."""
    statistic: Statistic = judge.statistic("score")
    how = replace(Bootstrap(statistic=statistic), draws=DRAWS)
    places = next(iter(arms.values())).uncompressed.shape[1]
    row = partial(Row, SUITE, n=places, seeds=",".join(map(str, range(seeds))))
    names = list(arms)
    for name, of in arms.items():
        case = f"bytes/{task}/{name}"
        whole = Measured(of.uncompressed[:, None], np.ones((1, places, 2)))
        (score,) = point_intervals(whole, how)
        yield row(
            case, f"{judge.name('score')}, uncompressed", score.value, score.low, score.high,
            f"{judge.unit('score')} [95% interval over places and seeds of adapters]",
        )  # fmt: skip
        for loss in LOSSES[judge.target.level]:
            found = bytes_interval(of.measured, None, -loss, how, reference=of.uncompressed)
            yield row(
                case, f"bytes at its own −{100 * loss:g}", found.value, found.low, found.high, f"B/tile [{found.note}]"
            )  # fmt: skip
            for less in names[: names.index(name)]:
                found = bytes_interval(
                    of.measured, arms[less].measured, -loss, how, reference=arms[less].uncompressed
                )
                yield row(
                    case, f"times fewer bytes at the other's −{100 * loss:g}", found.value, found.low, found.high,
                    f"ratio [{found.note}]", less,
                )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.adapter_bytes", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument("--task", choices=TASKS, action="append", help="again for more (default: all)")
    parser.add_argument("--narrow", type=int, default=0, help="narrow bands instead of the twelve")
    parser.add_argument("--steps", type=int, default=TaskRecipe().steps)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/adapter-bytes"), help="what is scored is kept here"
    )
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the results")
    return parser


def _run(options: argparse.Namespace) -> None:
    weights = load(BASE).path("encoder.safetensors")
    narrow = options.narrow
    sets = {task: evidence_of(task, options.data, narrow) for task in CODEC_SETS}
    ours = f"{OURS}, {narrow} narrow bands" if narrow else OURS
    out = options.out / (f"narrow-{narrow}" if narrow else "twelve")
    rows: list[Row] = []
    for task in options.task or TASKS:
        seeds = []
        for seed in range(options.seeds):
            recipe = TaskRecipe(steps=options.steps, seed=seed)
            path = learned(sets[task], recipe, weights, out / "adapters")
            seeds.append(reached(with_adapter(path.stem, weights, path), task, sets, out)[0])
            print(f"adapter bytes: {task}, {ours}, seed {seed} scored", flush=True)
        only, judge = reached(open_encoder(BASE), task, sets, out)
        arms = {RGB_ONLY: only.beside(options.seeds), ours: joined(seeds)}
        if not narrow:  # it knows the twelve
            native, _ = reached(open_encoder(MADE_FOR_ALL), task, sets, out)
            arms[NATIVE] = native.beside(options.seeds)
        rows += rows_of(task, judge, arms, options.seeds)
    print(as_text(rows))
    save(rows, options.results, ("swathpack", "numpy", "torch"), per_machine=False)


def main(arguments: list[str] | None = None) -> int:
    """Run what is left; a SwathpackError becomes one line and its exit code."""
    options = _parser().parse_args(arguments)
    return finished(partial(_run, options))


if __name__ == "__main__":
    sys.exit(main())
