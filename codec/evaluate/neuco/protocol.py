"""The published protocol: vectors of at most 1024 floats, a linear probe, 40 splits, and the score Q.

Source: NeuCo-Bench (arXiv 2510.17914), read in embed2scale/NeuCo-Bench: `benchmark/data/embeddings.py` @ 209d157,
`benchmark/evaluation/probes/linear.py` and `docs/evaluation_and_results.md` @ 222a6a0, `benchmark/evaluation/
{evaluation,results,linear_probing}.py` @ 11d9d3b, `benchmark/config.yaml` @ 58d20da. What that code does beyond its
description, all of it reproduced here:

- standardisation is one mean and one deviation over *all* numbers of all labelled items, zero padding included, so a
  padded column becomes a constant other than 0;
- labels, of classes too, are scaled to 0 … 1 by their least and largest over all items;
- the score of a split is the *best of its epochs on the held-out part*: an epoch chosen on test. Beside it stands the
  plain score, that of the last epoch;
- every task has the same random splits (seed 42); the deviation in Q is that of the population (n, not n − 1);
- 10 epochs is the documented default; the first configuration had 20, and later ones infer the width (no cap of 1024).

And what is different here: numbers that are not finite are refused (published: NaN becomes 0); every entry must have every
labelled item (published: what is missing is dropped, so entrants could be scored on different items); a class is predicted
where its logit is above 0 (the library used there reads logits that all lie in 0 … 1 as probabilities).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.evaluate.rate.types import FloatVector, IntArray
from codec.types import FloatArray

CAP = 1024  # floats of one vector
Kind = Literal["regression", "classification"]
KINDS: dict[str, Kind] = {
    "regression": "regression",
    "regr": "regression",
    "classification": "classification",
    "cls": "classification",
}


@dataclass(frozen=True, slots=True)
class Protocol:
    """The numbers of a run. `passes` through the training part make one epoch (1 as published)."""

    splits: int = 40
    held_out: float = 0.1
    epochs: int = 10
    batch: int = 64
    learning_rate: float = 1e-3
    seed: int = 42
    passes: int = 1

    def __post_init__(self) -> None:
        if min(self.splits, self.epochs, self.batch, self.passes) < 1 or not 0 < self.held_out < 1:
            raise InputError("a protocol has at least one split, epoch, sample and pass", found=str(self))
        if self.splits < 2:
            raise InputError("one split has no spread", expected="at least 2", found=self.splits)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entrant: a vector for every item."""

    name: str
    ids: tuple[str, ...]  # N, all different
    vectors: FloatArray  # N×D

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.ids) != len(self.vectors) or not self.vectors.size:
            raise InputError(f"entry {self.name!r} is no table of vectors", found=self.vectors.shape)
        if self.vectors.shape[1] > CAP:
            raise InputError(
                f"entry {self.name!r} has vectors above the cap of {CAP} floats",
                expected=f"at most {CAP}",
                found=self.vectors.shape[1],
                fix="reduce them, say by a KLT of their own, before they are entered",
            )
        if not np.isfinite(self.vectors).all():
            at = int(np.argwhere(~np.isfinite(self.vectors).all(axis=1))[0, 0])
            raise InputError(
                f"entry {self.name!r} holds numbers that are not finite",
                found=f"first in item {self.ids[at]}",
            )
        if len(set(self.ids)) != len(self.ids):
            raise InputError(f"entry {self.name!r} names an item twice", found=_first_twice(self.ids))

    def of(self, ids: Sequence[str]) -> FloatArray:
        """The vectors of these items. Raises InputError naming the first that is missing."""
        where = {name: i for i, name in enumerate(self.ids)}
        missing = [name for name in ids if name not in where]
        if missing:
            raise InputError(
                f"entry {self.name!r} lacks {len(missing)} of {len(ids)} labelled items, first {missing[0]}",
                fix="enter a vector for every item",
            )
        return self.vectors[[where[name] for name in ids]]


