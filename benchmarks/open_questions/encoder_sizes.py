"""Is a larger encoder worth its bytes? Encoders of several sizes, each with its own codec, on a class a tile and on a map.

All saw the same views equally often, and few of them: what a size could become after a long training is another question.
Classes are asked of layer 0 alone, maps of all layers. Losses count against the uncompressed score of one size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.open_questions.coding import Part, PlaneCodec, files
from benchmarks.open_questions.evidence import S2_SETS, Bench, Sets
from benchmarks.open_questions.heads import Task, Way, sums
from benchmarks.open_questions.said import way_rows
from benchmarks.open_questions.small_encoders import FOLDER, SIZES, Sizes, label, weights
from codec.errors import InputError
from codec.evaluate.rate.embedding.curves import LayerCosts
from codec.evaluate.rate.features import pooled
from codec.evaluate.rate.model_planes import planes_of
from codec.evaluate.rate.protocol import folds
from codec.evaluate.rate.types import FloatVector, Planes
from codec.evaluate.rows import Row
from codec.models.vit import Encoder
from codec.models.weights import load_encoder
from codec.types import FloatArray


@dataclass(frozen=True)
class Compared:
    """What is measured."""

    sizes: Sizes = SIZES
    reference: tuple[int, int] = (128, 4)  # width and depth of the shipped encoder
    map_budgets: tuple[float, ...] = (768, 384, 192, 96, 48)  # bytes a tile, all layers
    class_budgets: tuple[float, ...] = (96, 64, 44, 30, 20)  # bytes a tile, layer 0 alone
    maps_at: tuple[float, ...] = (64, 128, 256, 512)
    classes_at: tuple[float, ...] = (24, 32, 48, 64)
    resamples: int = 1


CONFIG = Compared()


def tasks(of: Sets) -> tuple[Task, Task]:
    """Classes of EuroSAT's tiles, and water."""
    tiles, water = of.evidence["eurosat"], of.evidence["water"]
    target = next(t for t in tiles.targets if t.name == "class")
    labels = np.asarray(target.labels, np.int64)[:, None, None]
    of_tiles = Task("class", labels, target.classes, tiles.tiles.groups, folds(tiles, "unseen"))
    dense = water.targets[0]
    of_map = Task(
        "water", np.asarray(dense.labels, np.int64), dense.classes, water.tiles.groups, folds(water, "unseen")
    )
    return of_tiles, of_map


def _codec(of: Sets, name: str, planes: dict[str, Planes]) -> PlaneCodec:
    training = of.training(name).items()
    train = np.concatenate([planes[other].values["tokens"][keep] for other, keep in training])
    valid = np.concatenate([planes[other].validity[keep] for other, keep in training])
    return PlaneCodec.fit("tokens", train, valid)


def _classes(
    of: Sets, planes: dict[str, Planes], task: Task, config: Compared
) -> tuple[FloatVector, FloatVector]:
    codec, here = _codec(of, "eurosat", planes), planes["eurosat"]
    plain = np.asarray(here.values["tokens"])
    train = plain[of.training("eurosat")["eurosat"]]
    transform, elements = codec.codec.transforms["tokens"], plain[0].size
    costs = LayerCosts(codec.codec.tables, codec.coder.parsed, [transform.analyse(train)], [0], elements)

    def mean(values: FloatArray) -> FloatArray:
        return pooled(values, here.validity, "mean")[:, None, None]

    settings, sizes = {}, {}
    for budget in config.class_budgets:
        index = costs.index_for(8 * budget / elements, 1)
        sent = codec.code(plain, here.validity, index, layers=1)
        settings[f"{budget:g} B"], sizes[f"{budget:g} B"] = mean(sent.planes["tokens"]), sent.sizes
    return sums(task, mean(plain), settings, sizes, config.resamples), np.stack(list(sizes.values()))


def _maps(
    of: Sets, planes: dict[str, Planes], task: Task, config: Compared
) -> tuple[FloatVector, FloatVector]:
    codec, here = _codec(of, "water", planes), planes["water"]
    plain = np.asarray(here.values["tokens"])
    sent = files([Part(codec, plain, here.validity, 1.0)], config.map_budgets)
    settings = {name: one.planes["tokens"] for name, one in sent.items()}
    sizes = {name: one.sizes for name, one in sent.items()}
    return sums(task, plain, settings, sizes, config.resamples), np.stack(list(sizes.values()))


def _encoders(bench: Bench, config: Compared, width: int, depth: int) -> list[Encoder]:
    found = []
    for seed in config.sizes.seeds:
        path = weights(bench.runs / FOLDER, width, depth, seed)
        if not path.is_file():
            raise InputError("no such encoder", path=path, fix="train it: --part train")
        found.append(load_encoder(path))
    return found


def rows(bench: Bench, config: Compared = CONFIG) -> Iterator[Row]:
    """Every size on both tasks, against the reference size."""
    order = sorted(config.sizes.widths_depths, key=lambda size: size != config.reference)
    known: dict[tuple[tuple[int, int], str], Way] = {}
    for width, depth in order:
        encoders = _encoders(bench, config, width, depth)
        of = Sets(bench.data, S2_SETS, encoders[0].config.bands)
        planes = [{name: planes_of(e, one.tiles) for name, one in of.evidence.items()} for e in encoders]
        for task, measure, at in zip(
            tasks(of), (_classes, _maps), (config.classes_at, config.maps_at), strict=True
        ):
            found = [measure(of, one, task, config) for one in planes]
            way = Way.of(task, [f for f, _ in found], [s for _, s in found])
            known[(width, depth), task.name] = way
            rival = known[config.reference, task.name]
            yield from way_rows(
                f"sizes/{task.name}/{label(width, depth)}", way, None if way is rival else rival, rival.uncompressed,
                task, at, label(*config.reference),
            )  # fmt: skip
