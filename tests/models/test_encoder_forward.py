"""Properties of the encoder's forward pass that hold for any weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.errors import InputError
from codec.models.bands import REFLECTANCE_MEAN, REFLECTANCE_SPREAD, S2_NANO_BANDS
from codec.models.inference import embed
from codec.models.vit import Encoder, EncoderConfig, band_mask, position_code
from codec.types import Tile

SMALL = EncoderConfig(tile=32, width=32, depth=2, heads=4)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(3)
    return Encoder(SMALL).eval()


def scene(seed: int = 0, n: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random reflectance, all bands, everything valid."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand((n, 12, 32, 32), generator=generator) * 0.4
    return pixels, torch.ones(n, 12), torch.ones(n, 32, 32)


def test_planes_have_the_shapes_of_the_contract() -> None:
    planes = Encoder().eval()(torch.rand(3, 12, 64, 64), torch.ones(3, 12), torch.ones(3, 64, 64))
    assert planes["tokens"].shape == (3, 8, 8, 128)
    assert planes["spectral"].shape == (3, 8, 8, 12)


@settings(max_examples=25, deadline=None)
@given(
    absent=st.sets(st.integers(0, 11), max_size=11),
    junk=st.sampled_from([0.0, 7.5, -3.0, float("nan"), float("inf")]),
)
def test_what_stands_in_an_absent_band_does_not_matter(absent: set[int], junk: float) -> None:
    torch.manual_seed(3)
    encoder = Encoder(SMALL).eval()
    pixels, bands, validity = scene(1, n=1)
    index = sorted(absent)
    bands[:, index] = 0.0
    with torch.no_grad():
        plain = encoder(pixels, bands, validity)
        spoiled = pixels.clone()
        spoiled[:, index] = junk
        changed = encoder(spoiled, bands, validity)
    assert torch.equal(plain["tokens"], changed["tokens"])
    assert torch.equal(plain["spectral"], changed["spectral"])
    assert torch.all(plain["spectral"][..., index] == 0)


@pytest.mark.parametrize("junk", [0.0, 5.0, float("nan")])
def test_what_stands_in_invalid_pixels_does_not_matter(encoder: Encoder, junk: float) -> None:
    pixels, bands, validity = scene(2)
    validity[:, 5:20, 3:17] = 0.0
    spoiled = torch.where(validity[:, None] > 0.5, pixels, torch.tensor(junk))
    with torch.no_grad():
        plain, changed = encoder(pixels, bands, validity), encoder(spoiled, bands, validity)
    assert torch.equal(plain["tokens"], changed["tokens"])
    assert torch.equal(plain["spectral"], changed["spectral"])


def test_dropping_a_band_changes_the_tokens(encoder: Encoder) -> None:
    pixels, bands, validity = scene(3)
    fewer = bands.clone()
    fewer[:, 3] = 0.0
    with torch.no_grad():
        difference = encoder(pixels, bands, validity)["tokens"] - encoder(pixels, fewer, validity)["tokens"]
    assert difference.abs().max() > 1e-3


def test_spectral_is_the_mean_of_the_normalised_valid_pixels(encoder: Encoder) -> None:
    pixels, bands, validity = scene(4)
    validity[0, :8, :5] = 0.0  # part of the first patch
    validity[0, 8:16, :8] = 0.0  # all of the patch below it
    spectral = encoder(pixels, bands, validity)["spectral"].numpy()
    for band, name in enumerate(S2_NANO_BANDS):
        z = (pixels[0, band].numpy().astype(np.float64) - REFLECTANCE_MEAN[name]) / REFLECTANCE_SPREAD[name]
        z = np.clip(z, -4, 12)
        expected = z[:8, 5:8].mean()  # columns 0–4 of the patch are invalid
        assert spectral[0, 0, 0, band] == pytest.approx(expected, abs=1e-5)
        assert spectral[0, 1, 0, band] == 0.0
        assert spectral[0, 3, 2, band] == pytest.approx(z[24:32, 16:24].mean(), abs=1e-5)


def test_reflectance_beyond_the_range_is_clamped_not_wrapped(encoder: Encoder) -> None:
    pixels, bands, validity = scene(5)
    pixels[:] = 50.0
    assert torch.allclose(encoder(pixels, bands, validity)["spectral"], torch.tensor(12.0))


def test_batch_members_do_not_influence_each_other(encoder: Encoder) -> None:
    pixels, bands, validity = scene(6, n=5)
    with torch.no_grad():
        together = encoder(pixels, bands, validity)["tokens"]
        alone = torch.cat(
            [encoder(pixels[i : i + 1], bands[i : i + 1], validity[i : i + 1])["tokens"] for i in range(5)]
        )
    assert torch.allclose(together, alone, atol=2e-5)


def test_a_wholly_invalid_tile_without_bands_is_finite(encoder: Encoder) -> None:
    planes = encoder(torch.full((1, 12, 32, 32), torch.nan), torch.zeros(1, 12), torch.zeros(1, 32, 32))
    assert torch.isfinite(planes["tokens"]).all()
    assert torch.all(planes["spectral"] == 0)


def test_every_position_has_its_own_code() -> None:
    code = position_code(8, 128)
    assert code.shape == (64, 128)
    distance = torch.cdist(code, code) + torch.eye(64) * 1e3
    assert distance.min() > 0.5


def test_an_unknown_band_name_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="thermal"):
        band_mask(["red", "thermal"], EncoderConfig())
    with pytest.raises(InputError, match="ultraviolet"):
        EncoderConfig(bands=("red", "ultraviolet"))


def test_embed_keeps_the_order_of_tiles_across_batches(encoder: Encoder) -> None:
    rng = np.random.default_rng(0)
    tiles = [
        Tile(
            i, rng.random((12, 32, 32), np.float32) * 0.3, np.ones((32, 32), np.bool_), np.ones(12, np.bool_)
        )
        for i in range(5)
    ]
    whole, parts = embed(encoder, tiles, batch=5), embed(encoder, iter(tiles), batch=2)
    assert whole["tokens"].shape == (5, 4, 4, 32)
    np.testing.assert_allclose(whole["tokens"], parts["tokens"], atol=2e-5)
    assert embed(encoder, [])["spectral"].shape == (0, 4, 4, 12)
    with pytest.raises(InputError, match="does not fit"):
        embed(
            encoder,
            [Tile(7, np.zeros((12, 16, 16), np.float32), np.ones((16, 16), np.bool_), np.ones(12, np.bool_))],
        )
