"""Products and eigenvectors: what numpy gives, and the same bits whatever the number of threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from codec.transform.eigen import eigenvectors
from codec.transform.products import channels_to_tiles, gram, product, tiles_to_channels

# Shapes that hurt: nothing, one, primes, one more than a piece, deeper than a piece.
_PROGRAM = """
import hashlib
import numpy as np
from codec.transform.eigen import eigenvectors
from codec.transform.products import gram, product, tiles_to_channels
rng = np.random.default_rng(0)
x = rng.normal(size=(4001, 300)).astype(np.float32)
b = rng.normal(size=(300, 300)).astype(np.float32)
found = [product(x, b), product(x[:, :1].copy(), b[:1, :1].copy()), tiles_to_channels(x[:4000].reshape(-1, 50, 300), b)]
found += [tiles_to_channels(x[:4000].reshape(-1, 1, 300), b[:7]), gram(x.astype(float)), eigenvectors(gram(x.astype(float)))]
found += [eigenvectors(gram(x[:, :c].astype(float))) for c in (5, 127, 128, 129)]
for array in found:
    print(hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest())
"""


_TILES = (
    (7, 64, 128, 40), (7, 64, 300, 300), (9, 1, 5, 3), (3, 256, 20, 20), (5, 48, 129, 129), (2, 64, 8, 1),
)  # fmt: skip


def _digests(threads: int) -> list[str]:
    count = {name: str(threads) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={**os.environ, **count},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    one, two = _digests(1), _digests(2)
    assert len(one) == 10
    assert one == two


@pytest.mark.parametrize(
    ("rows", "depth", "columns"),
    [
        (1000, 128, 128),
        (33, 300, 70),
        (5, 6, 6),
        (1, 1, 1),
        (0, 4, 4),
        (70, 5, 1),
        (3, 0, 2),
        (0, 0, 0),
        (4, 2, 0),
    ],
)
def test_a_product_is_numpys(rows: int, depth: int, columns: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(rows, depth)), rng.normal(size=(depth, columns))
    np.testing.assert_allclose(product(a, b), a @ b, atol=1e-12 * depth)


@pytest.mark.parametrize(
    ("n", "tokens", "channels", "rows"),
    [
        (7, 64, 128, 40),
        (7, 64, 300, 300),
        (9, 1, 5, 3),
        (3, 256, 20, 20),
        (5, 48, 129, 129),
        (2, 64, 8, 1),
        (2, 64, 8, 0),
        (2, 1, 8, 0),
    ],
)
def test_tiles_come_out_as_channels_by_tokens(n: int, tokens: int, channels: int, rows: int) -> None:
    rng = np.random.default_rng(0)
    x, basis = rng.normal(size=(n, tokens, channels)), rng.normal(size=(rows, channels))
    np.testing.assert_allclose(
        tiles_to_channels(x, basis), np.einsum("ntc,kc->nkt", x, basis), atol=1e-12 * channels
    )


@pytest.mark.parametrize(
    ("n", "tokens", "channels", "rows"),
    [
        (7, 64, 128, 40),
        (7, 64, 300, 300),
        (9, 1, 5, 3),
        (3, 256, 20, 20),
        (5, 48, 129, 129),
        (2, 64, 8, 1),
        (2, 64, 8, 0),
        (2, 1, 8, 0),
    ],
)
def test_channels_come_back_as_tokens(n: int, tokens: int, channels: int, rows: int) -> None:
    rng = np.random.default_rng(0)
    y, basis = rng.normal(size=(n, rows, tokens)), rng.normal(size=(rows, channels))
    found = channels_to_tiles(y, basis)
    np.testing.assert_allclose(found, np.einsum("nkt,kc->ntc", y, basis), atol=1e-12 * rows)
    if tokens >= 32 and not channels % 8:  # tiles are pieces by themselves
        assert np.array_equal(channels_to_tiles(y[1:2], basis), found[1:2])


def test_a_tile_comes_out_the_same_whatever_stands_beside_it() -> None:
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(100, 100)).astype(np.float32)
    x = rng.normal(size=(37, 64, 100)).astype(np.float32)
    assert np.array_equal(tiles_to_channels(x[5:6], basis), tiles_to_channels(x, basis)[5:6])


@pytest.mark.parametrize(("tokens", "channels"), [(1000, 128), (3, 5), (700, 300)])
def test_a_gram_matrix_is_numpys_and_symmetric(tokens: int, channels: int) -> None:
    x = np.random.default_rng(0).normal(size=(tokens, channels))
    found = gram(x)
    np.testing.assert_allclose(found, x.T @ x, atol=1e-12 * tokens)
    assert np.array_equal(found, found.T)


@pytest.mark.parametrize("channels", [1, 2, 100, 128, 129, 260, 513])
@pytest.mark.parametrize("rank", [3, 1000])
def test_eigenvectors_are_orthonormal_and_make_the_matrix_diagonal(channels: int, rank: int) -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(min(rank, channels), channels)) / np.arange(1, channels + 1)
    matrix = mixing.T @ mixing
    found = eigenvectors(matrix)
    np.testing.assert_allclose(found.T @ found, np.eye(channels), atol=1e-12)
    turned = found.T @ matrix @ found
    np.testing.assert_allclose(turned - np.diag(np.diag(turned)), 0, atol=1e-5 * np.trace(matrix))
    # The sums of the largest eigenvalues are what a KLT is judged by (Ky Fan); LAPACK names the eigenvalues.
    expected = np.cumsum(np.linalg.eigvalsh(matrix)[::-1])
    np.testing.assert_allclose(np.cumsum(np.diag(turned)), expected, rtol=1e-6)
