"""What is learnt from training pixels: each band's centre and width, and the KLT over bands.

Bands become multiples of their own standard deviation in training, so that one error is worth the same in each; an
integer picture then has a stated number of levels per standard deviation and covers 2^bits / levels of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codec.errors import InputError
from codec.evaluate.rate.types import FloatVector, TileSet
from codec.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Statistics of the training pixels, for the bands of one band list."""

    bands: tuple[str, ...]
    mean: FloatVector  # B, reflectance
    spread: FloatVector  # B, standard deviation, reflectance
    correlation: FloatVector  # B×B, of pixels; NaN for pairs that no training tile has together

    def standardised(self, pixels: FloatArray, index: BoolArray) -> FloatArray:
        """…×B×H×W of the bands of `index`, reflectance, to standard deviations."""
        mean, spread = (x[index][:, None, None] for x in (self.mean, self.spread))
        return np.asarray((pixels - mean) / spread, np.float32)

    def reflectance(self, values: FloatArray, index: BoolArray) -> FloatArray:
        """The inverse of `standardised`."""
        mean, spread = (x[index][:, None, None] for x in (self.mean, self.spread))
        return np.asarray(values * spread + mean, np.float32)

    def klt(self, index: BoolArray) -> tuple[FloatVector, FloatVector]:
        """Variances K, falling, and orthonormal basis K×K (rows are components) of the bands of `index`.

        A set of fewer bands has a basis of its own, from the same training covariance.
        """
        part = self.correlation[np.ix_(index, index)]
        if not np.isfinite(part).all():
            raise InputError(
                "no training tile has all bands that are to be coded together",
                found=[name for name, one in zip(self.bands, index, strict=True) if one],
            )
        variance, basis = np.linalg.eigh(part)
        return np.maximum(variance[::-1], 0), basis[:, ::-1].T


def fitted(train: TileSet, wanted: BoolArray) -> Spectrum:
    """Statistics of valid pixels of the bands that are `wanted`; others are NaN. InputError where one was never seen."""
    b = len(train.bands)
    total, square, count = np.zeros(b), np.zeros((b, b)), np.zeros((b, b))
    centre = np.zeros(
        b
    )  # shifted sums: without it a band of small spread would lose its variance to rounding
    for shift in (True, False):
        for pixels, present, valid in zip(train.pixels, train.present, train.validity, strict=True):
            shown = np.flatnonzero(present & wanted)
            x = pixels[shown][:, valid].astype(np.float64) - centre[shown, None]
            if not np.isfinite(x).all():
                raise InputError(f"a measured pixel of {train.name!r} is not finite")
            both = np.ix_(shown, shown)
            count[both] += x.shape[1]
            if shift:
                total[shown] += x.sum(1)
            else:
                square[both] += x @ x.T
        if shift:
            seen = np.diag(count) > 0
            if not (seen | ~wanted).all() or not wanted.any():
                raise InputError(
                    f"training set {train.name!r} lacks bands that are to be coded",
                    found=[n for n, s, w in zip(train.bands, seen, wanted, strict=True) if w and not s],
                    fix="leave them out or add tiles that have them",
                )
            centre = np.where(seen, total / np.maximum(np.diag(count), 1), 0.0)
            count[:] = 0
    covariance = square / np.where(count > 0, count, np.nan)
    spread = np.sqrt(np.diag(covariance))
    if (spread[wanted] == 0).any():
        raise InputError(f"a band of training set {train.name!r} is constant", fix="leave it out")
    correlation = covariance / np.outer(spread, spread)
    return Spectrum(train.bands, np.where(wanted, centre, np.nan), spread, correlation)
