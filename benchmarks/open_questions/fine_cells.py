"""Maps of 4-pixel cells: statistics of 4-pixel cells as a plane of their own, against means of 8-pixel patches and tokens.

Heads see cells. Tokens and patch means are enlarged bilinearly between their centres, so that a map of them is smooth and
not made of squares. The share of bytes of the plane beside the tokens is chosen inside the training parts of the
multispectral sets by the first encoder; aerial pictures of buildings and roads take no part in that choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from benchmarks.open_questions.coding import Part, PlaneCodec, Sent, files
from benchmarks.open_questions.evidence import S2_SETS, Bench, Sets
from benchmarks.open_questions.heads import Task, Way, equal_bytes_score, sums, training_places
from benchmarks.open_questions.planes import cell_labels, cell_statistics, cell_validity, enlarged
from benchmarks.open_questions.said import chosen_row, way_rows
from codec.data import masks
from codec.evaluate.rate.model_planes import planes_of
from codec.evaluate.rate.protocol import folds
from codec.evaluate.rate.sets import DUBAI_CLASSES, SPLITS
from codec.evaluate.rate.types import FloatVector, IntArray
from codec.evaluate.rows import Row
from codec.models.vit import Encoder
from codec.transform.layout import PlaneLayout
from codec.types import BoolArray, FloatArray

CELL, PATCH = 4, 8
TOKENS, PATCHES, CELLS, TEXTURE = "tokens", "patches", "cells", "cells and deviations"


@dataclass(frozen=True)
class Cells:
    """What is measured."""

    encoders: tuple[str, ...] = ("s2-nano-b-0", "s2-nano-b-1", "s2-nano-b-2")
    aerial_encoders: tuple[str, ...] = ("rgb-small-b-0", "rgb-small-b-1", "rgb-small-b-2")
    sets: tuple[str, ...] = ("water", "landuse")
    aerial_sets: tuple[str, ...] = ("dubai",)
    bands: tuple[str, ...] = (
        "blue",
        "green",
        "red",
        "nir",
        "swir16",
    )  # of cells; those that an encoder knows
    ways: tuple[tuple[str, ...], ...] = (
        (TOKENS,), (PATCHES,), (CELLS,), (TEXTURE,), (TOKENS, PATCHES), (TOKENS, CELLS),
    )  # fmt: skip
    shares: tuple[float, ...] = (0.3, 0.5, 0.7)  # of the bytes, for what stands beside the tokens
    budgets: tuple[float, ...] = (768, 384, 192, 96, 48)  # bytes a tile
    compared_at: tuple[float, ...] = (64, 128, 256, 512)
    every: int = 3  # of the cells of a tile are asked: neighbours are alike
    resamples: int = 1


CONFIG = Cells()
_STATISTICS = PlaneLayout(position_mean=False, n_layers=3)


@dataclass
class Coder:
    """All planes of one encoder over all sets; statistics need none and are shared."""

    of: Sets
    config: Cells
    tokens: Mapping[str, FloatArray]  # by set
    statistics: Mapping[str, Mapping[str, FloatArray]]  # by set and plane
    _codecs: dict[tuple[str, str], PlaneCodec] = field(default_factory=dict)

    def values(self, name: str, plane: str) -> tuple[FloatArray, BoolArray]:
        """N×h×w×C and N×h×w."""
        values = self.tokens[name] if plane == TOKENS else self.statistics[name][plane]
        cell = self.of.evidence[name].tiles.tile // values.shape[1]
        return values, cell_validity(self.of.evidence[name].tiles, cell)

    def part(self, name: str, plane: str, share: float) -> Part:
        """A plane of a set by a codec that was fitted on what the set allows."""
        values, validity = self.values(name, plane)
        if (name, plane) not in self._codecs:
            training = self.of.training(name).items()
            found = [(self.values(other, plane), keep) for other, keep in training]
            train = np.concatenate([v[keep] for (v, _), keep in found])
            valid = np.concatenate([known[keep] for (_, known), keep in found])
            layout = PlaneLayout() if plane == TOKENS else _STATISTICS
            self._codecs[name, plane] = PlaneCodec.fit(plane, train, valid, layout)
        return Part(self._codecs[name, plane], values, validity, share)

    def found(
        self, task: Task, name: str, way: tuple[str, ...], share: float, resamples: int
    ) -> tuple[FloatVector, FloatVector]:
        """`sums` of a way, and its sizes S×N."""
        shares = [1.0] if len(way) == 1 else [1.0 - share, share]
        parts = [self.part(name, plane, s) for plane, s in zip(way, shares, strict=True)]
        sent: dict[str, Sent] = files(parts, self.config.budgets)
        plain = seen({plane: self.values(name, plane)[0] for plane in way})
        settings = {s: seen({plane: one.planes[plane] for plane in way}) for s, one in sent.items()}
        sizes = {s: one.sizes for s, one in sent.items()}
        return sums(task, plain, settings, sizes, resamples), np.stack(list(sizes.values()))


def seen(planes: Mapping[str, FloatArray]) -> FloatArray:
    """What a head of cells sees: planes side by side on the grid of cells."""
    return np.concatenate(
        [x if plane in (CELLS, TEXTURE) else enlarged(x, PATCH // CELL) for plane, x in planes.items()],
        axis=-1,
    )


def coder(encoder: Encoder, of: Sets, config: Cells, shared: Coder | None) -> Coder:
    """Planes of one encoder, statistics taken from another's coder where there is one."""
    tokens = {n: np.asarray(planes_of(encoder, e.tiles).values["tokens"]) for n, e in of.evidence.items()}
    if shared is not None:
        return Coder(of, config, tokens, shared.statistics)
    known = encoder.config.bands
    few = tuple(b for b in config.bands if b in known)
    statistics = {}
    for name, evidence in of.evidence.items():
        texture = cell_statistics(evidence.tiles, few, CELL, deviations=True)
        statistics[name] = {
            PATCHES: cell_statistics(evidence.tiles, known, PATCH, deviations=False),
            CELLS: np.ascontiguousarray(texture[..., : len(few)]),
            TEXTURE: texture,
        }
    return Coder(of, config, tokens, statistics)


