"""The orthonormal DCT-II over tokens (bitstream §8.3).

Source: N. Ahmed, T. Natarajan, K. R. Rao, "Discrete cosine transform", IEEE Trans. Computers C-23 (1974), in the
orthonormal scaling, so that squared errors of coefficients and of tokens are equal.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from codec.transform.products import product, times_each
from codec.types import FloatArray

# Up to this many tokens one F×F product beats two passes of small ones (numpy calls BLAS once instead of N·C times).
_KRONECKER_LIMIT = 256


@lru_cache(maxsize=64)
def dct_matrix(n: int) -> FloatArray:
    """The n×n matrix A with A[u, i] = a_u(i): row u is the u-th basis function; A @ A.T is the identity."""
    i = np.arange(n, dtype=np.float64)
    u = i[:, None]
    matrix = np.sqrt(2.0 / n) * np.cos(np.pi * (2.0 * i + 1.0) * u / (2.0 * n))
    matrix[0] = np.sqrt(1.0 / n)
    result = matrix.astype(np.float32)
    result.setflags(write=False)
    return result


@lru_cache(maxsize=16)
def _kronecker(rows: int, cols: int) -> FloatArray:
    result = np.kron(dct_matrix(rows), dct_matrix(cols)).astype(np.float32)
    result.setflags(write=False)
    return result


def forward(tokens: FloatArray) -> FloatArray:
    """Tokens …×h×w → coefficients …×F, F = u·w + v in raster order of the frequencies (u vertical), float32."""
    *lead, rows, cols = tokens.shape
    x = np.ascontiguousarray(tokens, dtype=np.float32)
    if rows * cols <= _KRONECKER_LIMIT:
        transposed = np.ascontiguousarray(_kronecker(rows, cols).T)
        return product(x.reshape(-1, rows * cols), transposed).reshape(*lead, rows * cols)
    # Sides of at most 64: each of these products is a piece of its own.
    return (dct_matrix(rows) @ x @ dct_matrix(cols).T).reshape(*lead, rows * cols)


def inverse(coefficients: FloatArray, rows: int, cols: int) -> FloatArray:
    """Coefficients …×F → tokens …×h×w; the transpose of `forward`."""
    *lead, _ = coefficients.shape
    y = np.ascontiguousarray(coefficients, dtype=np.float32)
    if rows * cols <= _KRONECKER_LIMIT:
        return product(y.reshape(-1, rows * cols), _kronecker(rows, cols)).reshape(*lead, rows, cols)
    return dct_matrix(rows).T @ y.reshape(*lead, rows, cols) @ dct_matrix(cols)


def forward_rows(tokens: FloatArray) -> FloatArray:
    """As `forward`, of N×h×w×C whose channels stand last, and stay there: rows of the result are frequencies."""
    return _rows(tokens, dct_matrix(tokens.shape[1]), dct_matrix(tokens.shape[2]))


def inverse_rows(coefficients: FloatArray) -> FloatArray:
    """The transpose of `forward_rows`, N×h×w×C."""
    return _rows(coefficients, dct_matrix(coefficients.shape[1]).T, dct_matrix(coefficients.shape[2]).T)


def _rows(x: FloatArray, vertical: FloatArray, horizontal: FloatArray) -> FloatArray:
    n, rows, cols, channels = x.shape
    if rows * cols <= _KRONECKER_LIMIT:
        both = np.kron(vertical, horizontal).astype(np.float32)
        return times_each(both, x.reshape(n, rows * cols, channels)).reshape(x.shape)
    down = times_each(np.ascontiguousarray(vertical), x.reshape(n, rows, cols * channels))
    across = times_each(np.ascontiguousarray(horizontal), down.reshape(n * rows, cols, channels))
    return across.reshape(x.shape)
