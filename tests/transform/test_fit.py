"""Properties of a fitted codec on correlated embeddings it has not seen."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from codec.errors import InputError
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.layout import PlaneLayout
from codec.transform.maps import quant_maps
from codec.transform.rate import COST_UNITS_PER_BYTE, bytes_per_tile, symbol_costs
from tests.transform.synthetic_embeddings import embeddings, spectral

LAYOUTS = {"tokens": PlaneLayout(), "spectral": PlaneLayout(position_mean=False, n_layers=2, dc_shift=-4)}


@pytest.fixture(scope="module")
def train() -> dict[str, np.ndarray]:
    return {"tokens": embeddings(600, seed=1), "spectral": spectral(600, seed=1)}


@pytest.fixture(scope="module")
def fitted(train: dict[str, np.ndarray]) -> FittedCodec:
    return fit_planes(train, layouts=LAYOUTS, default_bytes=60.0, layer_bytes=150.0)


@pytest.fixture(scope="module")
def unseen() -> np.ndarray:
    return embeddings(200, seed=2)


def rate_and_error(codec: FittedCodec, x: np.ndarray, index: int) -> tuple[float, float]:
    """Estimated bytes per tile, and mean squared error relative to the variance about the position mean."""
    latents = codec.transforms["tokens"].analyse(x)
    maps = quant_maps(codec.tables, 0, index)
    symbols = maps.quantise(latents)
    bytes_ = symbol_costs(codec.tables, 0, index, symbols).sum() / COST_UNITS_PER_BYTE / len(x)
    variance = ((x - codec.transforms["tokens"].mean) ** 2).sum()
    return float(bytes_), float(((maps.reconstruct(symbols) - latents) ** 2).sum() / variance)


def per_channel_prior(train: np.ndarray, x: np.ndarray, step: float) -> tuple[float, float]:
    """The rival: one mean and one table per channel, uniform steps, no transform. Rate is the cross-entropy under
    tables fitted on training data with one pseudo-count, reconstruction at the conditional means."""
    mean = train.mean(axis=(0, 1, 2))
    low = -400
    bits = error = 0.0
    for c in range(x.shape[3]):
        s_train = np.rint((train[..., c] - mean[c]) / step).astype(int).ravel()
        s_test = np.rint((x[..., c] - mean[c]) / step).astype(int).ravel()
        counts = np.bincount(s_train - low, minlength=801) + 1e-2
        sums = np.bincount(s_train - low, weights=(train[..., c] - mean[c]).ravel(), minlength=801)
        bits -= np.log2(counts[s_test - low] / counts.sum()).sum()
        seen = np.bincount(s_train - low, minlength=801)
        centre = np.where(seen > 0, sums / np.maximum(seen, 1), (np.arange(801) + low) * step)
        error += (((x[..., c] - mean[c]).ravel() - centre[s_test - low]) ** 2).sum()
    return bits / 8 / len(x), error


def test_fewer_than_half_the_bytes_of_a_per_channel_prior_at_equal_error(
    fitted: FittedCodec, train: dict[str, np.ndarray], unseen: np.ndarray
) -> None:
    curve = np.array([rate_and_error(fitted, unseen, i) for i in fitted.tables.usable_indices()])
    variance = ((unseen - fitted.transforms["tokens"].mean) ** 2).sum()
    for step in (0.4, 0.8):
        bytes_, error = per_channel_prior(train["tokens"], unseen, step)
        ours = np.exp(np.interp(np.log(error / variance), np.log(curve[:, 1]), np.log(curve[:, 0])))
        assert ours < bytes_ / 2


def test_coarser_indices_take_fewer_bytes_and_more_error(fitted: FittedCodec, unseen: np.ndarray) -> None:
    curve = np.array([rate_and_error(fitted, unseen, i) for i in fitted.tables.usable_indices()])
    assert (np.diff(curve[:, 0]) < 0).all()
    assert (np.diff(curve[:, 1]) > -1e-4).all()


def test_each_further_layer_lowers_the_error(fitted: FittedCodec, unseen: np.ndarray) -> None:
    n_layers = len(fitted.tables.planes[0].layer_shift)
    assert 4 <= n_layers <= 6
    errors = [
        float(((fitted.round_trip("tokens", unseen, layers=k) - unseen) ** 2).mean())
        for k in range(1, n_layers + 1)
    ]
    assert all(after < before for before, after in pairwise(errors))


def test_layer_0_is_the_tile_mean_and_eight_times_finer(fitted: FittedCodec, unseen: np.ndarray) -> None:
    plane = fitted.tables.planes[0]
    assert (plane.layer_map[0] == 0).all()
    assert (plane.layer_map[1:] > 0).all()
    maps = quant_maps(fitted.tables, 0, fitted.default_ladder_index)
    finer = np.broadcast_to(8 * maps.step[:, :1], maps.step[:, 1:].shape)
    np.testing.assert_allclose(maps.step[:, 1:], finer, rtol=1e-5)
    decoded = fitted.round_trip("tokens", unseen, layers=1)
    mean_error = np.sqrt(((decoded - unseen).mean(axis=(1, 2)) ** 2).mean())
    assert (
        mean_error < 0.3 * float(maps.step[0, 0]) / 8
    )  # a uniform error in the bin: 1/√12 step; the DC is 8 means


def test_the_ladder_goes_on_until_layer_0_has_steps_of_64_deviations(fitted: FittedCodec) -> None:
    """Its other layers begin at 2^-5 deviations, so that 2^11 lie between the two."""
    usable = fitted.tables.usable_indices()
    finest, coarsest = (quant_maps(fitted.tables, 0, index) for index in (usable.start, usable.stop - 1))
    assert coarsest.step[0, 0] / finest.step[0, 1] == pytest.approx(2.0**11, rel=1e-5)
    assert not coarsest.coded[:, 1:].any()


def test_layers_about_double_the_bytes(fitted: FittedCodec, train: dict[str, np.ndarray]) -> None:
    latents = fitted.transforms["tokens"].analyse(train["tokens"][:256])
    both = {0: latents, 1: fitted.transforms["spectral"].analyse(train["spectral"][:256])}
    index = min(
        fitted.tables.usable_indices(), key=lambda i: abs(bytes_per_tile(fitted.tables, both, i) - 150.0)
    )
    maps = quant_maps(fitted.tables, 0, index)
    costs = symbol_costs(fitted.tables, 0, index, maps.quantise(latents)).sum(axis=0)
    so_far = np.cumsum(
        [costs[maps.layer == layer].sum() for layer in range(len(fitted.tables.planes[0].layer_shift))]
    )
    growth = so_far[1:] / so_far[:-1]
    assert growth.max() / growth.min() < 1.5
    assert growth.min() > 1.2
    assert growth.max() < 3


def test_two_fits_give_identical_bytes(train: dict[str, np.ndarray], fitted: FittedCodec) -> None:
    again = fit_planes(train, layouts=LAYOUTS, default_bytes=60.0, layer_bytes=150.0)
    assert again.tables_bytes == fitted.tables_bytes
    assert again.default_ladder_index == fitted.default_ladder_index
    for name in train:
        assert again.transforms[name].basis.tobytes() == fitted.transforms[name].basis.tobytes()
        assert again.transforms[name].mean.tobytes() == fitted.transforms[name].mean.tobytes()


def test_what_stands_in_invalid_tokens_does_not_change_the_fit(train: dict[str, np.ndarray]) -> None:
    validity = np.random.default_rng(0).random((600, 8, 8)) > 0.01
    bytes_ = []
    for filler in (np.nan, 1e30, 0.0):
        x = np.where(validity[..., None], train["tokens"], np.float32(filler))
        codec = fit_planes({"tokens": x}, validity={"tokens": validity})
        bytes_.append((codec.tables_bytes, codec.transforms["tokens"].basis.tobytes()))
    assert bytes_[0] == bytes_[1] == bytes_[2]


def test_mean_and_basis_are_those_of_the_valid_tokens(train: dict[str, np.ndarray]) -> None:
    """Against masked moments and an eigenvalue decomposition written out here."""
    x = train["tokens"]
    validity = np.random.default_rng(1).random((600, 8, 8)) > 0.5
    validity[:300] = True
    transform = fit_planes({"tokens": x}, validity={"tokens": validity}).transforms["tokens"]
    masked = np.where(validity[..., None], x.astype(np.float64), np.nan)
    mean = np.nanmean(masked, axis=0)
    np.testing.assert_allclose(transform.mean, mean, atol=1e-5)
    tokens = (masked - mean)[validity]
    variance, vectors = np.linalg.eigh(np.cov(tokens.T, bias=True))
    for row, want in zip(transform.basis, vectors[:, np.argsort(-variance)].T, strict=True):
        assert abs(float(row @ want)) == pytest.approx(1.0, abs=1e-3)  # an eigenvector's sign is free ...
        assert row[np.abs(row).argmax()] > 0  # ... and settled by its largest part


def test_the_estimated_bytes_are_the_costs_of_the_training_tiles(
    fitted: FittedCodec, train: dict[str, np.ndarray]
) -> None:
    latents = {i: fitted.transforms[name].analyse(train[name]) for i, name in enumerate(train)}
    for index in list(fitted.tables.usable_indices())[::9]:
        # Magnitudes on a bin's edge may round differently in the float64 histogram: a few of 10⁶.
        want = bytes_per_tile(fitted.tables, latents, index)
        assert fitted.mean_bytes[index] == pytest.approx(want, rel=1e-3)


def test_the_default_index_is_the_finest_within_its_budget(fitted: FittedCodec) -> None:
    index = fitted.default_ladder_index
    assert fitted.mean_bytes[index] <= 60.0 < fitted.mean_bytes[index - 1]


def test_conditional_means_beat_the_middle_of_the_bin(fitted: FittedCodec, unseen: np.ndarray) -> None:
    index = fitted.default_ladder_index
    latents = fitted.transforms["tokens"].analyse(unseen)
    maps = quant_maps(fitted.tables, 0, index)
    symbols = maps.quantise(latents)
    ours = ((maps.reconstruct(symbols) - latents) ** 2).sum()
    middle = ((symbols * maps.step - latents) ** 2).sum()
    assert ours < middle


def test_a_pooled_vector_is_a_plane_of_one_token() -> None:
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((500, 1, 1, 16)) * 0.8 ** np.arange(16)).astype(np.float32)
    codec = fit_planes({"pooled": x}, default_bytes=12.0)
    assert codec.tables.planes[0].layer_shift == (-12,)
    finest = codec.tables.usable_indices().start
    error = codec.round_trip("pooled", x, finest) - x
    assert float((error**2).mean()) < 1e-4 * float(x.var())


def test_constant_channels_cost_nothing(train: dict[str, np.ndarray]) -> None:
    x = np.concatenate([train["tokens"], np.full((600, 8, 8, 3), 2.5, np.float32)], axis=3)
    codec = fit_planes({"tokens": x})
    index = codec.tables.usable_indices().start
    assert not quant_maps(codec.tables, 0, index).coded[-3:].any()
    np.testing.assert_allclose(codec.round_trip("tokens", x[:5], index)[..., -3:], 2.5, atol=1e-2)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 8, 8), np.float32), "tiles × rows × columns × channels"),
        (np.zeros((4, 8, 8, 3), np.int16), "float arrays"),
        (np.zeros((4, 8, 8, 3), np.float32), "nothing to fit"),
        (np.full((4, 8, 8, 3), np.nan, np.float32), "not finite, first in tile 0"),
    ],
)
def test_arrays_that_cannot_be_fitted_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_planes({"tokens": array})


def test_no_wholly_valid_tile_is_refused(train: dict[str, np.ndarray]) -> None:
    validity = np.ones((600, 8, 8), bool)
    validity[:, 3, 3] = False
    with pytest.raises(InputError, match="no wholly valid tile"):
        fit_planes({"tokens": train["tokens"]}, validity={"tokens": validity})
