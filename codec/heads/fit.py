"""Fitting the heads of a package on embeddings decoded at several rates, and scoring them on places held out.

One head per task serves every rate and every band subset: its training set holds each tile with all its bands and
with subsets, uncompressed and decoded at several rates. That costs at most a point uncompressed and saves two to
five times the bytes at equal quality against a head that never saw a decoded embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.data.bandsets import REPORTED
from codec.data.geometry import turn
from codec.data.labelled import UNLABELLED, LabelledTiles
from codec.errors import InputError
from codec.heads.linear import IntArray, LinearHead, choose_penalty, fit_softmax
from codec.heads.pooling import mean_and_spread
from codec.heads.rates import Rate, choose_rates, decoded
from codec.heads.tasks import Task
from codec.models.inference import embed
from codec.models.vit import Encoder
from codec.package import Package
from codec.types import BoolArray, FloatArray, Tile

TURNS = 3  # orientations of each training tile
SUBSETS_PER_TURN = 2  # of the reported band subsets, besides all bands
MOST_SAMPLES = 60_000


@dataclass(frozen=True, slots=True)
class Planes:
    """Uncompressed embeddings of labelled tiles."""

    values: dict[str, FloatArray]  # plane → N×h×w×C
    validity: BoolArray  # N×h×w
    labels: IntArray  # N or N×h×w
    groups: IntArray  # N


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy with a 95 % interval over groups, and mean intersection over union of the classes present."""

    bands: str
    rate: Rate
    accuracy: float
    low: float
    high: float
    mean_iou: float
    n: int


@dataclass(frozen=True, slots=True)
class FittedHead:
    task: Task
    classes: tuple[str, ...]
    head: LinearHead
    rates: tuple[Rate, ...]
    penalty: float
    scores: tuple[Score, ...]
    held_out: str


def embed_labelled(
    encoder: Encoder,
    tiles: LabelledTiles,
    keep: tuple[str, ...] | None,
    turns: npt.NDArray[np.int64] | None = None,
) -> Planes:
    """Embeddings of all tiles with only the bands of `keep`, each turned by its entry of `turns`."""
    bands, side, patch = encoder.config.bands, encoder.config.side, encoder.config.patch
    mask = np.array([keep is None or band in keep for band in bands])
    which = np.zeros(len(tiles.pixels), np.int64) if turns is None else turns

    def windows() -> list[Tile]:
        found = []
        for i, w in enumerate(which.tolist()):
            present = tiles.present[i] & mask
            pixels = turn(tiles.pixels[i] * present[:, None, None], w)
            found.append(Tile(i, pixels, turn(tiles.validity[i], w), present))
        return found

    made = windows()
    share = np.stack([t.validity.reshape(side, patch, side, patch).mean((1, 3)) for t in made])
    labels = tiles.labels
    if labels.ndim == 3:
        labels = np.stack([turn(labels[i], w) for i, w in enumerate(which.tolist())])
    return Planes(embed(encoder, made), share >= 0.5, labels, tiles.groups)


def features(task: Task, values: dict[str, FloatArray], validity: BoolArray) -> FloatArray:
    """What the head's graph computes from the planes: N×F per tile, N×h×w×F per token."""
    x = np.concatenate([values[name] for name in task.planes], axis=-1)
    return mean_and_spread(x) if task.level == "tile" else x


def _samples(
    task: Task, planes: Planes, values: dict[str, FloatArray]
) -> tuple[FloatArray, IntArray, IntArray]:
    """Labelled, valid samples: features, labels, groups."""
    x = features(task, values, planes.validity)
    if task.level == "tile":
        return x, planes.labels, planes.groups
    use = (planes.labels != UNLABELLED) & planes.validity
    groups = np.broadcast_to(planes.groups[:, None, None], use.shape)
    return x[use], planes.labels[use], np.asarray(groups[use], np.int64)


