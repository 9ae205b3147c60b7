"""Planes whose tokens are a list of vectors: no transform over tokens, layers of channels, one scale for all tokens."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.layout import PlaneLayout, band_of_token
from codec.transform.maps import quant_maps
from codec.transform.plane import PlaneTransform
from tests.transform.synthetic_embeddings import embeddings

LAYOUT = PlaneLayout(position_mean=False, n_layers=4, tokens="none")


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    x = embeddings(300, seed=1).reshape(-1, 1, 1, embeddings(1, seed=1).shape[3])
    return np.random.default_rng(0).permutation(x).reshape(300, 8, 8, -1)


@pytest.fixture(scope="module")
def fitted(tokens: np.ndarray) -> FittedCodec:
    return fit_planes({"list": tokens}, layouts={"list": LAYOUT}, default_bytes=800.0, layer_bytes=800.0)


def test_a_latent_is_the_rotated_vector_of_its_own_token() -> None:
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(5, 5)))[0].astype(np.float32)
    mean = rng.normal(size=(2, 3, 5)).astype(np.float32)
    x = rng.normal(size=(4, 2, 3, 5)).astype(np.float32)
    transform = PlaneTransform(mean, basis, "none")
    latents = transform.analyse(x)
    for n, i, j in ((0, 0, 0), (3, 1, 2), (2, 0, 1)):
        np.testing.assert_allclose(latents[n, :, 3 * i + j], basis @ (x[n, i, j] - mean[i, j]), atol=1e-5)
    np.testing.assert_allclose(transform.synthesise(latents), x, atol=1e-5)


def test_unknown_tokens_of_a_list_become_zero_and_touch_no_other() -> None:
    latents = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)
    known = np.ones((2, 2, 2), bool)
    known[1, 0, 1] = False
    transform = PlaneTransform(np.zeros((2, 2, 3), np.float32), np.eye(3, dtype=np.float32), "none")
    filled = transform.refill(latents, known)
    assert not filled[1, :, 1].any()
    np.testing.assert_array_equal(np.delete(filled[1], 1, axis=1), np.delete(latents[1], 1, axis=1))
    np.testing.assert_array_equal(filled[0], latents[0])


def test_all_tokens_share_steps_levels_and_layers(fitted: FittedCodec) -> None:
    maps = quant_maps(fitted.tables, 0, fitted.default_ladder_index)
    for array in (maps.layer, maps.level, maps.step):
        assert (array == array[:, :1]).all()
    assert band_of_token(4).tolist() == [0, 1, 1, 1]
    assert band_of_token(1).tolist() == [0]


def test_layers_are_channels_in_order_of_scale_and_each_about_doubles_the_bytes(
    fitted: FittedCodec, tokens: np.ndarray
) -> None:
    plane = fitted.tables.planes[0]
    assert (np.diff(plane.layer_map[0].astype(int)) >= 0).all(), "scales fall with the channel of a KLT"
    errors = [
        float(((fitted.round_trip("list", tokens[:64], layers=k) - tokens[:64]) ** 2).mean())
        for k in range(1, len(plane.layer_shift) + 1)
    ]
    assert len(errors) >= 3
    assert all(after < before for before, after in pairwise(errors))


def test_mean_and_basis_are_those_of_all_tokens(fitted: FittedCodec, tokens: np.ndarray) -> None:
    x = tokens.reshape(-1, tokens.shape[3]).astype(np.float64)
    transform = fitted.transforms["list"]
    assert transform.tokens == "none"
    np.testing.assert_allclose(transform.mean[3, 4], x.mean(axis=0), atol=1e-4)
    spectrum = np.var((x - x.mean(axis=0)) @ transform.basis.T.astype(np.float64), axis=0)
    np.testing.assert_allclose(spectrum, np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1], rtol=1e-3)
