import numpy as np
import pytest

from codec.transform import dct


@pytest.mark.parametrize("n", [1, 2, 3, 8, 14, 64])
def test_dct_matrix_is_orthonormal(n: int) -> None:
    gram = dct.dct_matrix(n).astype(np.float64) @ dct.dct_matrix(n).astype(np.float64).T
    assert np.abs(gram - np.eye(n)).max() < 2e-7  # float32 rounding of entries below 1


def test_dct_matrix_of_two_and_three_by_hand() -> None:
    r2, r3, r6 = np.sqrt([1 / 2, 1 / 3, 1 / 6])
    np.testing.assert_allclose(dct.dct_matrix(2), [[r2, r2], [r2, -r2]], atol=1e-7)
    np.testing.assert_allclose(dct.dct_matrix(3), [[r3, r3, r3], [r2, 0, -r2], [r6, -2 * r6, r6]], atol=1e-7)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (8, 8), (7, 1), (20, 30), (64, 64)])
def test_inverse_undoes_forward(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).standard_normal((3, 2, *shape)).astype(np.float32)
    back = dct.inverse(dct.forward(x), *shape)
    assert np.abs(back - x).max() < 1e-5 * np.abs(x).max()


@pytest.mark.parametrize("shape", [(2, 3), (8, 8), (20, 30)])
def test_forward_is_the_double_sum_of_the_specification(shape: tuple[int, int]) -> None:
    rows, cols = shape
    x = np.random.default_rng(1).standard_normal(shape)
    got = dct.forward(x[None, None].astype(np.float32))[0, 0]

    def a(u: int, i: int, n: int) -> float:
        return np.sqrt(1 / n) if u == 0 else np.sqrt(2 / n) * np.cos(np.pi * (2 * i + 1) * u / (2 * n))

    for f in {
        0,
        1,
        cols,
        rows * cols - 1,
    }:  # u vertical: frequency 1 is horizontal, frequency `cols` vertical
        u, v = divmod(f, cols)
        want = sum(a(u, i, rows) * a(v, j, cols) * x[i, j] for i in range(rows) for j in range(cols))
        assert got[f] == pytest.approx(want, abs=2e-5)


def test_frequency_zero_is_the_tile_mean() -> None:
    x = np.random.default_rng(2).standard_normal((5, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(dct.forward(x)[..., 0], 8 * x.mean(axis=(2, 3)), rtol=1e-4, atol=1e-5)
