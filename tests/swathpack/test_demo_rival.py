"""JPEG 2000 beside: sizes it reaches, and the way back to embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from codec.package import Package, load
from codec.scene.scene import open_scene
from codec.scene.tiling import grid_for
from onboard.encode import encode_scene
from onboard.engine_package import engine_for
from swathpack.demo.rival import Pixels, encode_pixels, enlarge, jpeg2000
from swathpack.demo.transfer import uncompressed
from tests.swathpack.small_scene import pixels


@pytest.fixture(scope="module")
def package(root: object) -> Package:
    return load("s2-nano")


@pytest.mark.parametrize("target", [800, 3000, 12_000])
def test_the_size_is_near_the_target_and_larger_files_are_better(target: int) -> None:
    data = pixels(150, 200)
    rival = jpeg2000(data, target)
    assert rival.n_bytes == pytest.approx(target, rel=0.12)
    assert rival.pixels.shape == data.shape
    error = float(np.abs(rival.pixels.astype(float) - data).mean())
    assert error < float(np.abs(jpeg2000(data, target // 4).pixels.astype(float) - data).mean())


def test_the_rival_is_no_weak_one() -> None:
    """At 3.6 kB GDAL's own settings leave more error than the bands' spread; decomposed, a small part of it."""
    data = pixels(150, 200).astype(float)
    error = np.sqrt(((jpeg2000(pixels(150, 200), 3600).pixels - data) ** 2).mean())
    assert error < 0.25 * data.std(axis=(1, 2)).mean()


def test_a_size_that_cannot_be_reached_is_said_as_it_is() -> None:
    rival = jpeg2000(pixels(64, 64), 10)
    assert rival.n_bytes > 10


def test_arrays_give_the_embeddings_of_the_scene(package: Package, scene_tif: object) -> None:
    """The rival's way into the encoder, with untouched pixels, is the encoder's own."""
    from pathlib import Path

    engine = engine_for(package, threads=1)
    with open_scene([Path(str(scene_tif))], sensor="sentinel2-l2a", scaling="no-offset") as scene:
        bands = tuple(b for b in package.bands if b in scene.bands)
        values, validity = scene.read((0, 0, scene.height, scene.width), bands)
        expected = uncompressed(package, encode_scene(scene, package, engine).latents)
        grid = grid_for(scene, package.tile.core)
    found = encode_pixels(Pixels(values, validity, bands, 1), package, engine, grid)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_enlarged_pixels_are_those_of_a_scene_opened_with_that_zoom(scene_tif: object) -> None:
    from pathlib import Path

    path = [Path(str(scene_tif))]
    with open_scene(path, sensor="sentinel2-l2a", scaling="no-offset") as scene:
        values, validity = scene.read((0, 0, scene.height, scene.width), scene.bands)
        larger = enlarge(Pixels(values, validity, scene.bands, 2))
    with open_scene(path, sensor="sentinel2-l2a", scaling="no-offset", zoom=2) as zoomed:
        expected, valid = zoomed.read((0, 0, zoomed.height, zoomed.width), zoomed.bands)
    np.testing.assert_array_equal(larger.validity, valid)
    np.testing.assert_allclose(larger.values, expected, atol=1e-5)
