"""A basis of its own for every group of token frequencies: channels share one thing in a tile's mean, another in its detail.

One channel transform for all tokens makes channels independent on average over the frequencies. At each frequency they are
not: of the mean of a tile, a KLT of its own needs 20 to 40 % fewer bytes at equal error; of everything 15 to 25 %
(benchmarks/results/nec.csv, part `rotations`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.transform.eigen import klt_basis
from codec.transform.products import gram, product
from codec.types import FloatArray

MOST = 16  # groups of one plane
WIDEST = 1024  # channels of a plane that has rotations: wider ones would be hundreds of megabytes
# Groups by u + v of the frequency: 0, 1, 2, 3–4, 5–7, and all above. One for each sum gains nothing more.
_FIRST_SUMS = (0, 1, 2, 3, 5, 8)
_ORTHONORMAL_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Rotations:
    """Y'[c'] = Σ_c matrices[g][c'][c] · Y[c] at every frequency f, g = group[f]. Orthonormal: errors keep their size."""

    matrices: FloatArray  # G×C×C
    group: npt.NDArray[np.uint8]  # F: which matrix

    def __post_init__(self) -> None:
        shape = self.matrices.shape
        if len(shape) != 3 or shape[1] != shape[2] or not 1 <= shape[0] <= MOST or shape[1] > WIDEST:
            raise InputError(
                f"rotations are 1 to {MOST} square matrices of at most {WIDEST} rows", found=shape
            )
        if not np.array_equal(np.unique(self.group), np.arange(shape[0])):
            raise InputError(
                "every rotation belongs to a frequency, and every frequency has one", found=self.group
            )
        if not np.isfinite(self.matrices).all():
            raise InputError("a plane's rotations hold numbers that are not finite")
        wide = self.matrices.astype(np.float64)
        error = float(np.abs(wide @ wide.transpose(0, 2, 1) - np.eye(shape[1])).max())
        if error > _ORTHONORMAL_TOLERANCE:
            raise InputError(
                "a plane's rotations are not orthonormal",
                expected=f"error ≤ {_ORTHONORMAL_TOLERANCE}",
                found=error,
            )

    def forward(self, values: FloatArray) -> FloatArray:
        """N×C×F → N×C×F."""
        return self._turned(values, self.matrices.transpose(0, 2, 1))

    def back(self, values: FloatArray) -> FloatArray:
        """N×k×F, the other channels 0 → N×C×F."""
        return self._turned(values, self.matrices[:, : values.shape[1]])

    def _turned(self, values: FloatArray, matrices: FloatArray) -> FloatArray:
        # Channels last meanwhile: whole rows are then gathered, not numbers, which takes half of the time.
        rows = np.ascontiguousarray(values.transpose(0, 2, 1), dtype=np.float32)
        return np.ascontiguousarray(by_group(rows, matrices, self.group).transpose(0, 2, 1))


def by_group(rows: FloatArray, matrices: FloatArray, group: npt.NDArray[np.uint8]) -> FloatArray:
    """N×F×k, each frequency's rows times the k×C matrix of its group → N×F×C."""
    n, n_frequencies, depth = rows.shape
    result = np.empty((n, n_frequencies, matrices.shape[2]), np.float32)
    for number, matrix in enumerate(matrices):
        where = np.flatnonzero(group == number)
        turned = product(rows[:, where].reshape(-1, depth), np.ascontiguousarray(matrix))
        result[:, where] = turned.reshape(n, len(where), -1)
    return result


def group_of_frequency(rows: int, cols: int) -> npt.NDArray[np.uint8]:
    """Group of each token frequency in raster order; groups that no frequency is of are left out."""
    u, v = np.divmod(np.arange(rows * cols), cols)
    group = np.searchsorted(_FIRST_SUMS, u + v, side="right") - 1
    return np.unique(group, return_inverse=True)[1].astype(np.uint8)


def fit_rotations(latents: FloatArray, rows: int, cols: int) -> Rotations:
    """KLT of every group, from latents N×C×F of whole tiles; deterministic, largest variance first."""
    group = group_of_frequency(rows, cols)
    channels = latents.shape[1]
    matrices = np.empty((int(group.max()) + 1, channels, channels), np.float32)
    for number in range(len(matrices)):
        covariance = np.zeros((channels, channels))
        where = np.flatnonzero(group == number)
        for f in where:  # one after another: bounds the float64 copies
            covariance += gram(np.ascontiguousarray(latents[:, :, f]).astype(np.float64))
        # As it is: shrunk towards its diagonal by 2 %, layer 0 takes up to 15 % more bytes.
        matrices[number] = klt_basis(covariance / (len(latents) * len(where)))
    return Rotations(matrices, group)
