"""Who is fitted on what and scored where: folds that never split a place, and resamples of the training set.

Lone tiles and sets of many pictures keep the collection's split. Sets of a few scenes are folded by blocks of tile columns:
their own test parts hold a dozen tiles. Codecs, means, bases and tables are fitted on the training tiles of *other* sets
where a set is folded, so no tile that is scored was seen by them. Of folded sets only tiles outside the collection's
training part are scored: an encoder that was trained on the collection saw the pixels of that part, and so did the codec of
its package. An encoder trained elsewhere may be scored on all places.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.evaluate.probes import grouped_folds
from codec.evaluate.rate.targets import Evidence
from codec.evaluate.rate.types import IntArray
from codec.types import BoolArray

HELD_OUT = {"val": ("val",), "test": ("test",), "unseen": ("val", "test")}
RESAMPLES = 5
SHARE = 0.8  # of the training groups in a resample
COLUMN_FOLDS = 4
_FEW_SCENES = 10


@dataclass(frozen=True, slots=True)
class Fold:
    """Tiles that heads are fitted on, and tiles that are scored."""

    fit: BoolArray  # N
    held: BoolArray  # N


def is_folded(evidence: Evidence) -> bool:
    """True for sets of a few scenes of many tiles, unless they keep their split."""
    if evidence.keeps_split:
        return False
    n_scenes = len(np.unique(evidence.tiles.scene))
    return n_scenes < _FEW_SCENES and n_scenes < len(evidence.tiles)


def folds(
    evidence: Evidence, split: str, *, blocked: int = 0, seed: int = 0, all_places: bool = False
) -> list[Fold]:
    """The folds of a set. `split` names what is held out of the sets that keep the collection's split.

    `blocked` > 0: lone tiles are folded by groups instead, every tile scored once. `all_places`: all tiles
    of a folded set are scored, which is right for encoders that never saw them; heads are fitted on every tile outside
    the fold either way. Raises InputError for an empty side.
    """
    tiles, unseen = evidence.tiles, np.ones(len(evidence.tiles), np.bool_)
    if is_folded(evidence):
        number = _by_columns(tiles.scene, tiles.place[:, 1])
        if not all_places:
            unseen = np.isin(evidence.split, HELD_OUT[split])
            if not unseen.any():
                raise InputError(
                    f"set {tiles.name!r} has no tile outside the training part in split {split}: nothing is left to score",
                    fix="choose another split; for an encoder that was not trained on the collection, score all places",
                )
    elif blocked:
        number = grouped_folds(tiles.groups, blocked, seed)
    else:
        held = np.isin(evidence.split, HELD_OUT[split])
        found = [Fold(np.asarray(evidence.split == "train"), held)]
        return _checked(evidence, found)
    scored = np.unique(number[unseen])  # a fold of training columns alone scores nothing
    return _checked(evidence, [Fold(number != k, (number == k) & unseen) for k in scored])


def _by_columns(scene: IntArray, column: IntArray) -> IntArray:
    """Blocks of neighbouring tile columns; the same columns of all scenes share a fold."""
    n_columns = np.array([column[scene == s].max() + 1 for s in scene])
    n_folds = min(COLUMN_FOLDS, int(n_columns.min()))
    return np.asarray(column * n_folds // n_columns, np.int64)


def _checked(evidence: Evidence, found: list[Fold]) -> list[Fold]:
    for fold in found:
        if not fold.fit.any() or not fold.held.any():
            raise InputError(
                f"set {evidence.tiles.name!r} has nothing to fit on or nothing to score",
                found=f"{int(fold.fit.sum())} and {int(fold.held.sum())} tiles",
                fix="choose another split",
            )
        shared = np.intersect1d(evidence.tiles.groups[fold.fit], evidence.tiles.groups[fold.held])
        if len(shared):
            raise InputError(
                f"set {evidence.tiles.name!r}: a place is on both sides of a fold", found=int(shared[0])
            )
    return found


def resamples(groups: IntArray, n: int = RESAMPLES, seed: int = 0) -> Iterator[npt.NDArray[np.bool_]]:
    """Which samples each of n training sets holds: 80 % of the groups, drawn without putting back."""
    names, index = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng([seed, len(names)])
    for _ in range(n):
        kept = np.zeros(len(names), np.bool_)
        kept[rng.permutation(len(names))[: max(1, round(SHARE * len(names)))]] = True
        yield kept[index]


def codec_training(
    name: str, sets: Mapping[str, Evidence], held_back: Collection[str] = (), *, blocked: int = 0
) -> dict[str, BoolArray]:
    """Tiles of each set that a codec for set `name` may be fitted on: training tiles, its own only where it keeps the
    collection's split (`blocked` as for `folds`), those of sets held back for no other. Raises InputError where there is
    none.
    """
    found = {
        other: np.asarray(evidence.split == "train")
        for other, evidence in sets.items()
        if (other != name or not (blocked or is_folded(evidence)))
        and (other == name or other not in held_back)
    }
    if not any(keep.any() for keep in found.values()):
        raise InputError(
            f"there is no other set to fit codecs for {name!r} on", fix="run it with another set"
        )
    return found
