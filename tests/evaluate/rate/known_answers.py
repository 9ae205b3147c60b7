"""Answers whose scores are known: as many samples are right as a curve says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codec.evaluate.rate.scoring import Answers
from codec.evaluate.rate.store import Key, Scored
from codec.evaluate.rate.targets import Evidence, Target
from codec.evaluate.rate.types import TileSet

N = 100  # lone tiles, each a place of its own
Curve = tuple[float, Mapping[float, float]]  # uncompressed score, and score by bytes of a tile


def evidence(target: Target) -> Evidence:
    shape = (N, 1, 64, 64)
    tiles = TileSet(
        "made", ("b",), np.zeros(shape, np.float32), np.ones((N, 1), bool), np.ones((N, 64, 64), bool),
        np.arange(N), np.zeros((N, 2), int), np.arange(N), 10.0,
    )  # fmt: skip
    return Evidence(tiles, (target,), np.repeat("val", N))


def answered(target: Target, of: Curve) -> Answers:
    """Two equal resamples; of two classes that alternate both lose alike, numbers all err alike."""
    y = target.labels.ravel()
    shares = (of[0], *of[1].values())
    pair = np.arange(len(y)) // 2
    predicted = np.stack([np.where(pair < share * len(y) / 2, y, 1 - y) for share in shares])
    loss = np.stack([np.full(len(y), 1 - share) for share in shares])
    names = ("uncompressed", *(f"{size:g} B" for size in of[1]))
    two = [np.repeat(part[None].astype(np.float32), 2, axis=0) for part in (predicted, loss)]
    return Answers(names, two[0], two[1])


def scored(method: str, target: Target, curves: Mapping[tuple[str, str], Curve]) -> Scored:
    """One method, curves by (view, regime); all have the sizes of the first."""
    sizes = np.array([[size] * N for size in next(iter(curves.values()))[1]], float)
    settings = tuple(f"{size:g} B" for size in sizes[:, 0])
    answers = {Key(target.name, *key): answered(target, of) for key, of in curves.items()}
    return Scored(method, "embedding", settings, sizes, {}, answers, 1.0, 64)