def pixel_masks(bench: Bench, name: str) -> list[IntArray]:
    """A class per pixel of every scene of a set, in the order of the harness's own."""
    if name == "water":
        columns = [mask for split in SPLITS for _, mask in masks.flood(bench.data, split)]
        return [np.concatenate(columns, axis=1)]
    if name == "landuse":
        return [
            products[0][1] for split in ("train", "val") for _, products in masks.landuse(bench.data, split)
        ]
    found = []
    for split in SPLITS:
        for image, mask in masks.aerial(bench.data, split, len(DUBAI_CLASSES)):
            found.append(mask[: image.height // 2 * 2 : 2, : image.width // 2 * 2 : 2])
    return found


def _task(bench: Bench, of: Sets, name: str, config: Cells, *, choose: bool) -> Task:
    evidence = of.evidence[name]
    places = folds(evidence, "unseen", all_places=choose)
    if choose:
        places = training_places(places, evidence.split)
    labels = cell_labels(evidence.tiles, pixel_masks(bench, name), CELL)
    row, col = np.indices(labels.shape[1:])
    asked = (row + col * (config.every + 1) // 2) % config.every == 0
    target = next(t for t in evidence.targets if t.level == "token")
    return Task(name, np.where(asked, labels, -1), target.classes, evidence.tiles.groups, places)


def rows(bench: Bench, config: Cells = CONFIG) -> Iterator[Row]:
    """The choice of shares, then every way on every set."""
    encoders = bench.encoders(config.encoders)
    of = Sets(bench.data, S2_SETS, encoders[0].config.bands)
    first = coder(encoders[0], of, config, None)
    share: dict[tuple[str, ...], float] = {}
    for way in (way for way in config.ways if len(way) > 1):
        scores = dict.fromkeys(config.shares, 0.0)
        for s in config.shares:
            for name in config.sets:
                task = _task(bench, of, name, config, choose=True)
                found = first.found(task, name, way, s, 1)
                scores[s] += equal_bytes_score(task, *found, config.compared_at) / len(config.sets)
        share[way] = max(scores, key=lambda s: scores[s])
        for s in config.shares:
            case = f"cells/choice/{' + '.join(way)}"
            yield chosen_row(case, f"share {s:g}", scores[s], chosen=s == share[way])
    coders = [first, *(coder(encoder, of, config, first) for encoder in encoders[1:])]
    for name in config.sets:
        yield from _set_rows(bench, coders, of, name, config, share)
    aerial = bench.encoders(config.aerial_encoders)
    of = Sets(bench.data, ("ucmerced", *config.aerial_sets), aerial[0].config.bands)
    first = coder(aerial[0], of, config, None)
    coders = [first, *(coder(encoder, of, config, first) for encoder in aerial[1:])]
    for name in config.aerial_sets:
        yield from _set_rows(bench, coders, of, name, config, share)


def _set_rows(
    bench: Bench,
    coders: list[Coder],
    of: Sets,
    name: str,
    config: Cells,
    share: Mapping[tuple[str, ...], float],
) -> Iterator[Row]:
    task = _task(bench, of, name, config, choose=False)
    ways: dict[tuple[str, ...], Way] = {}
    for way in config.ways:
        # Statistics are the same whatever the encoder.
        own = coders if TOKENS in way else coders[:1]
        found = [one.found(task, name, way, share.get(way, 0.0), config.resamples) for one in own]
        found *= len(coders) // len(found)
        ways[way] = Way.of(task, [f for f, _ in found], [s for _, s in found])
    reference = ways[TOKENS,].uncompressed
    # Each plane of cells against the plane of patches that it would replace.
    rivals = {
        (CELLS,): (PATCHES,),
        (TEXTURE,): (PATCHES,),
        (TOKENS, CELLS): (TOKENS, PATCHES),
        (TOKENS, PATCHES): (TOKENS,),
    }
    for way, measured in ways.items():
        rival = rivals.get(way)
        yield from way_rows(
            f"cells/{name}/{' + '.join(way)}", measured, None if rival is None else ways[rival], reference, task,
            config.compared_at, "" if rival is None else " + ".join(rival),
        )  # fmt: skip
