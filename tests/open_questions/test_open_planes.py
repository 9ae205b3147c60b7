"""Planes that no package ships, files of several planes, and tiles beside a tile."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.open_questions.coding import Part, PlaneCodec, files
from benchmarks.open_questions.neighbour_means import before, beside
from benchmarks.open_questions.planes import FINAL, SPECTRAL, cell_statistics, depth_planes, enlarged
from codec.evaluate.rate.types import TileSet
from codec.models.bands import REFLECTANCE_MEAN, REFLECTANCE_SPREAD
from codec.models.vit import Encoder, EncoderConfig

BANDS = ("blue", "red")


def tile_set(pixels: np.ndarray, validity: np.ndarray | None = None) -> TileSet:
    n, b, side, _ = pixels.shape
    valid = np.ones((n, side, side), bool) if validity is None else validity
    number = np.arange(n)
    place = np.zeros((n, 2), np.int64)
    return TileSet(
        "drawn", BANDS, pixels.astype(np.float32), np.ones((n, b), bool), valid, number, place, number
    )


def test_depth_planes_end_with_what_the_encoder_itself_gives() -> None:
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(bands=BANDS, tile=32, patch=8, width=16, depth=3, heads=2)).eval()
    pixels = np.random.default_rng(0).random((3, 2, 32, 32), np.float32)
    found = depth_planes(encoder, tile_set(pixels), (0, 2))
    with torch.inference_mode():
        whole = encoder(torch.from_numpy(pixels), torch.ones(3, 2), torch.ones(3, 32, 32))
    assert set(found) == {"block 0", "block 2", FINAL, SPECTRAL}
    np.testing.assert_allclose(found[FINAL], whole["tokens"].numpy(), atol=1e-5)
    np.testing.assert_allclose(found[SPECTRAL], whole["spectral"].numpy(), atol=1e-5)


def test_cell_statistics_are_means_and_deviations_of_valid_pixels() -> None:
    z = np.zeros((1, 2, 8, 8))
    z[0, 0, :4, :4] = np.where(np.arange(16) % 2, 3.0, 1.0).reshape(4, 4)
    scale = np.array([[REFLECTANCE_MEAN[b], REFLECTANCE_SPREAD[b]] for b in BANDS])
    pixels = scale[:, 0, None, None] + z * scale[:, 1, None, None]
    valid = np.ones((1, 8, 8), bool)
    valid[0, :4, 1:4:2] = False  # leaves the ones
    whole = cell_statistics(tile_set(pixels), BANDS, 4, deviations=True)
    part = cell_statistics(tile_set(pixels, valid), BANDS, 4, deviations=False)
    assert whole.shape == (1, 2, 2, 4)
    assert whole[0, 0, 0, 0] == pytest.approx(2, abs=1e-4)
    assert whole[0, 0, 0, 2] == pytest.approx(np.log(1 + 1e-3), abs=1e-4)
    assert part[0, 0, 0, 0] == pytest.approx(1, abs=1e-4)


def test_enlarging_keeps_a_slope_between_the_centres() -> None:
    slope = np.arange(6, dtype=np.float32)[None, :, None, None] * np.ones((1, 1, 6, 1), np.float32)
    found = enlarged(slope, 2)[0, :, 0, 0]
    np.testing.assert_allclose(found[1:-1], np.arange(0.25, 5, 0.5), atol=1e-6)
    assert found[0] == 0
    assert found[-1] == 5


def test_a_file_of_two_planes_takes_the_bytes_of_both_and_keeps_to_their_shares() -> None:
    rng = np.random.default_rng(1)
    values = {name: rng.normal(size=(80, 4, 4, c)).astype(np.float32) for name, c in (("a", 6), ("b", 3))}
    valid = np.ones((80, 4, 4), bool)
    codecs = {name: PlaneCodec.fit(name, x, valid) for name, x in values.items()}
    both = files([Part(codecs[n], values[n], valid, s) for n, s in (("a", 0.75), ("b", 0.25))], (64.0,))[
        "64 B"
    ]
    alone = [
        codecs[n].code(values[n], valid, codecs[n].index_for(s)).sizes for n, s in (("a", 48.0), ("b", 16.0))
    ]
    np.testing.assert_allclose(both.sizes, sum(alone))
    assert 32 < both.sizes.mean() < 72
    assert set(both.planes) == {"a", "b"}


def test_neighbours_are_those_on_the_left_and_above_in_the_same_scene() -> None:
    scene = np.array([0, 0, 0, 0, 1])
    place = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0, 1]])
    usable = np.array([True, True, False, True, True])
    found = before(scene, place, usable)
    assert found.tolist() == [[-1, -1], [0, -1], [-1, 0], [-1, 1], [-1, -1]]
    means = np.array([[2.0], [4.0], [9.0], [0.0], [0.0]], np.float32)
    guess, known = beside(means, np.array([[0, 1], [-1, 1], [-1, -1]]))
    assert guess[:, 0].tolist() == [3, 4, 0]
    assert known.tolist() == [True, True, False]
