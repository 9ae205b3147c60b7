"""What an engine is proven on: real windows where there are any, never the same twice, and it says which."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError
from codec.package import Package
from onboard.parity_tiles import N_REAL, calibration_tiles, parity_tiles, procedural, samples_folder
from tests.swathpack.small_scene import BANDS, pixels, write_scene

# The name of a product of baseline 02.07: sensor and offset stand in it.
NAME = "S2A_MSIL2A_20180506T101031_N0207_R022_T32TPR_20180506T130000.tif"


@pytest.fixture
def no_samples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SWATHPACK_DEMO_DATA", str(tmp_path / "absent"))


@pytest.fixture
def samples(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SWATHPACK_DEMO_DATA", raising=False)
    if not (root / ".demo-data" / ".stamp").exists():
        pytest.skip("the sample scenes are not installed: make setup")
    return root / ".demo-data"


def distinct(pixels: np.ndarray) -> int:
    return len({tile.tobytes() for tile in pixels})


def test_a_scene_gives_200_windows_that_differ(package: Package, tmp_path: Path) -> None:
    tiles = parity_tiles(package, [write_scene(tmp_path / NAME)])
    assert tiles.real
    assert N_REAL <= len(tiles) == distinct(tiles.pixels)
    # 150 × 200 pixels: 11 × 18 windows of 64 every 8, too few; 13 × 20 every 7.
    assert tiles.sources == [f"{NAME}: {13 * 20} windows of 64 px every 7 px"]
    present = [name for name, flag in zip(package.bands, tiles.bands[0], strict=True) if flag]
    assert present == list(BANDS)


def test_windows_hold_the_pixels_of_the_scene(package: Package, tmp_path: Path) -> None:
    """Reflectance of that baseline is DN / 10000, without an offset."""
    tiles = parity_tiles(package, [write_scene(tmp_path / NAME)])
    expected = pixels()[:, 7:71, 14:78] / 10_000
    places = [package.bands.index(name) for name in BANDS]
    np.testing.assert_allclose(tiles.pixels[20 + 2][places], expected, rtol=1e-6)


def test_a_large_scene_is_sampled_and_not_read_whole(package: Package, tmp_path: Path) -> None:
    tiles = parity_tiles(package, [write_scene(tmp_path / NAME, pixels(1100, 1600))])
    assert N_REAL <= len(tiles) < 2 * N_REAL


def test_windows_without_data_do_not_count(package: Package, tmp_path: Path) -> None:
    data = pixels(300, 400)
    data[:, :, 130:] = 0
    tiles = parity_tiles(package, [write_scene(tmp_path / NAME, data)])
    assert len(tiles) >= N_REAL
    assert tiles.validity.any(axis=(1, 2)).all()


def test_a_scene_smaller_than_a_tile_is_one_window(package: Package, tmp_path: Path) -> None:
    tiles = parity_tiles(package, [write_scene(tmp_path / NAME, pixels(20, 33))])
    assert len(tiles) == 1
    assert tiles.validity.sum() == 20 * 33


def test_a_folder_of_scenes_is_taken_scene_by_scene(package: Package, tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    for i, seed in enumerate((1, 2)):
        (folder / f"{i}").mkdir(parents=True)
        write_scene(folder / f"{i}" / NAME, pixels(seed=seed))
    (folder / "notes.txt").write_text("no scene")
    tiles = parity_tiles(package, [folder])
    assert len(tiles) >= N_REAL
    assert [source.split(":")[0] for source in tiles.sources] == ["scenes/0", "scenes/1"]


def test_a_folder_without_a_scene_is_bad_input(package: Package, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no scene")
    with pytest.raises(InputError, match="no raster file"):
        parity_tiles(package, [tmp_path])


def test_scenes_without_any_data_are_bad_input(package: Package, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tile with data"):
        parity_tiles(package, [write_scene(tmp_path / NAME, 0 * pixels(70, 70))])


def test_the_sample_scenes_prove_and_calibrate_with_different_pixels(package: Package, samples: Path) -> None:
    assert samples_folder() is not None
    proof, calibration = parity_tiles(package), calibration_tiles(package)
    assert proof.real
    assert len(proof) >= N_REAL
    assert distinct(proof.pixels) == len(proof)
    assert {source.split(":")[0] for source in proof.sources} == {"landsat7-raleigh", "sentinel2-patagonia"}
    assert not calibration.real  # procedural fields stand beside its real windows
    blue = package.bands.index("blue")
    seen = {values.tobytes() for values in proof.pixels[:, blue].reshape(-1, 64) if values.any()}
    others = [values.tobytes() for values in calibration.pixels[:, blue].reshape(-1, 64) if values.any()]
    assert not seen.intersection(others)
    assert calibration.bands.max(axis=0).tolist() == [1.0] * len(package.bands)


@pytest.mark.usefixtures("no_samples")
def test_without_any_scene_the_tiles_say_that_they_are_not_real(package: Package) -> None:
    tiles = parity_tiles(package)
    assert (tiles.real, len(tiles)) == (False, 200)
    assert "procedural" in tiles.sources[0]
    np.testing.assert_array_equal(tiles.pixels, procedural(package).pixels)


def test_sample_scenes_may_lie_anywhere(
    package: Package, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWATHPACK_DEMO_DATA", str(tmp_path))
    shutil.copytree(samples / "xrspatial/datasets/sentinel-2", tmp_path / "xrspatial/datasets/sentinel-2")
    tiles = parity_tiles(package)
    assert [source.split(":")[0] for source in tiles.sources] == ["sentinel2-patagonia"]
    assert len(tiles) >= N_REAL
