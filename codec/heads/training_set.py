"""What every head is fitted on: samples of one or several rates of the same tiles, checked once.

    grids n×h×w×C ──pooled──▶ vectors n×F, one class or value a tile
                  └─by_token─▶ vectors m×C, one class a token
                  └──────────▶ attention pooling, dense heads, as they are

Weights make rates and prefixes fair: a tile that is there at nine rates counts no more than one that is there at one.
Validity travels beside the tokens and serves pooling and losses only; it is never among the features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.heads.validity import pooled_vectors
from codec.types import BoolArray, FloatArray

IntArray = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]
UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """n samples; a tile at one rate is one sample, tiles at several rates are several with the same `tile`.

    Raises InputError when it is empty, when its parts differ in length, and for features, values or weights that are not
    finite. What stands in invalid tokens does not matter, not even NaN.
    """

    x: FloatArray  # n×F vectors, n×h×w×C token grids, or n×B×T×T pixels
    y: npt.NDArray[np.int64] | FloatArray  # n classes; n×H×W classes, −1 unlabelled; n or n×V values
    groups: IntArray  # n, place or block: never on both sides of a choice
    tile: IntArray  # n, the same number at every rate
    weight: FloatVector  # n, above 0; of a tile's samples it sums to the same for every tile
    validity: BoolArray | None = None  # n×h×w; of pixels n×T×T

    def __post_init__(self) -> None:
        n = len(self.x)
        if n == 0:
            raise InputError(
                "a set of samples is empty", fix="take a larger share of the labels, or another split"
            )
        lengths = (len(self.y), len(self.groups), len(self.tile), len(self.weight))
        if any(length != n for length in lengths):
            raise InputError("labels, groups, tiles and weights differ in length", expected=n, found=lengths)
        if not (np.isfinite(self.weight) & (self.weight > 0)).all():
            raise InputError("a sample's weight is not a finite number above 0")
        if self.y.dtype.kind == "f" and not np.isfinite(self.y).all():
            raise InputError(
                "a target value is not finite", fix="leave samples without a value out of the set"
            )
        self._check_features()

    def _check_features(self) -> None:
        if self.validity is None:
            bad = np.flatnonzero(~np.isfinite(self.x).reshape(len(self.x), -1).all(1))
        else:
            tokens = self.x.ndim == 4 and self.validity.shape == self.x.shape[:3]
            pixels = self.x.ndim == 4 and self.validity.shape == (len(self.x), *self.x.shape[2:])
            if not tokens and not pixels:
                raise InputError(
                    "validity lies neither on the tokens nor on the pixels",
                    expected=self.x.shape[:3],
                    found=self.validity.shape,
                )
            finite = np.isfinite(self.x).all(3 if tokens else 1)
            bad = np.flatnonzero((~finite & self.validity).reshape(len(self.x), -1).any(1))
        if len(bad):
            raise InputError(
                f"features of {len(bad)} samples are not finite, the first is sample {bad[0]}",
                fix="mark what was not measured as invalid, or repair the embedding",
            )

    def __len__(self) -> int:
        return len(self.x)

    def only(self, keep: BoolArray | IntArray) -> TrainingSet:
        """Some of the samples."""
        return TrainingSet(
            self.x[keep],
            self.y[keep],
            self.groups[keep],
            self.tile[keep],
            self.weight[keep],
            None if self.validity is None else self.validity[keep],
        )

    def require_classes(self, n_classes: int) -> None:
        """Raises InputError for labels outside 0 … n_classes−1 (−1 allowed in maps) and when fewer than two occur."""
        if self.y.dtype.kind not in "iu":
            raise InputError("classes are whole numbers", found=self.y.dtype)
        least = UNLABELLED if self.y.ndim > 1 else 0
        if self.y.min() < least or self.y.max() >= n_classes:
            raise InputError(
                "a label lies outside the classes",
                expected=f"{least} … {n_classes - 1}",
                found=(int(self.y.min()), int(self.y.max())),
            )
        known = np.unique(self.y[self.y != UNLABELLED])
        if len(known) < 2:
            raise InputError(
                "a head needs samples of at least two classes",
                found=f"only class {known[0]}" if len(known) else "no label",
                fix="take more labels, or another split",
            )


def require_apart(train: TrainingSet, validation: TrainingSet) -> None:
    """Raises InputError where a tile or a group is on both sides: the choice would be made on what was learnt."""
    shared = np.intersect1d(train.groups, validation.groups)
    if len(shared):
        raise InputError(
            f"{len(shared)} groups are in both training and validation, the first is {shared[0]}",
            fix="split by group",
        )


def pooled(samples: TrainingSet) -> TrainingSet:
    """Grids as vectors of mean ‖ standard deviation over the valid tokens. Raises InputError for a tile without any."""
    if samples.x.ndim != 4:
        raise InputError("token grids n×h×w×C are pooled", found=samples.x.shape)
    if samples.validity is not None and not samples.validity.any((1, 2)).all():
        raise InputError("a tile has no valid token", fix="leave such tiles out: they are missing, not zero")
    return replace(samples, x=pooled_vectors(samples.x, samples.validity), validity=None)


def by_token(samples: TrainingSet) -> TrainingSet:
    """Every labelled, valid token as a sample of its own, with its tile's weight; labels lie on the token grid."""
    if samples.x.ndim != 4 or samples.y.shape != samples.x.shape[:3]:
        raise InputError("one label per token is needed", expected=samples.x.shape[:3], found=samples.y.shape)
    use = samples.y != UNLABELLED
    if samples.validity is not None:
        use = use & samples.validity
    of = np.nonzero(use)[0]
    return TrainingSet(
        samples.x[use], samples.y[use], samples.groups[of], samples.tile[of], samples.weight[of]
    )