def fit_task(
    task: Task, encoder: Encoder, package: Package, data: Path, *, seed: int = 0, split: str = "val"
) -> FittedHead:
    """Fit on the train split at all rates and score on `split`; classes that training does not have are left out."""
    rng = np.random.default_rng([seed, len(task.name)])
    bands = encoder.config.bands
    fit = task.read(data, "train", bands)
    known = np.unique(fit.labels[fit.labels != UNLABELLED])
    classes = tuple(fit.classes[i] for i in known)
    remap = np.full(len(fit.classes) + 1, UNLABELLED, np.int64)  # the last entry catches −1
    remap[known] = np.arange(len(known))
    if set(classes) - set(task.colours):
        raise InputError(f"head {task.name} lacks a colour", found=sorted(set(classes) - set(task.colours)))

    subsets = [subset for subset in REPORTED.values() if subset is not None]
    parts: list[tuple[FloatArray, IntArray, IntArray]] = []
    plain: list[tuple[FloatArray, IntArray, IntArray]] = []
    rates: list[Rate] = []
    for k in range(TURNS):
        turns = rng.integers(8, size=len(fit.pixels)) if k else np.zeros(len(fit.pixels), np.int64)
        drawn = rng.permutation(len(subsets))[:SUBSETS_PER_TURN]
        for keep in (None, *(subsets[int(i)] for i in drawn)):
            planes = embed_labelled(encoder, fit, keep, turns)
            if not rates:
                rates = choose_rates(package, planes.values, planes.validity)
            for rate, values in decoded(package, planes.values, planes.validity, rates):
                x, y, groups = _samples(task, planes, values)
                parts.append((x, remap[y], groups))
                if rate.ladder_index is None:
                    plain.append(parts[-1])
    penalty = choose_penalty(*_thin(plain, rng, MOST_SAMPLES // 8), len(classes))
    x, y, _ = _thin(parts, rng, MOST_SAMPLES)
    # Between plain and balanced: rare classes count, and do not drown the common ones in false alarms.
    count = np.bincount(y, minlength=len(classes)).astype(np.float64)
    weight = (count[y] ** -0.5).astype(np.float32)
    head = fit_softmax(x, y, len(classes), penalty=penalty, weight=weight)
    held = task.read(data, split, bands)
    scores = _score(task, head, encoder, package, held, remap, tuple(rates))
    return FittedHead(task, classes, head, tuple(rates), penalty, scores, split)


def _thin(
    parts: list[tuple[FloatArray, IntArray, IntArray]], rng: np.random.Generator, most: int
) -> tuple[FloatArray, IntArray, IntArray]:
    """At most `most` samples, the same share of every part."""
    total = sum(len(y) for _, y, _ in parts)
    if total > most:
        parts = [
            (x[pick], y[pick], g[pick])
            for x, y, g in parts
            for pick in [np.sort(rng.permutation(len(y))[: max(1, len(y) * most // total)])]
        ]
    xs, ys, gs = zip(*parts, strict=True)
    return np.concatenate(xs), np.concatenate(ys), np.concatenate(gs)


def _score(
    task: Task,
    head: LinearHead,
    encoder: Encoder,
    package: Package,
    held: LabelledTiles,
    remap: IntArray,
    rates: tuple[Rate, ...],
) -> tuple[Score, ...]:
    """Every reported band subset uncompressed, and every rate with all bands."""
    found = []
    for number, keep in REPORTED.items():
        if keep is not None and not all(
            set(keep) <= {b for b, p in zip(encoder.config.bands, row, strict=True) if p}
            for row in held.present
        ):
            continue  # some held-out tile lacks a band of this subset
        planes = embed_labelled(encoder, held, keep)
        wanted = rates if keep is None else rates[:1]
        for rate, values in decoded(package, planes.values, planes.validity, wanted):
            x, y, groups = _samples(task, planes, values)
            y = remap[y]
            use = y != UNLABELLED
            found.append(score(head.predict(x[use]), y[use], groups[use], number, rate))
    return tuple(found)


def score(
    predicted: IntArray, truth: IntArray, groups: IntArray, bands: str, rate: Rate, draws: int = 1000
) -> Score:
    """Accuracy, its bootstrap interval over groups, and mean IoU over the classes that occur in the truth."""
    if not len(truth):
        raise InputError("no held-out sample has a class that the head knows")
    right = (predicted == truth).astype(np.float64)
    names = np.unique(groups)
    sums = np.array([right[groups == g].sum() for g in names])
    counts = np.array([(groups == g).sum() for g in names])
    picks = np.random.default_rng(0).integers(len(names), size=(draws, len(names)))
    low, high = np.percentile(sums[picks].sum(1) / counts[picks].sum(1), (2.5, 97.5))
    ious = []
    for c in np.unique(truth):
        both = float(((predicted == c) & (truth == c)).sum())
        ious.append(both / float(((predicted == c) | (truth == c)).sum()))
    return Score(bands, rate, float(right.mean()), float(low), float(high), float(np.mean(ious)), len(truth))
