"""Fitting the heads of a package on embeddings decoded at several rates, and scoring them on places held out.

One head per task serves every rate and every band subset: its training set holds each tile with all its bands and
with subsets, uncompressed and decoded at several rates. That costs at most a point uncompressed and saves two to
five times the bytes at equal quality against a head that never saw a decoded embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codec.data.labelled import BLOCKS_PER_PLACE, UNLABELLED, LabelledTiles
from codec.errors import InputError
from codec.heads.linear import IntArray, LinearHead, choose_penalty, fit_softmax
from codec.heads.rates import Rate, decoded
from codec.heads.samples import Samples, embed_labelled, samples, subsets_of, training_samples
from codec.heads.score import Score, score
from codec.heads.tasks import Task
from codec.models.inference import Embeds
from codec.package import Package

# What a head is scored on: `val` while choices are open, the others once for a release.
HELD_OUT: dict[str, tuple[str, ...]] = {"val": ("val",), "test": ("test",), "unseen": ("val", "test")}
_PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
_PENALTY_SAMPLES = 2_000
_FEWEST_PLACES = 4  # for folds that hold out whole places
_GROUPS_PER_SPLIT = 1_000_000


@dataclass(frozen=True, slots=True)
class FittedHead:
    task: Task
    classes: tuple[str, ...]
    head: LinearHead
    rates: tuple[Rate, ...]
    penalty: float
    folds: str  # what the folds that chose the penalty held out: "places" or "blocks"
    scores: tuple[Score, ...]
    held_out: str


def read_held_out(task: Task, data: Path, split: str, bands: tuple[str, ...]) -> LabelledTiles:
    """The tiles of a held-out part; groups of different splits stay apart."""
    if split not in HELD_OUT:
        raise InputError("heads are not scored on this", expected=", ".join(HELD_OUT), found=split)
    sets = [task.read(data, part, bands) for part in HELD_OUT[split]]
    return LabelledTiles(
        np.concatenate([t.pixels for t in sets]),
        np.concatenate([t.present for t in sets]),
        np.concatenate([t.validity for t in sets]),
        np.concatenate([t.labels for t in sets]),
        np.concatenate([t.groups + i * _GROUPS_PER_SPLIT for i, t in enumerate(sets)]),
        sets[0].classes,
    )


def fit_task(
    task: Task, encoder: Embeds, package: Package, data: Path, *, seed: int = 0, split: str = "val"
) -> FittedHead:
    """Fit on the train split at all rates and score on `split`; classes that training does not have are left out."""
    bands = encoder.config.bands
    held = read_held_out(task, data, split, bands)
    fit = task.read(data, "train", bands)
    known = np.unique(fit.labels[fit.labels != UNLABELLED])
    classes = tuple(fit.classes[i] for i in known)
    if missing := sorted(set(classes) - set(task.colours)):
        raise InputError(f"head {task.name} lacks a colour", found=missing)
    remap = np.full(len(fit.classes) + 1, UNLABELLED, np.int64)  # the last entry catches −1
    remap[known] = np.arange(len(known))

    drawn, rates = training_samples(task, encoder, package, replace(fit, labels=remap[fit.labels]), seed)
    penalty, folds = _penalty(task, drawn, len(classes), seed)
    # Between plain and balanced: rare classes count, and do not drown the common ones in false alarms.
    count = np.bincount(drawn.y, minlength=len(classes)).astype(np.float64)
    head = fit_softmax(
        drawn.x,
        drawn.y,
        len(classes),
        penalty=penalty,
        weight=(count[drawn.y] ** -0.5).astype(np.float32),
        steps=120,
    )
    scores = _scores(task, head, encoder, package, replace(held, labels=remap[held.labels]), rates)
    return FittedHead(task, classes, head, tuple(rates), penalty, folds, scores, split)


def _penalty(task: Task, drawn: Samples, n_classes: int, seed: int) -> tuple[float, str]:
    """The penalty that serves held-out places best, or held-out blocks where there are few places."""
    plain = np.flatnonzero(drawn.plain)
    plain = np.sort(np.random.default_rng(seed).permutation(plain)[:_PENALTY_SAMPLES])
    groups: IntArray = drawn.groups[plain]
    places = groups // BLOCKS_PER_PLACE
    by_place = task.level == "token" and len(np.unique(places)) >= _FEWEST_PLACES
    penalty = choose_penalty(
        drawn.x[plain], drawn.y[plain], places if by_place else groups, n_classes, grid=_PENALTIES, seed=seed
    )
    return penalty, "places" if by_place else "blocks"


def _scores(
    task: Task,
    head: LinearHead,
    encoder: Embeds,
    package: Package,
    held: LabelledTiles,
    rates: list[Rate],
) -> tuple[Score, ...]:
    """Every reported band subset uncompressed, and every rate with all bands."""
    found = []
    for number, keep in subsets_of(encoder.config.bands).items():
        if keep is not None and not all(
            set(keep) <= {b for b, p in zip(encoder.config.bands, row, strict=True) if p}
            for row in held.present
        ):
            continue  # some held-out tile lacks a band of this subset
        planes = embed_labelled(encoder, held, keep)
        for rate, values in decoded(
            package, planes.values, planes.validity, rates if keep is None else rates[:1]
        ):
            s = samples(task, planes, values, rate)
            use = s.y != UNLABELLED
            found.append(score(head.logits(s.x[use]), s.y[use], s.groups[use], number, rate))
    return tuple(found)
