"""The published ranking: ranks per task, weighted by how far the entrants' Q lie apart there.

Source: `compute_leaderboard` of embed2scale/NeuCo-Bench @ 11d9d3b. A place depends on who else entered; the winner of the
2025 challenge did not have the best mean Q. Hence the mean Q and the plain means are always shown with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codec.errors import InputError
from codec.evaluate.rate.types import FloatVector


@dataclass(frozen=True, slots=True)
class Place:
    """One entrant's line."""

    entry: str
    place: int
    weighted_rank: float  # smaller is better
    mean_q: float
    q: Mapping[str, float]  # by task


def ranks(values: FloatVector) -> FloatVector:
    """1 for the highest of each column; equal ones share the smallest rank. E×T."""
    return np.asarray((values[None, :, :] > values[:, None, :]).sum(1) + 1, np.float64)


def leaderboard(q: Mapping[str, Mapping[str, float]]) -> list[Place]:
    """Entrants (entry → task → Q) from the best to the last.

    Weights are the tasks' standard deviations of Q over the entrants (n − 1) divided by their sum; a lone entrant, or
    entrants that are all alike, have equal weights.
    """
    if not q:
        raise InputError("nobody entered")
    entries = list(q)
    tasks: Sequence[str] = list(q[entries[0]])
    for name in entries:
        if set(q[name]) != set(tasks) or not np.isfinite(list(q[name].values())).all():
            raise InputError(
                f"entry {name!r} was not scored on every task", expected=sorted(tasks), found=sorted(q[name])
            )
    scores = np.array([[q[name][task] for task in tasks] for name in entries])
    deviation = scores.std(axis=0, ddof=1) if len(entries) > 1 else np.zeros(len(tasks))
    weights = deviation / deviation.sum() if deviation.sum() > 0 else np.full(len(tasks), 1 / len(tasks))
    weighted = (ranks(scores) * weights).sum(axis=1)
    places = (weighted[None, :] < weighted[:, None]).sum(1) + 1
    order = np.argsort(weighted, kind="stable")
    return [
        Place(entries[i], int(places[i]), float(weighted[i]), float(scores[i].mean()), dict(q[entries[i]]))
        for i in order.tolist()
    ]