@dataclass(frozen=True, slots=True)
class Task:
    """What is predicted: one number per item; of a classification 0 or 1."""

    name: str
    kind: Kind
    ids: tuple[str, ...]
    labels: FloatVector = field(repr=False)  # n

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.labels) or not np.isfinite(self.labels).all():
            raise InputError(f"task {self.name!r} needs one finite label per item", found=len(self.labels))
        if len(set(self.ids)) != len(self.ids):
            raise InputError(f"task {self.name!r} labels an item twice", found=_first_twice(self.ids))
        values = np.unique(self.labels)
        if len(values) < 2:
            raise InputError(f"all labels of task {self.name!r} are equal", found=values.tolist())
        if self.kind == "classification":
            if len(values) != 2:
                raise InputError(f"task {self.name!r} must have two classes", found=f"{len(values)} values")
            fewest = int(min((self.labels == v).sum() for v in values))
            if fewest < 2:
                raise InputError(
                    f"a class of task {self.name!r} has one sample",
                    expected="at least 2",
                    found=fewest,
                    fix="leave the task out",
                )


def _first_twice(ids: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(name for name in ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]


@dataclass(frozen=True, slots=True)
class Standardised:
    """Vectors as the probe gets them: D own columns, and `padding` further ones that all hold `constant`."""

    values: FloatArray  # N×D
    padding: int
    constant: float

    @property
    def whole(self) -> FloatArray:
        """N×1024, as published."""
        rest = np.full((len(self.values), self.padding), self.constant, np.float32)
        return np.concatenate([self.values, rest], axis=1)


def standardised(vectors: FloatArray, cap: int = CAP) -> Standardised:
    """Zero-padded to the cap, then one mean and one deviation of all numbers; vectors N×D with D ≤ cap."""
    n, width = vectors.shape
    count = n * cap
    total = vectors.sum(dtype=np.float64)
    mean = total / count
    square = np.square(vectors - mean, dtype=np.float64).sum() + (count - vectors.size) * mean**2
    deviation = float(np.sqrt(square / count)) or 1.0
    values = ((vectors - mean) / deviation).astype(np.float32)
    return Standardised(values, cap - width, float(-mean / deviation))


def scaled(labels: FloatVector) -> FloatVector:
    """Labels to 0 … 1."""
    low, high = labels.min(), labels.max()
    return np.asarray((labels - low) / (high - low), np.float64)


@dataclass(frozen=True, slots=True)
class Splits:
    """Rows that are fitted on and held out in each split."""

    train: IntArray  # S×n
    held_out: IntArray  # S×m

    @property
    def ratio(self) -> float:
        """Held-out to training items."""
        return self.held_out.shape[1] / self.train.shape[1]


def splits_of(n: int, protocol: Protocol, groups: IntArray | None = None) -> Splits:
    """Random splits, those of scikit-learn's `ShuffleSplit` with the same seed.

    `groups`: whole groups are held out instead, as many as make up the share, then items are dropped at random from
    the held-out part and from the training part so that every split is of equal size. Raises InputError where a part
    would be empty.
    """
    held = int(np.ceil(protocol.held_out * n))
    if held < 2 or n - held < 2:
        raise InputError(f"{n} items are too few to hold out {protocol.held_out:g} of them", found=n)
    # The published splits come from numpy's older generator.
    rng = np.random.RandomState(protocol.seed)
    if groups is None:
        drawn = [rng.permutation(n) for _ in range(protocol.splits)]
        return Splits(np.stack([d[held:] for d in drawn]), np.stack([d[:held] for d in drawn]))
    names, index = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise InputError("all items lie in one group", found=len(names))
    outs, ins = [], []
    for _ in range(protocol.splits):
        order = rng.permutation(len(names))
        sizes = np.cumsum(np.bincount(index)[order])
        taken = order[: max(1, int(np.searchsorted(sizes, held, side="right")))]
        inside = np.isin(index, taken)
        outs.append(rng.permutation(np.flatnonzero(inside)))
        ins.append(rng.permutation(np.flatnonzero(~inside)))
    fewest_out, fewest_in = min(map(len, outs)), min(map(len, ins))
    if fewest_out < 2 or fewest_in < 2:
        raise InputError(
            "a split of whole groups has an empty part",
            found=(fewest_in, fewest_out),
            fix="use smaller groups",
        )
    return Splits(np.stack([i[:fewest_in] for i in ins]), np.stack([o[:fewest_out] for o in outs]))


def quality(scores: npt.ArrayLike) -> float:
    """Q = 2·mean / (0.02 + deviation) of the splits' scores, missing ones left out."""
    values = np.asarray(scores, np.float64)
    return float(2 * np.nanmean(values) / (0.02 + np.nanstd(values)))
