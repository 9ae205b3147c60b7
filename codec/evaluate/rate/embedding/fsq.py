"""FSQ-style tokens: a few principal components bounded by tanh, rounded to a few levels each, one index a token.

Source: F. Mentzer et al., "Finite scalar quantization: VQ-VAE made simple" (arXiv 2309.15505); levels 8·8·8·6·5 are those of
TerraMind's tokenisers (2504.11171). Their encoders are trained for it; here the mean of the token's position is taken
off, PCA gives the components, the slope of tanh is the best of a few on training tokens, and the decoder has the training
mean of each level, which stands for a learned decoder. Several groups of levels take the next components in turn.

The tokens are entropy-coded by our tables, digit by digit, as if every digit were a channel: a token's index and its digits
say the same (`token_index`), and no static table could hold 15,360 indices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from codec.evaluate.rate.embedding.one_step import OneStep, by_channel
from codec.evaluate.rate.embedding.pca import Pca
from codec.evaluate.rate.embedding.records import RecordCoder
from codec.evaluate.rate.embedding.sent import Part, Planewise
from codec.evaluate.rate.types import Method
from codec.types import BoolArray, FloatArray

Digits = npt.NDArray[np.int64]
TERRAMIND = (8, 8, 8, 6, 5)
_LEVELS = {
    "8·8·8·6·5 ×8": TERRAMIND * 8,
    "8·8·8·6·5 ×4": TERRAMIND * 4,
    "8·8·8·6·5 ×2": TERRAMIND * 2,
    "8·8·8·6·5": TERRAMIND,
    "8·5·5·5": (8, 5, 5, 5),
    "8·6·5": (8, 6, 5),
    "5·3": (5, 3),
}
_SLOPES = (0.4, 0.55, 0.7, 0.85, 1.0, 1.2, 1.5)  # of tanh, per deviation of the component
_MAX_SAMPLES = 1 << 15


def digits(z: FloatArray, levels: int) -> Digits:
    """Components, already scaled, to 0 … levels − 1: tanh, then the nearest of `levels` evenly spaced values.

    Odd counts are the paper's. It shifts even ones so that 0 is a level, which leaves one level more below than above;
    centred components are served better by the symmetric form, with a border at 0.
    """
    half = (levels - 1) / 2
    return np.rint(np.tanh(z.astype(np.float64)) * half + half).astype(np.int64)


def token_index(d: Digits, levels: Sequence[int]) -> Digits:
    """Digits …×n → the token's index, first digit fastest: Σ d_i · Π_(j<i) levels_j."""
    return np.asarray(d @ np.cumprod([1, *levels[:-1]]), dtype=np.int64)


def token_digits(index: Digits, levels: Sequence[int]) -> Digits:
    """The inverse of `token_index`."""
    return index[..., None] // np.cumprod([1, *levels[:-1]]) % np.asarray(levels)


def symbols_of(d: Digits, levels: int) -> npt.NDArray[np.int16]:
    """Digits to signed symbols. Of an even count ±1 are the two middle digits and 0 does not occur."""
    doubled = 2 * d - (levels - 1)
    return np.asarray(np.sign(doubled) * ((np.abs(doubled) + 1) // 2), dtype=np.int16)


def digits_of(symbols: npt.NDArray[np.int16], levels: int) -> Digits:
    """The inverse of `symbols_of`."""
    s = symbols.astype(np.int64)
    doubled = 2 * s - (np.sign(s) if levels % 2 == 0 else 0)
    return np.asarray((doubled + levels - 1) // 2, dtype=np.int64)


@dataclass(frozen=True)
class Tokeniser:
    """One set of levels, with what a fit gives it."""

    levels: tuple[int, ...]
    scale: FloatArray  # n, slope of tanh over the component's deviation
    points: tuple[FloatArray, ...]  # of each component: what its digits decode to
    coder: RecordCoder


@dataclass(frozen=True)
class FsqCoder:
    """PCA and the tokenisers of all settings."""

    carries_validity: ClassVar[bool] = True

    mean: FloatArray  # h×w×C
    pca: Pca
    tokenisers: Mapping[str, Tokeniser]

    @property
    def settings(self) -> Sequence[str]:
        return tuple(self.tokenisers)

    def encode(self, values: FloatArray, validity: BoolArray, setting: str) -> list[Part]:
        t = self.tokenisers[setting]
        z = self.pca.project(values - self.mean, len(t.levels)) * t.scale
        symbols = np.stack([symbols_of(digits(z[..., i], n), n) for i, n in enumerate(t.levels)], axis=1)
        symbols = np.where(validity[:, None], symbols, np.int16(0))
        return t.coder.encode(np.ascontiguousarray(symbols.reshape(*symbols.shape[:2], -1)), validity)

    def decode(self, parts: Sequence[bytes], setting: str, n_tiles: int) -> FloatArray:
        t, (rows, cols, _) = self.tokenisers[setting], self.mean.shape
        found = t.coder.decode(parts, n_tiles).planes[0]
        symbols = found.values.reshape(n_tiles, len(t.levels), rows, cols)
        z = np.stack(
            # A symbol of 0 of an even count stands in unmeasured tokens alone; whatever it decodes to is masked.
            [t.points[i][np.clip(digits_of(symbols[:, i], n), 0, n - 1)] for i, n in enumerate(t.levels)],
            axis=3,
        )
        values = self.pca.back(z) + self.mean
        values[~found.token_validity] = 0
        return values


def fit_fsq(train: FloatArray) -> FsqCoder:
    """A fit on training values N×h×w×C."""
    mean = train.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = train - mean
    pca = Pca.fit(centred)
    found = {}
    for name, wanted in _LEVELS.items():
        levels = wanted[: train.shape[3]]
        z = pca.project(centred, len(levels))
        fitted = [_fit_component(z[..., i], n) for i, n in enumerate(levels)]
        scale = np.array([s for s, _ in fitted], np.float32)
        symbols = np.stack(
            [symbols_of(digits(z[..., i] * scale[i], n), n) for i, n in enumerate(levels)], axis=1
        ).reshape(len(train), len(levels), -1)
        latents = symbols.astype(np.float32)
        tables = OneStep.fit(latents, by_channel(latents, *train.shape[1:3])).tables(1.0)
        found[name] = Tokeniser(levels, scale, tuple(p for _, p in fitted), RecordCoder.of(tables))
    return FsqCoder(mean, pca, found)


def _fit_component(z: FloatArray, levels: int) -> tuple[float, FloatArray]:
    """Scale before tanh, and the mean of every digit, of the least squared error on training values."""
    x = z.ravel()[:: -(-z.size // _MAX_SAMPLES)].astype(np.float64)
    deviation = max(float(x.std()), float(np.finfo(np.float32).tiny))
    best: tuple[float, float, FloatArray] | None = None
    for slope in _SLOPES:
        d = digits((x * (slope / deviation)).astype(np.float32), levels)
        counts = np.bincount(d, minlength=levels)
        points = np.bincount(d, weights=x, minlength=levels) / np.maximum(counts, 1)
        error = float(np.square(x - points[d]).sum())
        if best is None or error < best[0]:
            best = error, slope / deviation, points.astype(np.float32)
    assert best is not None
    return best[1], best[2]


FSQ = Planewise(
    Method("fsq", "embedding", "FSQ (arXiv 2309.15505) on principal components, our entropy coder"), fit_fsq
)
