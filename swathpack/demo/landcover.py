"""A linear land-cover head in closed form, and pixel heads beside it, judged on the same held-out pixels.

West and east: heads are fitted on the western part of the scene and scored on the eastern one, with a gap between them
as wide as a tile, so that no tile and no context window reaches across. Kind and shrinkage of each head are chosen inside
the west (its own last quarter), never on the east, by macro-F1: accuracy alone rewards forgetting the rare classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.errors import InputError

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.intp]
RIDGES = tuple(10.0**p for p in range(-3, 5))
SHRINKAGES = tuple(10.0**p for p in range(-4, 1))


@dataclass(frozen=True, slots=True)
class LinearHead:
    """logits = (features − mean) / spread @ weights + bias."""

    mean: FloatArray  # D
    spread: FloatArray  # D
    weights: FloatArray  # D×K
    bias: FloatArray  # K
    kind: str  # how it was fitted, with what weight

    def logits(self, features: npt.ArrayLike) -> FloatArray:
        """…×D to …×K."""
        return (np.asarray(features, np.float64) - self.mean) / self.spread @ self.weights + self.bias


Fitter = Callable[[FloatArray, Labels, int, float], LinearHead]


@dataclass(frozen=True, slots=True)
class Blocks:
    """Boolean masks over the pixels of a scene, H×W."""

    fit: npt.NDArray[np.bool_]
    choose: npt.NDArray[np.bool_]
    test: npt.NDArray[np.bool_]


def west_and_east(labels: Labels, usable: npt.NDArray[np.bool_], gap: int) -> Blocks:
    """Columns are cut at 60 % of the usable extent: west to fit (its last quarter chooses the ridge), east to test.

    `labels` H×W, 0 where there is none; `gap` in pixels is left out on both cuts.
    """
    where = usable & (labels > 0)
    columns = np.flatnonzero(where.any(axis=0))
    if len(columns) < 8 * max(gap, 1):
        raise InputError(
            "the labelled part is too narrow to split into west and east", found=f"{len(columns)} columns"
        )
    left, right = int(columns[0]), int(columns[-1]) + 1
    cut = left + int(0.6 * (right - left))
    inner = left + int(0.45 * (right - left))
    column = np.arange(labels.shape[1])[None, :]
    half = gap // 2
    return Blocks(
        fit=where & (column < inner - half),
        choose=where & (column >= inner + half) & (column < cut - half),
        test=where & (column >= cut + half),
    )


def fit_ridge(features: FloatArray, labels: Labels, n_classes: int, ridge: float) -> LinearHead:
    """Ridge regression on one-hot targets; features n×D, labels 1…K."""
    mean, spread = features.mean(0), features.std(0) + 1e-6
    z = (features - mean) / spread
    targets = np.eye(n_classes)[labels - 1]
    centre = targets.mean(0)
    gram = z.T @ z + ridge * np.eye(z.shape[1])
    weights = np.linalg.solve(gram, z.T @ (targets - centre))
    return LinearHead(mean, spread, weights, centre, f"ridge {ridge:g}")


def fit_discriminant(features: FloatArray, labels: Labels, n_classes: int, shrinkage: float) -> LinearHead:
    """Linear discriminant analysis (Fisher 1936): one Gaussian a class, with the pooled covariance of the standardised
    features plus `shrinkage` on its diagonal. Classes without a sample are never chosen."""
    mean, spread = features.mean(0), features.std(0) + 1e-6
    z = (features - mean) / spread
    counts = np.bincount(labels - 1, minlength=n_classes).astype(np.float64)
    sums = np.eye(n_classes)[labels - 1].T @ z
    centres = sums / np.maximum(counts, 1)[:, None]
    within = z - centres[labels - 1]
    covariance = within.T @ within / len(z) + shrinkage * np.eye(z.shape[1])
    weights = np.linalg.solve(covariance, centres.T)
    priors = np.log(np.maximum(counts, 1e-9) / len(z))
    bias = priors - 0.5 * (centres * weights.T).sum(1)
    return LinearHead(mean, spread, weights, bias, f"discriminant {shrinkage:g}")


def choose_and_fit(
    fit: tuple[FloatArray, Labels], choose: tuple[FloatArray, Labels], n_classes: int
) -> LinearHead:
    """The kind and weight that do best on `choose` by macro-F1, fitted again on both."""
    candidates = [(fit_ridge, ridge) for ridge in RIDGES] + [(fit_discriminant, s) for s in SHRINKAGES]

    def judge(candidate: tuple[Fitter, float]) -> float:
        fitter, weight = candidate
        guess = np.argmax(fitter(*fit, n_classes, weight).logits(choose[0]), -1) + 1
        return macro_f1(guess, choose[1], n_classes)

    fitter, weight = max(candidates, key=judge)
    both = np.concatenate([fit[0], choose[0]]), np.concatenate([fit[1], choose[1]])
    return fitter(*both, n_classes, weight)


def pixel_features(
    pixels: npt.NDArray[np.float32], validity: npt.NDArray[np.bool_], context: int
) -> FloatArray:
    """Log reflectance per pixel (C×H×W to H×W×C); with `context` n also mean and std of the n×n window around it."""
    x = np.log(np.clip(np.where(validity, pixels, np.nan), 1e-3, None)).transpose(1, 2, 0).astype(np.float64)
    if context <= 1:
        return np.nan_to_num(x)
    pad = context // 2
    valid = np.pad(np.isfinite(x[..., :1]).astype(np.float64), ((pad, pad), (pad, pad), (0, 0)))
    padded = np.pad(np.nan_to_num(x), ((pad, pad), (pad, pad), (0, 0)))
    count = np.maximum(_box(valid, context), 1.0)
    mean = _box(padded * valid, context) / count
    square = _box(padded**2 * valid, context) / count
    return np.concatenate([np.nan_to_num(x), mean, np.sqrt(np.maximum(square - mean**2, 0.0))], axis=-1)


def _box(x: FloatArray, size: int) -> FloatArray:
    """Sums over size×size windows of a padded H×W×C array, by cumulative sums."""
    total = np.cumsum(np.cumsum(np.pad(x, ((1, 0), (1, 0), (0, 0))), 0), 1)
    return total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]


def at_pixels(
    token_map: npt.NDArray[np.float32], height: int, width: int, pixels_per_token: float
) -> npt.NDArray[np.float32]:
    """A token map R×C×K interpolated bilinearly at the centre of every pixel, H×W×K: first along rows, then columns."""
    r0, r1, down = _between(np.arange(height), token_map.shape[0], pixels_per_token)
    c0, c1, right = _between(np.arange(width), token_map.shape[1], pixels_per_token)
    lines = token_map[r0] * (1 - down)[:, None, None] + token_map[r1] * down[:, None, None]
    out = lines[:, c0] * (1 - right)[None, :, None] + lines[:, c1] * right[None, :, None]
    return np.asarray(out, np.float32)


def at_points(
    token_map: npt.NDArray[np.float32], rows: Indices, cols: Indices, pixels_per_token: float
) -> npt.NDArray[np.float32]:
    """As `at_pixels`, at the centres of n pixels only: n×K."""
    r0, r1, down = _between(rows, token_map.shape[0], pixels_per_token)
    c0, c1, right = _between(cols, token_map.shape[1], pixels_per_token)
    down, right = down[:, None], right[:, None]
    top = token_map[r0, c0] * (1 - right) + token_map[r0, c1] * right
    bottom = token_map[r1, c0] * (1 - right) + token_map[r1, c1] * right
    return np.asarray(top * (1 - down) + bottom * down, np.float32)


def _between(
    pixels: Indices, n_tokens: int, pixels_per_token: float
) -> tuple[Indices, Indices, npt.NDArray[np.float32]]:
    """The tokens on either side of pixel centres along one axis, and the weight of the second."""
    place = np.clip((pixels + 0.5) / pixels_per_token - 0.5, 0, n_tokens - 1)
    first = np.floor(place).astype(np.intp)
    return first, np.minimum(first + 1, n_tokens - 1), (place - first).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Score:
    """How a map of classes does on held-out pixels."""

    accuracy: float
    macro_f1: float
    n_pixels: int


def macro_f1(guess: npt.NDArray[np.integer], truth: Labels, n_classes: int) -> float:
    """Mean F1 over the classes that occur among the labels; classes 1…K, any equal shapes."""
    f1 = []
    for k in range(1, n_classes + 1):
        actual, claimed = truth == k, guess == k
        if actual.any():
            f1.append(2 * float((actual & claimed).sum()) / float(actual.sum() + claimed.sum()))
    return float(np.mean(f1))


def score(
    predicted: npt.NDArray[np.integer], labels: Labels, where: npt.NDArray[np.bool_], n_classes: int
) -> Score:
    """Accuracy and macro-F1 of a map on the pixels of a mask; maps H×W with classes 1…K."""
    truth, guess = labels[where], predicted[where]
    return Score(float((truth == guess).mean()), macro_f1(guess, truth, n_classes), len(truth))


def sample(where: npt.NDArray[np.bool_], n: int, seed: int) -> tuple[Indices, Indices]:
    """Rows and columns of at most n seeded pixels of a mask: heads do not need every one."""
    rows, cols = np.nonzero(where)
    if len(rows) > n:
        keep = np.sort(np.random.default_rng(seed).choice(len(rows), n, replace=False))
        rows, cols = rows[keep], cols[keep]
    return rows, cols


def fit_on_map(
    features: Callable[[Indices, Indices], Sequence[FloatArray]],
    labels: Labels,
    blocks: Blocks,
    n_classes: int,
    n: int = 6000,
    seed: int = 0,
) -> LinearHead:
    """Fit on sampled pixels. `features(rows, cols)` gives one or several versions (rates) of the n×D features; all of
    them train one head, which is then used at every rate (mixed-rate training)."""

    def gather(where: npt.NDArray[np.bool_]) -> tuple[FloatArray, Labels]:
        rows, cols = sample(where, n, seed)
        versions = features(rows, cols)
        return np.concatenate(list(versions)), np.tile(labels[rows, cols], len(versions))

    return choose_and_fit(gather(blocks.fit), gather(blocks.choose), n_classes)


def smallest_difference(
    right_a: npt.NDArray[np.bool_],
    right_b: npt.NDArray[np.bool_],
    where: npt.NDArray[np.bool_],
    *,
    block: int,
    n: int = 1000,
    seed: int = 0,
) -> float:
    """Half the width of the 95 % interval of the difference in accuracy of two maps of the same pixels.

    Paired bootstrap over blocks of block×block pixels, since neighbours are no independent samples: the smallest
    difference that this test set can show.
    """
    rows, cols = np.nonzero(where)
    width = where.shape[1] // block + 1
    _, number = np.unique(rows // block * width + cols // block, return_inverse=True)
    difference = right_a[where].astype(np.float64) - right_b[where]
    gains = np.bincount(number, difference)
    sizes = np.bincount(number).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(len(gains), size=(n, len(gains)))
    low, high = np.percentile(gains[drawn].sum(1) / sizes[drawn].sum(1), (2.5, 97.5))
    return float(high - low) / 2
