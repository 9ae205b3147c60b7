"""Matrix products whose bits do not depend on how many threads the linear algebra library has.

A library that shares a product among threads cuts it elsewhere than with one thread, and adds in another order at the
cuts: the last bits move, and a symbol at a rounding boundary with them. So products are made of pieces of fixed shape,
each too small to be worth a second thread (OpenBLAS keeps 2^18 multiplications on one; measured: products and
eigenvectors above that differ between one and two threads, those below do not), and pieces of a long sum are added in
order. Whatever is left over at an edge is filled up with zeros, so that the shapes do not depend on how much there is.
Costs 10 to 15 % of the time of one large product on one thread.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

_MULTIPLICATIONS = 1 << 18
_DEPTH = 256  # terms of a sum in one piece
_WIDTH = 64  # columns of a piece
_MULTIPLE = (
    8  # rows and columns are filled up to this: a single one would be another routine, with other limits
)

Real = TypeVar("Real", np.float32, np.float64)


def product(a: npt.NDArray[Real], b: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """M×K times K×N → M×N, both float32 or both float64. Best for M much larger than K and N; sums of no terms are 0."""
    rows, depth, columns = len(a), a.shape[1], b.shape[1]
    if not (depth and columns):
        return np.zeros((rows, columns), a.dtype)
    b = _filled(b, 1, _up(columns, _MULTIPLE))
    deep = min(depth, _DEPTH)
    wide = min(b.shape[1], _WIDTH)
    high = _MULTIPLICATIONS // (deep * wide)
    whole = rows // high * high
    parts = [a[:whole]]
    if whole < rows:
        parts.append(_filled(a[whole:], 0, high))
    out = [
        _stacked(part.reshape(-1, high, depth), b, deep, wide).reshape(len(part), -1)
        for part in parts
        if len(part)
    ]
    if len(out) == 1:
        return out[0][:rows, :columns]
    return np.concatenate(out or [np.zeros((0, columns), a.dtype)])[:rows, :columns]


def _stacked(a: npt.NDArray[Real], b: npt.NDArray[Real], deep: int, wide: int) -> npt.NDArray[Real]:
    """S×M×K times K×N → S×M×N in pieces M×deep×wide."""
    out = np.empty((*a.shape[:2], b.shape[1]), a.dtype)
    for column in range(0, b.shape[1], wide):
        _multiply(a, b[:, column : column + wide], deep, out[:, :, column : column + wide])
    return out


def _multiply(a: npt.NDArray[Real], b: npt.NDArray[Real], deep: int, out: npt.NDArray[Real]) -> None:
    """…×M×K times …×K×N into `out`, `deep` terms of the sums at a time, added in order."""
    for first in range(0, b.shape[-2], deep):
        part = a[..., first : first + deep], b[..., first : first + deep, :]
        if first:
            out += np.matmul(*part)
        else:
            np.matmul(*part, out=out)


def times_each(a: npt.NDArray[Real], b: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """M×K times each of n×K×N → n×M×N, in pieces of at most 64 columns."""
    b = np.ascontiguousarray(b)
    out = np.empty((len(b), len(a), b.shape[2]), b.dtype)
    high = max(_MULTIPLE, _MULTIPLICATIONS // (min(a.shape[1], _DEPTH) * _WIDTH) // _MULTIPLE * _MULTIPLE)
    for row in range(0, len(a), high):
        for column in range(0, b.shape[2], _WIDTH):
            target = out[:, row : row + high, column : column + _WIDTH]
            _multiply(a[row : row + high], b[:, :, column : column + _WIDTH], _DEPTH, target)
    return out


def tiles_to_channels(tokens: npt.NDArray[Real], basis: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Tokens n×F×C of tiles times the rows of a basis k×C → n×k×F."""
    n, n_tokens, channels = tokens.shape
    if not (_is_piece(n_tokens) and channels and len(basis)):
        flat = product(tokens.reshape(n * n_tokens, channels), np.ascontiguousarray(basis.T))
        return np.ascontiguousarray(flat.reshape(n, n_tokens, len(basis)).transpose(0, 2, 1))
    n_rows = len(basis)
    basis = _filled(basis, 0, _up(n_rows, _MULTIPLE))
    deep = min(channels, _DEPTH)
    high = _MULTIPLICATIONS // (deep * n_tokens) // _MULTIPLE * _MULTIPLE
    out = np.empty((n, len(basis), n_tokens), tokens.dtype)
    columns = tokens.transpose(0, 2, 1)
    for row in range(0, len(basis), high):
        target = out[:, row : row + high]
        _multiply(basis[row : row + high], columns, deep, target)
    return out[:, :n_rows]


def channels_to_tiles(latents: npt.NDArray[Real], basis: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Latents n×k×F of tiles times the rows of a basis k×C → tokens n×F×C: the way back of `tiles_to_channels`."""
    n, depth, n_tokens = latents.shape
    tokens = latents.transpose(0, 2, 1)
    if not (_is_piece(n_tokens) and depth) or basis.shape[1] % _MULTIPLE:
        flat = product(np.ascontiguousarray(tokens).reshape(n * n_tokens, depth), basis)
        return np.ascontiguousarray(flat).reshape(n, n_tokens, basis.shape[1])
    deep = min(depth, _DEPTH)
    wide = _MULTIPLICATIONS // (deep * n_tokens) // _MULTIPLE * _MULTIPLE
    out = np.empty((n, n_tokens, basis.shape[1]), latents.dtype)
    for column in range(0, basis.shape[1], wide):
        target = out[:, :, column : column + wide]
        _multiply(tokens, basis[:, column : column + wide], deep, target)
    return out


def _is_piece(n_tokens: int) -> bool:
    """Whether the tokens of a tile are a piece by themselves; tiles of few or of very many are taken as one long list."""
    return _WIDTH // 2 <= n_tokens <= 2 * _WIDTH


def gram(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """T×C → C×C: xᵀx, symmetric to the bit."""
    channels = x.shape[1]
    side = min(_WIDTH, _up(channels, _MULTIPLE))
    x = _filled(_filled(x, 0, _up(len(x), _WIDTH)), 1, _up(channels, side))
    groups = x.shape[1] // side
    blocks = np.ascontiguousarray(x.reshape(-1, _WIDTH, groups, side).transpose(2, 0, 1, 3))  # G×S×64×side
    total = np.zeros((groups, groups, side, side))
    for i in range(groups):
        for j in range(i, groups):
            for first in range(0, blocks.shape[1], _WIDTH):
                part = slice(first, first + _WIDTH)
                total[i, j] += np.matmul(blocks[i, part].transpose(0, 2, 1), blocks[j, part]).sum(axis=0)
            total[j, i] = total[i, j].T
    result: npt.NDArray[np.float64] = total.transpose(0, 2, 1, 3).reshape(x.shape[1], x.shape[1])
    return result[:channels, :channels]


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _filled(x: npt.NDArray[Real], axis: int, size: int) -> npt.NDArray[Real]:
    """The matrix with zeros behind it along an axis, up to `size`."""
    if x.shape[axis] == size:
        return x
    shape = list(x.shape)
    shape[axis] = size
    out = np.zeros(shape, x.dtype)
    out[: x.shape[0], : x.shape[1]] = x
    return out
