"""What the ground makes of decoded pixels equals what the encoder and the statistics say of the same pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from codec.data.labelled import LabelledTiles
from codec.errors import InputError
from codec.evaluate.dense import patch_statistics
from codec.evaluate.features import pixel_statistics, plane_of
from codec.evaluate.rate.ground_features import (
    BOTH,
    STATISTICS,
    ground_planes,
    received,
    statistics_of,
    tile_statistics,
)
from codec.evaluate.rate.types import Coded, Planes, TileSet
from codec.evaluate.scenes import Scenes
from codec.evaluate.token_maps import Picture
from codec.models.vit import Encoder, EncoderConfig

BANDS = ("blue", "green", "red")


def tile_set(side: int = 64, n: int = 3) -> TileSet:
    pixels = np.random.default_rng(7).uniform(0.02, 0.4, (n, 3, side, side)).astype(np.float32)
    shown, valid = np.ones((n, 3), np.bool_), np.ones((n, side, side), np.bool_)
    return TileSet(
        "some", BANDS, pixels, shown, valid, np.arange(n), np.zeros((n, 2), np.int64), np.arange(n)
    )


def scenes_of(tiles: TileSet) -> Scenes:
    n = len(tiles)
    zeros = np.zeros(n, np.int64)
    labelled = LabelledTiles(tiles.pixels, tiles.present, tiles.validity, zeros, zeros, ("none",))
    return Scenes(labelled, tiles.bands, np.repeat("none", n))


@pytest.mark.parametrize("side", [64, 128])
def test_planes_are_those_of_the_same_encoder_over_scenes(side: int) -> None:
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(bands=BANDS, width=32, depth=1, heads=2)).eval()
    tiles = tile_set(side)
    found = ground_planes(encoder, tiles)
    for plane in ("tokens", "spectral"):
        np.testing.assert_allclose(found.values[plane], plane_of(encoder, scenes_of(tiles), plane), atol=1e-5)
    both = found.values[BOTH]
    assert np.array_equal(both[..., :32], found.values["tokens"])
    assert np.array_equal(both[..., 32:], found.values[STATISTICS])


def test_patch_statistics_are_those_of_the_dense_protocol() -> None:
    tiles = tile_set()
    found = statistics_of(tiles)
    for pixels, one in zip(tiles.pixels, found, strict=True):
        theirs = patch_statistics(Picture(pixels, BANDS, tiles.validity[0]), context=True)
        np.testing.assert_allclose(one, theirs[..., :6], atol=1e-4)


def test_tile_statistics_are_those_of_the_plain_classifier() -> None:
    tiles = tile_set()
    theirs = pixel_statistics(scenes_of(tiles))
    # There percentiles come percentile by percentile too; bands run fastest in both.
    np.testing.assert_allclose(tile_statistics(tiles), theirs, rtol=1e-4, atol=1e-4)


def test_the_ground_has_only_the_bands_that_were_sent() -> None:
    tiles = tile_set()
    coded = Coded("x", np.ones(3), pixels=tiles.pixels + np.float32(0.5))
    found = received(tiles, coded, ("red", "blue"))
    assert found.present.tolist() == [[True, False, True]] * 3
    assert (found.pixels[:, 1] == 0).all()
    assert np.array_equal(found.pixels[:, 0], tiles.pixels[:, 0] + np.float32(0.5))
    assert (statistics_of(found)[..., [1, 4]] == 0).all()
    assert (tile_statistics(found).reshape(3, 7, 3)[:, :, 1] == 0).all()


def test_invalid_pixels_do_not_reach_any_statistic() -> None:
    tiles = tile_set()
    validity = tiles.validity.copy()
    validity[:, :30, :17] = False
    validity[2] = False
    clean = replace(tiles, validity=validity)
    spoilt = replace(clean, pixels=np.where(validity[:, None], tiles.pixels, np.float32(np.nan)))
    assert np.array_equal(statistics_of(clean), statistics_of(spoilt))
    assert np.array_equal(tile_statistics(clean), tile_statistics(spoilt))
    assert not tile_statistics(spoilt)[2].any()
    shown = tiles.pixels[0, 1][validity[0]].astype(np.float64)
    assert tile_statistics(clean)[0, 1] == pytest.approx(np.log(shown.mean()), abs=1e-5)


def test_finer_tokens_share_their_patchs_statistics_and_other_grids_are_refused() -> None:
    tiles = tile_set()

    def of_grid(side: int) -> Planes:
        return Planes(
            {"tokens": np.zeros((3, side, side, 4), np.float32)}, np.ones((3, side, side), np.bool_)
        )

    found = ground_planes(lambda _: of_grid(16), tiles).values[STATISTICS]
    assert np.array_equal(found[:, ::2, ::2], statistics_of(tiles))
    assert np.array_equal(found[:, 1::2, 1::2], statistics_of(tiles))
    for side in (4, 12):
        with pytest.raises(InputError, match="grid"):
            ground_planes(lambda _, side=side: of_grid(side), tiles)


def test_a_method_that_sent_no_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="no pixels"):
        received(tile_set(), Coded("x", np.ones(3)))
