"""Few labels, drawn fairly: shares or counts per class, seeded, the smaller set always inside the larger one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codec.errors import InputError
from codec.heads.training_set import UNLABELLED, IntArray
from codec.types import BoolArray, FloatArray

SHARES = (0.01, 0.05, 0.1, 1.0)


def nested_shares(
    classes: IntArray, shares: Sequence[float] = SHARES, *, seed: int = 0, fewest: int = 2
) -> dict[float, BoolArray]:
    """Share → mask over the n tiles: of each class that share, rounded, at least one tile.

    One random order of each class serves every share, so that 1 % lies within 5 %. Raises InputError for an empty set, for
    shares outside (0, 1], and for a class with fewer than `fewest` tiles: with two, one can be learnt from and one
    held out; with one, a score says nothing about it. `fewest=1` takes such a class as it is, whole in every share.
    """
    if not shares or any(not 0 < share <= 1 for share in shares):
        raise InputError("shares of labels lie above 0 and up to 1", found=tuple(shares))
    rank, count = _ranks(classes, seed, fewest)
    return {share: rank < np.maximum(np.floor(share * count + 0.5), 1) for share in shares}


def nested_counts(classes: IntArray, counts: Sequence[int], *, seed: int = 0) -> dict[int, BoolArray]:
    """k → mask over the n tiles: k of each class, the k of a smaller count among those of a larger one.

    Raises InputError for an empty set, and for a class that has fewer than the largest k.
    """
    if not counts or min(counts) < 1:
        raise InputError("at least one label of each class is drawn", found=tuple(counts))
    rank, _ = _ranks(classes, seed, max(counts))
    return {k: rank < k for k in counts}


def strata_of_maps(labels: IntArray, n_classes: int) -> IntArray:
    """Stratum of each tile of a dense task, N×H×W → N: its commonest class, −1 where nothing is labelled."""
    flat = labels.reshape(len(labels), -1)
    counts = np.stack([(flat == c).sum(1) for c in range(n_classes)], axis=1)
    return np.where(counts.any(1), counts.argmax(1), UNLABELLED).astype(np.int64)


def strata_of_values(values: FloatArray, bins: int = 5) -> IntArray:
    """Stratum of each tile of a regression task, N → N: fifths by rank, equal values together."""
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    return np.asarray(np.searchsorted(edges, values, side="right"), np.int64)


def _ranks(classes: IntArray, seed: int, fewest: int) -> tuple[IntArray, IntArray]:
    """Place of each tile in a random order of its class, and the size of its class. Unlabelled tiles are never drawn."""
    if classes.ndim != 1 or not (classes != UNLABELLED).any():
        raise InputError("there is no labelled tile to draw from", found=classes.shape)
    # Every class has its own stream: another class's size does not change which tiles are drawn.
    rank = np.full(len(classes), np.iinfo(np.int64).max)
    size = np.zeros(len(classes), np.int64)
    for label in np.unique(classes[classes != UNLABELLED]):
        members = np.flatnonzero(classes == label)
        if len(members) < fewest:
            raise InputError(
                f"class {label} has {len(members)} tiles",
                expected=f"at least {fewest}",
                found=len(members),
                fix="leave the class out, merge it with another, or draw fewer",
            )
        rank[np.random.default_rng([seed, int(label)]).permutation(members)] = np.arange(len(members))
        size[members] = len(members)
    return rank, size
