"""Eigenvectors of a symmetric matrix, up to 512 rows the same bits whatever the number of threads.

LAPACK shares its work among threads, and the last bits of what it gives follow (measured: of 300 rows always, of 128
mostly not). So this is Jacobi's method, made of plain array arithmetic and of products of fixed pieces: blocks of 32 rows
meet in pairs, all disjoint pairs at once as in a round-robin tournament; one sweep of rotations over the 64 rows of a
pair gives an orthogonal matrix, which then turns the whole. Slower than LAPACK a hundred times: 0.2 seconds for 128 rows, 5
for 512. Wider matrices are left to LAPACK, and to its threads.

Source: G. H. Golub, C. F. Van Loan, "Matrix Computations", 4th edition, §8.5 (Jacobi methods; parallel ordering §8.5.4,
block procedures §8.5.5).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codec.errors import InternalError

_WIDEST = 512
_LARGEST_PAIR = 64
_MAX_SWEEPS = 60
# Largest |a_ij| / √(a_ii a_jj) that is left: a correlation of 10⁻⁵ between two coefficients is worth 10⁻¹⁰ bit.
_LEFT_OVER = 1e-5

Matrix = npt.NDArray[np.float64]


def eigenvectors(matrix: Matrix) -> Matrix:
    """C×C symmetric, not negative → C×C: columns are orthonormal eigenvectors, largest eigenvalue first."""
    channels = len(matrix)
    if channels > _WIDEST:
        return np.ascontiguousarray(np.linalg.eigh(matrix)[1][:, ::-1])
    pair = min(_LARGEST_PAIR, channels + channels % 2)
    n = -(-channels // pair) * pair
    a = np.zeros((n, n))
    a[:channels, :channels] = matrix
    rows = np.eye(n)  # eigenvectors as they become
    label = np.arange(n)  # which row of the beginning stands here: those behind the matrix stay what they are
    # Directions without power have no correlation worth the name.
    floor = max(1e-14 * float(np.trace(a)) / n, float(np.finfo(np.float64).tiny))
    for _ in range(_MAX_SWEEPS):
        if _largest_correlation(a, floor) <= _LEFT_OVER:
            real = np.flatnonzero(label < channels)
            order = real[np.lexsort((label[real], -np.diag(a)[real]))]
            return np.ascontiguousarray(rows[order, :channels].T)
        for meeting in _tournament(2 * n // pair):
            own = (meeting.reshape(-1, 1) * (pair // 2) + np.arange(pair // 2)).ravel()
            label = label[own]
            a, rows = _turned(a[own][:, own], rows[own], pair)
    raise InternalError("the eigenvectors of a covariance were not found", found=f"{_MAX_SWEEPS} sweeps")


def _largest_correlation(a: Matrix, floor: float) -> float:
    deviation = np.sqrt(np.maximum(np.diag(a), floor))
    correlation = np.abs(a) / deviation[:, None] / deviation
    np.fill_diagonal(correlation, 0)
    return float(correlation.max())


def _tournament(n: int) -> list[npt.NDArray[np.intp]]:
    """Rounds of a round robin of an even number: each an order in which neighbours meet, told relative to the one before."""
    order, rounds = list(range(n)), []
    for _ in range(n - 1):
        pairs = [order[k] if side == 0 else order[n - 1 - k] for k in range(n // 2) for side in (0, 1)]
        rounds.append(pairs)
        order = [order[0], order[-1], *order[1:-1]]
    relative = []
    before = list(range(n))
    for pairs in rounds:
        place = {number: at for at, number in enumerate(before)}
        relative.append(np.array([place[number] for number in pairs], dtype=np.intp))
        before = pairs
    return relative


def _turned(a: Matrix, rows: Matrix, pair: int) -> tuple[Matrix, Matrix]:
    """One sweep over each pair of neighbouring blocks; all pairs at once."""
    n = len(a)
    tiles = a.reshape(n // pair, pair, n // pair, pair)
    back = _sweep(np.stack([tiles[k, :, k] for k in range(n // pair)]))

    def from_left(
        x: Matrix,
    ) -> Matrix:  # each product is 64×64 times 64×64: a piece in the sense of `products`
        blocks = x.reshape(n // pair, pair, -1, pair).transpose(0, 2, 1, 3)
        return np.matmul(back[:, None], blocks).transpose(0, 2, 1, 3).reshape(n, -1)

    turned = from_left(np.ascontiguousarray(from_left(a).T))
    return (turned + turned.T) / 2, from_left(rows)


def _sweep(s: Matrix) -> Matrix:
    """The rotations that make S×m×m smaller off the diagonal, every two rows once: S×m×m orthogonal."""
    m = s.shape[1]
    turn = np.broadcast_to(np.eye(m), s.shape)
    for meeting in _tournament(m):
        s, turn = s[:, meeting][:, :, meeting], turn[:, meeting]
        first, second = s[:, 0::2, 0::2], s[:, 1::2, 1::2]
        app = np.diagonal(first, axis1=1, axis2=2)
        aqq = np.diagonal(second, axis1=1, axis2=2)
        apq = np.diagonal(s[:, 0::2, 1::2], axis1=1, axis2=2)
        nothing = apq == 0
        with np.errstate(over="ignore"):  # τ² beyond float64: the angle is 0
            tau = (aqq - app) / np.where(nothing, 1.0, 2 * apq)
            tangent = np.where(tau < 0, -1.0, 1.0) / (np.abs(tau) + np.sqrt(1 + tau * tau))
        tangent = np.where(nothing, 0.0, tangent)
        cosine = 1 / np.sqrt(1 + tangent * tangent)
        sine = tangent * cosine
        s = _rotated(_rotated(s, cosine, sine).transpose(0, 2, 1), cosine, sine)
        turn = _rotated(turn, cosine, sine)
    # After a whole tournament the order is that of its last round: back to the first.
    at = np.arange(m)
    for meeting in _tournament(m):
        at = at[meeting]
    result = np.empty_like(turn)
    result[:, at] = turn
    return result


def _rotated(x: Matrix, cosine: Matrix, sine: Matrix) -> Matrix:
    """Rows 2k and 2k + 1 of S×m×m turned into each other."""
    p, q = x[:, 0::2], x[:, 1::2]
    out = np.empty(x.shape)
    out[:, 0::2] = cosine[..., None] * p - sine[..., None] * q
    out[:, 1::2] = sine[..., None] * p + cosine[..., None] * q
    return out


__all__ = ["eigenvectors"]


def klt_basis(covariance: Matrix) -> Matrix:
    """C×C: rows are the channels of the KLT, largest variance first. An eigenvector's sign is arbitrary: here its largest
    component is positive.
    """
    basis = eigenvectors(covariance).T
    peak = np.abs(basis).argmax(axis=1)
    return np.asarray(basis * np.sign(basis[np.arange(len(basis)), peak])[:, None])
