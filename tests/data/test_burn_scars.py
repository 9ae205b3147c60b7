"""HLS Burn Scars as its data card describes it, on tiny files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from codec.data.burn_scars import BANDS, burn_scars
from codec.errors import InputError
from tests.data.paper_layouts import burn_scar_files, burn_scar_scene, tif

pytestmark = pytest.mark.filterwarnings(
    "ignore::rasterio.errors.NotGeoreferencedWarning", "ignore::PendingDeprecationWarning"
)


def a_mask(root: Path) -> Path:
    return sorted((root / "training").glob("*.mask.tif"))[0]


def a_scene(root: Path) -> Path:
    return sorted((root / "training").glob("*_merged.tif"))[0]


def test_scenes_are_reflectance_with_a_class_per_pixel(tmp_path: Path) -> None:
    found = burn_scars(burn_scar_files(tmp_path), "train")
    assert (found.task, found.classes, len(found)) == ("mask", ("not burnt", "burnt"), 2)
    assert len(burn_scars(tmp_path, "test")) == 2
    assert not set(found.names) & set(burn_scars(tmp_path, "test").names)
    assert "index.csv" in found.notes[0]
    sample = found[0]
    assert sample.image.bands == ("blue", "green", "red", "nir08", "swir16", "swir22") == BANDS
    with rasterio.open(a_scene(tmp_path)) as file:
        expected = file.read()
    assert np.allclose(sample.image.reflectance(0, 0, 24, 24), expected, rtol=1e-6)
    assert (sample.target[0] == -1).all()
    assert (sample.target[1:, :12] == 0).all()
    assert (sample.target[1:, 12:] == 1).all()
    assert len({s.place for s in found}) == 2


def test_fill_values_are_no_measurement(tmp_path: Path) -> None:
    root = burn_scar_files(tmp_path)
    with rasterio.open(a_scene(root), "r+") as file:
        pixels = file.read()
        pixels[2, 5, 6], pixels[4, 7, 8], pixels[0, 1, 2] = -9999, 9999, np.nan
        file.write(pixels)
    validity = burn_scars(root, "train")[0].image.validity
    assert sorted(map(tuple, np.argwhere(~validity).tolist())) == [(1, 2), (5, 6), (7, 8)]


def test_a_scene_or_a_mask_alone_is_refused(tmp_path: Path) -> None:
    root = burn_scar_files(tmp_path)
    mask = a_mask(root)
    mask.unlink()
    with pytest.raises(InputError, match=rf"_merged\.tif: the file has no mask {mask.name}"):
        burn_scars(root, "test")  # whichever part is asked for
    a_scene(root).unlink()
    scene, mask = burn_scar_scene(root / "validation", "alone")
    scene.unlink()
    with pytest.raises(InputError, match=r"alone\.mask\.tif: the file has no scene alone_merged\.tif"):
        burn_scars(root, "train")


def test_one_part_alone_is_refused(tmp_path: Path) -> None:
    burn_scar_scene(tmp_path / "training", "a")
    with pytest.raises(InputError, match=r"validation: the folder validation is missing.*; unpack"):
        burn_scars(tmp_path, "train")
    (tmp_path / "validation").mkdir()
    with pytest.raises(InputError, match=r"validation: the folder holds no scene"):
        burn_scars(tmp_path, "train")
    burn_scar_scene(tmp_path / "validation", "a")
    with pytest.raises(InputError, match=r"a_merged\.tif: the scene lies in training and validation"):
        burn_scars(tmp_path, "train")
    with pytest.raises(InputError, match=r"nowhere/training: the folder training is missing"):
        burn_scars(tmp_path / "nowhere", "train")


def test_files_that_are_not_as_published_are_refused_by_name(tmp_path: Path) -> None:
    root = burn_scar_files(tmp_path)
    scene, mask = a_scene(root), a_mask(root)
    grid = {"crs": "EPSG:32610", "transform": from_origin(5e5, 4e6, 30, 30)}
    good = scene.read_bytes()

    tif(scene, np.zeros((5, 24, 24)), **grid)
    with pytest.raises(InputError, match=rf"{scene.name}: another number of bands.*expected 6, found 5"):
        burn_scars(root, "train")[0]
    tif(scene, np.zeros((6, 24, 24), np.int16), **grid)
    with pytest.raises(InputError, match=rf"{scene.name}: the scene holds whole numbers"):
        burn_scars(root, "train")[0]
    scene.write_bytes(good[: len(good) // 3])
    with pytest.raises(InputError, match=rf"{scene.name}: not a readable picture"):
        burn_scars(root, "train")[0]
    scene.write_bytes(good)
    tif(mask, np.full((24, 24), 2, np.int16), **grid)
    with pytest.raises(InputError, match=rf"{mask.name}: the mask holds 2, which is no class"):
        burn_scars(root, "train")[0]
    tif(mask, np.zeros((24, 20), np.int16), **grid)
    with pytest.raises(InputError, match="mask and picture differ in size"):
        burn_scars(root, "train")[0]
    tif(mask, np.zeros((24, 24), np.int16), crs="EPSG:32610", transform=from_origin(5e5, 5e6, 30, 30))
    with pytest.raises(InputError, match=rf"{mask.name}: the mask lies elsewhere"):
        burn_scars(root, "train")[0]
