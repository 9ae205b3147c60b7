"""Potsdam's coloured labels and UC Merced's class folders, on tiny files named and coloured as their descriptions say.

Names, colours and the split of Potsdam: microsoft/torchgeo torchgeo/datasets/potsdam.py (commit 0798ea8). Folders of UC
Merced: its readme.txt and torchgeo/datasets/ucmerced.py (06cab16).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from codec.data.potsdam import CLASSES, TEST, TRAIN, decode_colours, potsdam
from codec.data.ucmerced_folder import CLASSES as UCM
from codec.data.ucmerced_folder import block, listed, ucmerced_folder
from codec.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SIDE = 16
# torchgeo's table: class → colour
COLOURS = {
    "clutter": (255, 0, 0),
    "impervious surface": (255, 255, 255),
    "building": (0, 0, 255),
    "low vegetation": (0, 255, 255),
    "tree": (0, 255, 0),
    "car": (255, 255, 0),
}


def tif(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", count=len(array), height=array.shape[1], width=array.shape[2], dtype="uint8",
        photometric="RGB" if len(array) >= 3 else "MINISBLACK",
    ) as file:  # fmt: skip
        file.write(array.astype(np.uint8))
    return path


def label_of(names: list[str]) -> np.ndarray:
    colour = np.zeros((3, SIDE, SIDE), np.uint8)
    for i, name in enumerate(names):
        colour[:, i] = np.array(COLOURS[name])[:, None]
    return colour


def contest(root: Path, tiles: tuple[str, ...] = ("2_10", "7_13")) -> Path:
    for tile in tiles:
        picture = np.stack([np.full((SIDE, SIDE), v) for v in (10, 20, 30, 40)])
        tif(root / "4_Ortho_RGBIR" / f"top_potsdam_{tile}_RGBIR.tif", picture)
        tif(root / "2_Ortho_RGB" / f"top_potsdam_{tile}_RGB.tif", picture[:3])
        tif(root / "3_Ortho_IRRG" / f"top_potsdam_{tile}_IRRG.tif", picture[[3, 0, 1]])
        colour = label_of([*COLOURS] + ["tree"] * (SIDE - 6))
        tif(root / "5_Labels_all" / f"top_potsdam_{tile}_label.tif", colour)
        colour[:, :, 0] = 0  # a border of objects: black, does not count
        tif(root / "5_Labels_all_noBoundary" / f"top_potsdam_{tile}_label_noBoundary.tif", colour)
    return root


def test_colours_become_the_six_classes(tmp_path: Path) -> None:
    found = potsdam(contest(tmp_path), ("2_10",))
    target = found[0].target
    assert [CLASSES[i] for i in target[:6, 3]] == list(COLOURS)
    assert (target[6:] == CLASSES.index("tree")).all()


def test_each_product_has_its_own_band_order(tmp_path: Path) -> None:
    contest(tmp_path)
    for product, bands in (
        ("RGB", "red green blue"),
        ("IRRG", "nir red green"),
        ("RGBIR", "red green blue nir"),
    ):
        image = potsdam(tmp_path, ("7_13",), product=product)[0].image  # type: ignore[arg-type]
        assert image.bands == tuple(bands.split())
        assert image.native[image.bands.index("red"), 0, 0] == 10
        assert image.validity.all()
    assert image.native[image.bands.index("nir"), 0, 0] == 40


def test_black_borders_have_no_label(tmp_path: Path) -> None:
    found = potsdam(contest(tmp_path), ("2_10",), no_boundary=True)[0].target
    assert (found[:, 0] == -1).all()
    assert (found[:, 1:] >= 0).all()


def test_off_palette_colours_of_two_published_files_are_understood() -> None:
    """6_7 has cars of (252, 255, 0); 4_12 is a lossy copy with such cyan and white as these."""
    off = np.array([(252, 255, 0), (9, 222, 221), (225, 227, 227)]).T[:, None]
    assert [CLASSES[i] for i in decode_colours(off)[0]] == ["car", "low vegetation", "impervious surface"]
    with pytest.raises(InputError, match=r"colour of no class.*\(250, 3, 251\)"):
        decode_colours(np.array([[[250]], [[3]], [[251]]]))


def test_the_official_split_is_24_and_14_tiles() -> None:
    assert len(set(TRAIN)) == 24
    assert len(set(TEST)) == 14
    assert not set(TRAIN) & set(TEST)
    # torchgeo's lists, by row
    assert {t for t in TRAIN if t[0] == "6"} == {"6_7", "6_8", "6_9", "6_10", "6_11", "6_12"}
    assert {t for t in TEST if t[0] == "4"} == {"4_13", "4_14", "4_15"}


def test_tiles_that_are_missing_are_refused_and_copies_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tile of Potsdam as RGB"):
        potsdam(tmp_path, "train")
    contest(tmp_path)
    with pytest.raises(InputError, match=r"tile 2_11 has no rgb.*; unpack"):
        potsdam(tmp_path, "train")
    tif(tmp_path / "5_Labels_for_participants" / "top_potsdam_2_10_label.tif", label_of(["tree"] * SIDE))
    found = potsdam(tmp_path, ("2_10",))
    assert "there twice" in found.notes[0]
    assert found[0].target[0, 0] == CLASSES.index("clutter")  # of 5_Labels_all, the first by path
    (tmp_path / "5_Labels_all" / "top_potsdam_7_13_label.tif").unlink()
    with pytest.raises(InputError, match="tile 7_13 has no label"):
        potsdam(tmp_path, ("7_13",))


def merced(root: Path, per_class: int = 2, **numbers: tuple[int, ...]) -> Path:
    for i, name in enumerate(UCM):
        for number in numbers.get(name, tuple(range(per_class))):
            picture = np.full((3, 24 + i % 2, 24), i)
            tif(root / "UCMerced_LandUse" / "Images" / name / f"{name}{number:02d}.tif", picture)
    return root


def test_classes_and_places_of_uc_merced_come_from_names(tmp_path: Path) -> None:
    found = ucmerced_folder(merced(tmp_path, 4))
    assert found.classes == UCM
    assert len(found) == 84
    assert found.notes[0] == "agricultural has 4 of 100 pictures"
    river = found.only(["river/river02.tif", "river/river03.tif"])
    assert [s.place for s in river] == ["river/0", "river/1"]
    assert {int(s.target) for s in river} == {16}
    assert river[0].image.bands == ("red", "green", "blue")
    assert river[0].image.reflectance(0, 0, 1, 1)[0, 0, 0] == pytest.approx(16 * 0.3 / 255)
    assert ucmerced_folder(tmp_path / "UCMerced_LandUse").names == found.names


def test_splits_of_uc_merced_are_blocks_of_numbers_or_published_lists(tmp_path: Path) -> None:
    found = ucmerced_folder(merced(tmp_path, beach=(0, 59, 60, 62, 63, 77, 80, 81, 99)))
    numbers = {
        split: sorted(n for n in block(found, split).names if n.startswith("beach"))
        for split in ("train", "val", "test")
    }
    assert numbers["train"] == ["beach/beach00.tif", "beach/beach59.tif"]
    assert numbers["val"] == ["beach/beach63.tif", "beach/beach77.tif"]
    assert numbers["test"] == ["beach/beach81.tif", "beach/beach99.tif"]
    (tmp_path / "list.txt").write_text("river01.tif\nbeach00.tif\n")
    assert listed(found, tmp_path / "list.txt").names == ("river/river01.tif", "beach/beach00.tif")
    (tmp_path / "list.txt").write_text("river09.tif\n")
    with pytest.raises(InputError, match=r"picture river09\.tif is not there"):
        listed(found, tmp_path / "list.txt")
    with pytest.raises(InputError, match="split val is empty"):
        block(ucmerced_folder(merced(tmp_path / "few")), "val")


def test_folders_that_are_not_uc_merced_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the folder of UC Merced"):
        ucmerced_folder(tmp_path)
    images = merced(tmp_path) / "UCMerced_LandUse" / "Images"
    (images / "river" / "river00.tif").rename(images / "beach" / "river00.tif")
    with pytest.raises(InputError, match=r"river00\.tif: the picture's name is not its class"):
        ucmerced_folder(tmp_path)
    (images / "beach" / "river00.tif").unlink()
    with pytest.raises(InputError, match=r"two samples or more: river \(1\)"):
        ucmerced_folder(tmp_path)
    (images / "river" / "river01.tif").unlink()
    (images / "river").rmdir()
    with pytest.raises(InputError, match=r"missing \['river'\]"):
        ucmerced_folder(tmp_path)
