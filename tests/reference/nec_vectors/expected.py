"""Embeddings of package `three`, by a formula that has nothing to do with the decoder's matrices.

For 2×2 tokens the orthonormal DCT-II is the Hadamard transform: a_0 = (1, 1)/√2, a_1 = (1, −1)/√2, since
√(2/2)·cos(π/4) = 1/√2 and cos(3π/4) = −1/√2. So each token is half a sum of four coefficients with signs.
"""

from __future__ import annotations

from nec_vectors.files import Grid
from nec_vectors.packages import LADDER, THREE

# (+/−) of Y0, Y1 (horizontal), Y2 (vertical), Y3 (both) in tokens (0,0), (0,1), (1,0), (1,1)
SIGNS = ((1, 1, 1, 1), (1, -1, 1, -1), (1, 1, -1, -1), (1, -1, -1, 1))


def value(symbol: int, step: float, level: int) -> float:
    """§8.1; r1 = 1 − level/64, r2 = −level/128 in this package."""
    if symbol == 0:
        return 0.0
    size = 1 - level / 64 if abs(symbol) == 1 else abs(symbol) - level / 128
    return (1 if symbol > 0 else -1) * step * size


def embed_three(
    grid: Grid, e: tuple[int, int, int] = (6, 8, 9), mean_vector: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> list[list[list[float]]]:
    """rows×cols×channels of one tile; `mean_vector` holds what is added to frequency 0 of each channel."""
    shape = THREE.tables.planes[0]
    transform = THREE.transforms[0]
    assert transform is not None
    mean, basis = transform
    latent: list[list[float]] = []  # [c][token]
    for c in range(3):
        y = []
        for f in range(4):
            band = shape.band_of[f]
            layer = shape.layer_map[band][c]
            if layer == 255:
                y.append(0.0)
                continue
            level = max(0, min(shape.class_map[band][c] - e[layer], 7))
            y.append(value(grid[c][f], LADDER[e[layer]], level))
        y[0] += mean_vector[c]
        latent.append([sum(s * v for s, v in zip(signs, y, strict=True)) / 2 for signs in SIGNS])
    return [
        [
            [
                mean[row][col][k] + sum(basis[c][k] * latent[c][2 * row + col] for c in range(3))
                for k in range(3)
            ]
            for col in range(2)
        ]
        for row in range(2)
    ]
