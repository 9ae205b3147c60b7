import numpy as np
import pytest

from codec.errors import InputError
from codec.transform.fill import fill
from codec.transform.plane import PlaneTransform


def random_transform(rows: int = 4, cols: int = 5, channels: int = 7) -> PlaneTransform:
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.standard_normal((channels, channels)))[0]
    return PlaneTransform(
        rng.standard_normal((rows, cols, channels)).astype(np.float32),
        np.ascontiguousarray(basis, np.float32),
    )


def test_synthesis_undoes_analysis_within_the_stated_tolerance() -> None:
    transform = random_transform()
    x = (10 * np.random.default_rng(4).standard_normal((6, 4, 5, 7))).astype(np.float32)
    back = transform.synthesise(transform.analyse(x))
    assert np.abs(back - x).max() <= 1e-5 * np.abs(x).max()


def test_squared_errors_are_equal_in_latent_and_embedding() -> None:
    transform = random_transform()
    latents = np.random.default_rng(5).standard_normal((6, 7, 20)).astype(np.float32)
    moved = latents + 0.1 * np.random.default_rng(6).standard_normal(latents.shape).astype(np.float32)
    in_embedding = ((transform.synthesise(moved) - transform.synthesise(latents)) ** 2).sum()
    assert in_embedding == pytest.approx(((moved - latents) ** 2).sum(), rel=1e-5)


def test_a_basis_that_is_not_orthonormal_is_refused() -> None:
    with pytest.raises(InputError, match="not orthonormal"):
        PlaneTransform(np.zeros((2, 2, 3), np.float32), np.full((3, 3), 0.5, np.float32))


def test_embeddings_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match="N×4×5×7"):
        random_transform().analyse(np.zeros((1, 5, 4, 7), np.float32))


def test_what_stands_in_invalid_tokens_does_not_matter() -> None:
    transform = random_transform()
    rng = np.random.default_rng(8)
    x = rng.standard_normal((5, 4, 5, 7)).astype(np.float32)
    validity = rng.random((5, 4, 5)) > 0.3
    validity[0] = False
    other = np.where(validity[..., None], x, np.float32(np.nan))
    first, second = transform.analyse(x, validity), transform.analyse(other, validity)
    np.testing.assert_array_equal(first, second)
    assert not first[0].any()


def test_valid_tokens_survive_the_fill() -> None:
    transform = random_transform()
    rng = np.random.default_rng(9)
    x = rng.standard_normal((5, 4, 5, 7)).astype(np.float32)
    validity = rng.random((5, 4, 5)) > 0.3
    back = transform.synthesise(transform.analyse(x, validity))
    np.testing.assert_allclose(back[validity], x[validity], atol=2e-5)


def test_refilled_latents_keep_known_tokens_and_whole_tiles() -> None:
    transform = random_transform()
    rng = np.random.default_rng(10)
    latents = rng.standard_normal((4, 7, 20)).astype(np.float32)
    known = rng.random((4, 4, 5)) > 0.4
    known[2] = True
    filled = transform.refill(latents, known)
    np.testing.assert_array_equal(filled[2], latents[2])
    before, after = transform.synthesise(latents), transform.synthesise(filled)
    np.testing.assert_allclose(after[known], before[known], atol=2e-5)
    assert (filled[[0, 1, 3]] ** 2).sum() < (
        latents[[0, 1, 3]] ** 2
    ).sum()  # the fill is smooth: less to send


def test_fill_keeps_a_constant_constant() -> None:
    known = np.zeros((1, 6, 6), bool)
    known[0, 0, 0] = True
    tokens = np.full((1, 2, 6, 6), np.nan, np.float32)
    tokens[0, :, 0, 0] = [3.0, -2.0]
    filled = fill(np.nan_to_num(tokens), known)
    np.testing.assert_allclose(filled[0, 0], 3.0, rtol=1e-6)
    np.testing.assert_allclose(filled[0, 1], -2.0, rtol=1e-6)
