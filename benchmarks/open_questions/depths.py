"""Several depths of an encoder as planes of one file, for maps: is an early plane worth its bytes beside the last tokens?

The early plane's share of the bytes is chosen inside the training part by the first encoder; everything is reported on
tiles outside that part. The last tokens alone stand beside it, and so does the spectral plane in the early one's place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.open_questions.coding import Part, PlaneCodec, Sent, files
from benchmarks.open_questions.evidence import S2_SETS, Bench, Sets
from benchmarks.open_questions.heads import Task, Way, equal_bytes_score, sums, training_places
from benchmarks.open_questions.planes import FINAL, SPECTRAL, cell_validity, depth_planes
from benchmarks.open_questions.said import chosen_row, way_rows
from codec.evaluate.rate.protocol import folds
from codec.evaluate.rate.types import FloatVector
from codec.evaluate.rows import Row
from codec.models.vit import Encoder
from codec.transform.layout import PlaneLayout
from codec.types import FloatArray


@dataclass(frozen=True)
class Depths:
    """What is measured."""

    encoders: tuple[str, ...] = ("s2-nano-b-0", "s2-nano-b-1", "s2-nano-b-2")
    sets: tuple[str, ...] = ("water", "sky", "landuse")
    blocks: tuple[int, ...] = (0, 2)  # after so many; 0: the stem
    shares: tuple[float, ...] = (0.15, 0.3, 0.5)  # of the bytes, for the plane beside the last tokens
    budgets: tuple[float, ...] = (768, 384, 192, 96, 48)  # bytes a tile
    compared_at: tuple[float, ...] = (64, 128, 256, 512)
    resamples: int = 1

    @property
    def beside(self) -> tuple[str, ...]:
        return (*(f"block {k}" for k in self.blocks), SPECTRAL)


CONFIG = Depths()
# The last tokens as shipped packages have them; of a plane beside them the mean is not protected a second time.
LAYOUTS = {FINAL: PlaneLayout(), SPECTRAL: PlaneLayout(position_mean=False, n_layers=3)}
_BESIDE = PlaneLayout(dc_shift=0)


class Coder:
    """All planes of one encoder over all sets, coded on demand."""

    def __init__(self, encoder: Encoder, of: Sets, config: Depths) -> None:
        self.of, self.config = of, config
        self.planes = {n: depth_planes(encoder, e.tiles, config.blocks) for n, e in of.evidence.items()}
        self.validity = {n: cell_validity(e.tiles, encoder.config.patch) for n, e in of.evidence.items()}
        self._codecs: dict[tuple[str, str], PlaneCodec] = {}

    def part(self, name: str, plane: str, share: float) -> Part:
        """A plane of a set by a codec that was fitted on what the set allows."""
        if (name, plane) not in self._codecs:
            keep = self.of.whole(name, self.validity)
            train = np.concatenate([self.planes[other][plane][at] for other, at in keep.items()])
            valid = np.ones(train.shape[:3], dtype=np.bool_)
            layout = LAYOUTS.get(plane, _BESIDE)
            self._codecs[name, plane] = PlaneCodec.fit(plane, train, valid, layout)
        return Part(self._codecs[name, plane], self.planes[name][plane], self.validity[name], share)

    def sent(self, name: str, beside: str | None, share: float) -> dict[str, Sent]:
        """Files of the last tokens, alone or with another plane, at all budgets."""
        if beside is None:
            return files([self.part(name, FINAL, 1.0)], self.config.budgets)
        parts = [self.part(name, FINAL, 1.0 - share), self.part(name, beside, share)]
        return files(parts, self.config.budgets)

    def plain(self, name: str, beside: str | None) -> FloatArray:
        shown = [FINAL] if beside is None else [FINAL, beside]
        return np.concatenate([self.planes[name][plane] for plane in shown], axis=-1)


def _found(
    coder: Coder, task: Task, name: str, beside: str | None, share: float, resamples: int
) -> tuple[FloatVector, FloatVector]:
    """`sums` of a way, and its sizes S×N."""
    sent = coder.sent(name, beside, share)
    shown = (FINAL,) if beside is None else (FINAL, beside)
    settings = {s: np.concatenate([one.planes[p] for p in shown], axis=-1) for s, one in sent.items()}
    sizes = {s: one.sizes for s, one in sent.items()}
    found = sums(task, coder.plain(name, beside), settings, sizes, resamples)
    return found, np.stack(list(sizes.values()))


def _task(of: Sets, name: str, *, choose: bool) -> Task:
    evidence = of.evidence[name]
    target = next(t for t in evidence.targets if t.level == "token")
    places = folds(evidence, "unseen", all_places=choose)
    if choose:
        places = training_places(places, evidence.split)
    labels = np.asarray(target.labels, np.int64)
    return Task(target.name, labels, target.classes, evidence.tiles.groups, places)


def rows(bench: Bench, config: Depths = CONFIG) -> Iterator[Row]:
    """The choice of shares, then every way on every set."""
    encoders = bench.encoders(config.encoders)
    of = Sets(bench.data, S2_SETS, encoders[0].config.bands)
    coders = [Coder(encoder, of, config) for encoder in encoders]
    share: dict[str, float] = {}
    for beside in config.beside:
        scores = dict.fromkeys(config.shares, 0.0)
        for s in config.shares:
            for name in config.sets:
                task = _task(of, name, choose=True)
                tried = _found(coders[0], task, name, beside, s, 1)
                scores[s] += equal_bytes_score(task, *tried, config.compared_at) / len(config.sets)
        share[beside] = max(scores, key=lambda s: scores[s])
        for s in config.shares:
            yield chosen_row(f"depths/choice/{beside}", f"share {s:g}", scores[s], chosen=s == share[beside])
    for name in config.sets:
        task = _task(of, name, choose=False)
        ways: dict[str | None, Way] = {}
        for other in (None, *config.beside):
            part = share.get(other or "", 0.0)
            found = [_found(coder, task, name, other, part, config.resamples) for coder in coders]
            ways[other] = Way.of(task, [f for f, _ in found], [s for _, s in found])
        alone = ways[None]
        for other, way in ways.items():
            label = "final" if other is None else f"final + {other}"
            yield from way_rows(
                f"depths/{name}/{label}", way, None if other is None else alone, alone.uncompressed, task,
                config.compared_at, "final",
            )  # fmt: skip
