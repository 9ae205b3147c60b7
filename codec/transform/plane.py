"""One plane's transform: position mean, channel KLT, token DCT, rotations by frequency; and back (bitstream §8.3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from codec.errors import InputError
from codec.transform import dct
from codec.transform.fill import fill
from codec.transform.products import channels_to_tiles, product, tiles_to_channels
from codec.transform.rotations import Rotations, by_group
from codec.types import BoolArray, FloatArray

# What stands between the tokens of a tile: they are a picture, or a list of vectors that have nothing to do with each
# other (bitstream §8.3).
TokenTransform = Literal["dct", "none"]

# Rows of `basis` must be orthonormal; float32 rounding of an orthonormal matrix of up to 4096 rows stays below this.
_ORTHONORMAL_TOLERANCE = 1e-4


@dataclass(frozen=True)
class PlaneTransform:
    """Embedding ↔ latent of one plane.

    latent[n, c, f] = DCT over tokens (where `tokens` says so) of (x[n] − mean) @ basis[c], then the rotation of channels
    that frequency f has, where there are any. All are orthonormal, so squared errors in the latent are squared errors in
    the embedding. Tolerance: synthesise(analyse(x)) equals x within
    10⁻⁵ of the largest absolute value.
    """

    mean: FloatArray  # h×w×C, in embedding units
    basis: FloatArray  # C×C, row c = the c-th channel of the latent, in coding order
    tokens: TokenTransform = "dct"
    rotations: Rotations | None = None

    def __post_init__(self) -> None:
        if self.mean.ndim != 3 or self.basis.shape != (self.channels, self.channels):
            raise InputError(
                "a plane's transform needs a mean of rows×cols×channels and a basis of channels×channels",
                found=f"{self.mean.shape} and {self.basis.shape}",
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.basis).all()):
            raise InputError("a plane's transform holds numbers that are not finite")
        if self.rotations is not None:
            of = self.rotations
            if (
                self.tokens == "none"
                or of.matrices.shape[1] != self.channels
                or len(of.group) != self.rows * self.cols
            ):
                raise InputError(
                    "rotations belong to the frequencies of a plane's tokens and to its channels",
                    expected=f"{self.rows * self.cols} frequencies of {self.channels} channels",
                    found=f"{len(of.group)} of {of.matrices.shape[1]}",
                )
        gram = self.basis.astype(np.float64) @ self.basis.astype(np.float64).T
        error = float(np.abs(gram - np.eye(self.channels)).max())
        if error > _ORTHONORMAL_TOLERANCE:
            raise InputError(
                "the rows of a plane's basis are not orthonormal",
                expected=f"error ≤ {_ORTHONORMAL_TOLERANCE}",
                found=error,
            )

    @property
    def rows(self) -> int:
        return int(self.mean.shape[0])

    @property
    def cols(self) -> int:
        return int(self.mean.shape[1])

    @property
    def channels(self) -> int:
        return int(self.mean.shape[2])

    @cached_property
    def bases(self) -> FloatArray:
        """G×C×C, basis and rotation of each group of frequencies in one; without rotations there is one group."""
        if self.rotations is None:
            return self.basis[None]
        wide = self.basis.astype(np.float64)
        return np.stack([product(m.astype(np.float64), wide) for m in self.rotations.matrices]).astype(
            np.float32
        )

    def analyse(self, embeddings: FloatArray, validity: BoolArray | None = None) -> FloatArray:
        """Embeddings N×h×w×C → latents N×C×F, float32.

        With `validity` (N×h×w) the tokens that are not valid are filled smoothly first, whatever stands in them (NaN
        included); wholly invalid tiles become 0. Raises InputError on another shape.
        """
        x = np.asarray(embeddings, dtype=np.float32)
        if x.ndim != 4 or x.shape[1:] != self.mean.shape:
            raise InputError(
                "embeddings do not fit the plane",
                expected=f"N×{self.rows}×{self.cols}×{self.channels}",
                found=x.shape,
            )
        centred = x - self.mean
        if validity is not None:
            centred = np.where(validity[..., None], centred, np.float32(0))
        if self.rotations is not None:
            return self._turned(centred, validity)
        latents = tiles_to_channels(centred.reshape(len(x), -1, self.channels), self.basis)  # N×C×F
        if self.tokens == "none":
            return latents
        pictures = latents.reshape(len(x), self.channels, self.rows, self.cols)
        return dct.forward(_filled(pictures, validity))

    def _turned(self, centred: FloatArray, validity: BoolArray | None) -> FloatArray:
        # The DCT first, of channels as they are: basis and rotation of a frequency are then one product. What fills a
        # token is linear and the same for all channels, so it may come before both.
        n, n_tokens = len(centred), self.rows * self.cols
        if validity is not None and not validity.all():
            centred = np.moveaxis(_filled(np.moveaxis(centred, 3, 1), validity), 1, 3)
        spectrum = dct.forward_rows(centred).reshape(n, n_tokens, self.channels)
        assert self.rotations is not None
        found = by_group(spectrum, self.bases.transpose(0, 2, 1), self.rotations.group)
        return np.ascontiguousarray(found.transpose(0, 2, 1))

    def synthesise(self, latents: FloatArray) -> FloatArray:
        """Latents N×C×F → embeddings N×h×w×C, float32. Of k < C channels: the others are 0."""
        values = np.asarray(latents, dtype=np.float32)
        n, n_channels, _ = values.shape
        basis = self.basis[:n_channels]
        if self.rotations is not None:
            spectrum = np.ascontiguousarray(values.transpose(0, 2, 1))
            spectrum = by_group(spectrum, self.bases[:, :n_channels], self.rotations.group)
            values = dct.inverse_rows(spectrum.reshape(n, self.rows, self.cols, self.channels))
        elif self.tokens == "none":
            # Row by row of the tile: a vector comes out the same, to the bit, wherever in its tile it stands. In larger
            # pieces the library treats the last rows another way.
            tokens = values.reshape(n, n_channels, self.rows, self.cols)
            values = np.moveaxis(tokens, 1, 3) @ basis
        else:
            tokens = dct.inverse(values, self.rows, self.cols)
            values = channels_to_tiles(tokens.reshape(n, n_channels, -1), basis)
        result = values.reshape(n, self.rows, self.cols, self.channels)
        result += self.mean
        return result

    def refill(self, latents: FloatArray, known: BoolArray) -> FloatArray:
        """Latents N×C×F with what the unknown tokens of partly known tiles hold replaced by smooth values.

        An engine computes latents of whole tiles; what it saw in unmeasured pixels, and tokens that an earlier tile owns,
        would cost bytes and mean nothing. `known` is N×h×w. Returns `latents` itself when nothing is to do.
        """
        partly = np.flatnonzero(known.any(axis=(1, 2)) & ~known.all(axis=(1, 2)))
        if not len(partly):
            return latents
        result = np.array(latents, dtype=np.float32)
        if self.tokens == "none":
            there = known[partly].reshape(len(partly), 1, -1)
            result[partly] = np.where(there, result[partly], np.float32(0))
            return result
        part = result[partly] if self.rotations is None else self.rotations.back(result[partly])
        values = dct.inverse(part, known.shape[1], known.shape[2])
        values = np.where(known[partly][:, None], values, np.float32(0))
        part = dct.forward(fill(values, known[partly]))
        result[partly] = part if self.rotations is None else self.rotations.forward(part)
        return result


def _filled(pictures: FloatArray, validity: BoolArray | None) -> FloatArray:
    """N×C×h×w with the invalid tokens of partly valid tiles filled; the array itself where there are none."""
    if validity is None:
        return pictures
    partly = np.flatnonzero(validity.any(axis=(1, 2)) & ~validity.all(axis=(1, 2)))
    if not len(partly):
        return pictures
    result = np.array(pictures)
    result[partly] = fill(pictures[partly], validity[partly])
    return result
