"""MADOS as its authors' reader takes it apart, on tiny files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from codec.data.mados import BANDS, CLASSES, SPLITS, band_at, mados
from codec.errors import InputError
from tests.data.paper_layouts import MADOS_2A, MADOS_2B, mados_crop, mados_files, tif

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def file_of(root: Path, scene: int, gsd: int, what: str, crop: int = 1) -> Path:
    return root / f"Scene_{scene}" / str(gsd) / f"Scene_{scene}_L2R_{what}_{crop}.tif"


def test_crops_come_in_the_order_of_their_split(tmp_path: Path) -> None:
    found = mados(mados_files(tmp_path), "train")
    assert found.names == ("Scene_0_1", "Scene_1_1", "Scene_1_12")
    assert [s.place for s in found] == ["Scene_0", "Scene_1", "Scene_1"]
    assert (found.task, len(found.classes)) == ("mask", 15)
    assert mados(tmp_path, "test").names == ("Scene_3_1", "Scene_3_2")
    assert [len(mados(tmp_path, split)) for split in SPLITS] == [3, 1, 2]  # type: ignore[arg-type]


def test_zero_is_no_label_and_numbers_start_at_one(tmp_path: Path) -> None:
    target = mados(mados_files(tmp_path), "train")[0].target
    assert (target[0] == -1).all()
    assert (target[1:6] == CLASSES.index("marine water")).all()
    assert (target[6:] == CLASSES.index("dense sargassum")).all()


@pytest.mark.parametrize("scene", [0, 1])  # Sentinel-2A's file names, and 2B's
def test_coarser_bands_are_repeated_to_ten_metres(tmp_path: Path, scene: int) -> None:
    found = mados(mados_files(tmp_path), "train")
    image = found[scene].image
    assert len(image.bands) == 11
    pixels = dict(zip(image.bands, image.reflectance(0, 0, 12, 12), strict=True))
    wavelengths = (MADOS_2A, MADOS_2B)[scene]
    expected = {  # names and wavelengths of the user guide, in the order of MADOS_2A's
        10: ("blue", "green", "red", "nir"),
        20: ("rededge071", "rededge075", "rededge078", "nir08", "swir16", "swir22"),
        60: ("coastal",),
    }
    for gsd, bands in expected.items():
        for band, wavelength in zip(bands, wavelengths[gsd], strict=True):
            with rasterio.open(file_of(tmp_path, scene, gsd, f"rhorc_{wavelength}")) as file:
                stored = file.read(1)
            for row, column in ((0, 0), (5, 7), (11, 11)):
                assert pixels[band][row, column] == stored[row * 10 // gsd, column * 10 // gsd], band
    assert set(pixels) == set(BANDS)


def test_pixels_that_are_no_number_are_invalid(tmp_path: Path) -> None:
    root = mados_files(tmp_path)
    with rasterio.open(file_of(root, 0, 60, "rhorc_443"), "r+") as file:
        pixels = file.read()
        pixels[0, 1, 1] = np.nan
        file.write(pixels)
    validity = mados(root, "train")[0].image.validity
    assert not validity[6:, 6:].any()
    assert validity.sum() == 144 - 36


def test_wavelengths_of_no_band_are_refused() -> None:
    assert band_at(864.7, Path("x")) == "nir08"
    assert band_at(833, Path("x")) == "nir"
    for wavelength in (945, 1373, 600, 400):  # water vapour and cirrus are not in the set
        with pytest.raises(InputError, match="no band of Sentinel-2 lies there"):
            band_at(wavelength, Path("x"))


def test_a_crop_without_label_or_band_is_refused_by_file(tmp_path: Path) -> None:
    root = mados_files(tmp_path)
    file_of(root, 0, 10, "cl").unlink()
    with pytest.raises(
        InputError, match=r"Scene_0_L2R_rhorc_\d+_1\.tif: the crop has no label Scene_0_L2R_cl_1"
    ):
        mados(root, "train")
    mados_crop(root, 0, 1)
    file_of(root, 0, 20, "rhorc_865").unlink()
    with pytest.raises(
        InputError, match=r"Scene_0_L2R_cl_1\.tif.*lacks band nir08 \(expected 11 bands, found 10\)"
    ):
        mados(root, "train")
    mados_crop(root, 0, 1)
    tif(file_of(root, 0, 20, "rhorc_864"), np.zeros((6, 6), np.float32))
    with pytest.raises(InputError, match=r"two files of band nir08"):
        mados(root, "train")


def test_splits_that_do_not_fit_the_folder_are_refused(tmp_path: Path) -> None:
    root = mados_files(tmp_path)
    split = root / "splits" / "train_X.txt"
    for text, match in (
        ("", "the split is empty"),
        ("Scene_0_1\nScene_3_1\n", "a crop lies in train and test"),
        ("Scene_0_1\n../Scene_0_1\n", r"train_X\.txt: not a crop"),
        ("Scene_0_1\nScene_0_7\n", "crop Scene_0_7 is missing"),
        ("Scene_9_1\n", "crop Scene_9_1 is missing"),
    ):
        split.write_text(text)
        with pytest.raises(InputError, match=match):
            mados(root, "train")
    split.unlink()
    with pytest.raises(InputError, match=r"train_X\.txt: the split cannot be read"):
        mados(root, "test")  # one part alone is not the set
    with pytest.raises(InputError, match="the split cannot be read"):
        mados(tmp_path / "empty", "train")


def test_files_that_are_not_as_published_are_refused_by_name(tmp_path: Path) -> None:
    root = mados_files(tmp_path)
    label = file_of(root, 0, 10, "cl")
    tif(label, np.full((12, 12), 16, np.uint8))
    with pytest.raises(InputError, match=rf"{label.name}: the mask holds 16, which is no class"):
        mados(root, "train")[0]
    mados_crop(root, 0, 1)
    band = file_of(root, 0, 20, "rhorc_704")
    good = band.read_bytes()
    band.write_bytes(good[: len(good) // 2])
    with pytest.raises(InputError, match=rf"{band.name}: not a readable picture"):
        mados(root, "train")[0]
    for array, match in (
        (np.zeros((5, 6), np.float32), r"the band at 20 m does not cover its label"),
        (np.zeros((2, 6, 6), np.float32), "another number of bands"),
        (np.zeros((6, 6), np.uint16), "the band holds whole numbers, not reflectance"),
    ):
        tif(band, array)
        with pytest.raises(InputError, match=rf"{band.name}: {match}"):
            mados(root, "train")[0]
