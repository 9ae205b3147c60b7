"""Folders of pictures by class and of rasters with masks: what is read, and what is refused with a remedy.

The files are written by GDAL and Pillow, not by anything of ours.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from codec.data.image_folder import image_folder, split_folders
from codec.data.mask_folder import mask_folder
from codec.data.picture_files import PictureRule, canonical, centres, read_picture
from codec.data.samples import tiles
from codec.data.splits import rows
from codec.errors import InputError

RGB = ("red", "green", "blue")
pytestmark = pytest.mark.filterwarnings(
    "ignore::rasterio.errors.NotGeoreferencedWarning", "ignore::PendingDeprecationWarning"
)


def tiff(path: Path, array: np.ndarray, **more: Any) -> Path:
    names = more.pop("names", None)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver=more.pop("driver", "GTiff"),
        height=array.shape[1],
        width=array.shape[2],
        count=len(array),
        dtype=array.dtype,
        **more,
    ) as file:
        file.write(array)
        for i, name in enumerate(names or (), start=1):
            file.set_band_description(i, name)
    return path


def picture(path: Path, height: int = 70, width: int = 66, value: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = np.zeros((height, width, 3), np.uint8)
    colour[:] = (value, value // 2, 10)
    Image.fromarray(colour).save(path)
    return path


def two_classes(root: Path) -> Path:
    for suffix in ("jpg", "png"):
        picture(root / "forest" / f"a.{suffix}")
        picture(root / "water" / f"a.{suffix}", 130, 64, 30)
    return root


def test_classes_are_folder_names_and_pictures_keep_their_own_size(tmp_path: Path) -> None:
    found = image_folder(two_classes(tmp_path))
    assert found.classes == ("forest", "water")
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert found.names == ("forest/a.jpg", "forest/a.png", "water/a.jpg", "water/a.png")
    png = found[1].image
    assert (png.bands, png.height, png.width) == (RGB, 70, 66)
    assert found[3].image.height == 130
    # 8-bit colour is 0.3 at full white, the convention of sensor "rgb" (docs/sensors.md)
    assert png.reflectance(0, 0, 1, 1)[:, 0, 0] == pytest.approx(
        [0.3 * 100 / 255, 0.3 * 50 / 255, 0.3 * 10 / 255]
    )


def test_tiles_are_cut_centred_and_carry_the_class_of_their_picture(tmp_path: Path) -> None:
    found = image_folder(two_classes(tmp_path))
    cut = tiles(found, found.classes, ("blue", "nir", "red"), tile=64)
    assert cut.pixels.shape == (6, 3, 64, 64)  # 70×66 holds one tile, 130×64 two
    assert cut.labels.tolist() == [0, 0, 1, 1, 1, 1]
    assert cut.groups.tolist() == [0, 1, 2, 2, 3, 3]
    assert cut.present.tolist() == [[True, False, True]] * 6
    assert not cut.pixels[:, 1].any()


def test_a_batch_opens_only_its_own_pictures(tmp_path: Path) -> None:
    found = image_folder(two_classes(tmp_path))
    (tmp_path / "water" / "a.png").write_bytes(b"broken")
    batches = found.batches(3)
    assert len(next(batches)) == 3
    with pytest.raises(InputError, match=r"a\.png.*not a readable picture.*; restore"):
        next(batches)


def test_files_that_are_no_pictures_are_said_once(tmp_path: Path) -> None:
    two_classes(tmp_path)
    (tmp_path / "water" / "notes.txt").write_text("x")
    (tmp_path / "water" / ".hidden").write_text("x")
    assert image_folder(tmp_path).notes == (
        "1 files that are no pictures were not read, the first is notes.txt",
    )


def test_an_empty_class_a_lone_sample_and_no_classes_are_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no class folders.*; put"):
        image_folder(tmp_path)
    two_classes(tmp_path)
    (tmp_path / "sand").mkdir()
    with pytest.raises(InputError, match=r"sand.*no picture.*; add"):
        image_folder(tmp_path)
    picture(tmp_path / "sand" / "one.png")
    with pytest.raises(InputError, match=r"two samples.*sand \(1\).*; add"):
        image_folder(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        image_folder(tmp_path / "nowhere")


def test_split_folders_share_the_classes_of_train(tmp_path: Path) -> None:
    two_classes(tmp_path / "train")
    picture(tmp_path / "test" / "water" / "t.png")
    found = split_folders(tmp_path)
    assert found["test"].labels is not None
    assert found["test"].labels.tolist() == [1]  # as numbered in train, though forest is not there
    picture(tmp_path / "test" / "snow" / "t.png")
    with pytest.raises(InputError, match="'snow' is not among the classes"):
        split_folders(tmp_path)


def test_samples_are_chosen_by_name_and_a_missing_name_is_refused(tmp_path: Path) -> None:
    found = image_folder(two_classes(tmp_path)).only(["water/a.png", "forest/a.jpg"])
    assert [s.image.name for s in found] == ["water/a.png", "forest/a.jpg"]
    assert found.labels is not None
    assert found.labels.tolist() == [1, 0]
    with pytest.raises(InputError, match="no sample"):
        found.only(["water/b.png"])


def test_bands_come_from_descriptions_in_any_number(tmp_path: Path) -> None:
    array = np.arange(5 * 8 * 8, dtype=np.uint16).reshape(5, 8, 8)
    path = tiff(tmp_path / "x.tif", array, names=("B02", "B8A", "elevation", "B11", "VV"))
    rule = PictureRule(sensor="sentinel2-l2a", scaling="no-offset")
    image = read_picture(path, "s", "x", rule)
    assert image.bands == ("blue", "nir08", "elevation", "swir16", "vv")
    assert image.reflectance(0, 1, 1, 1)[1, 0, 0] == pytest.approx(65e-4)
    offset = read_picture(path, "s", "x", PictureRule(sensor="sentinel2-l2a", scaling="plus1000"))
    assert offset.reflectance(0, 1, 1, 1)[1, 0, 0] == pytest.approx(65e-4 - 0.1)


def test_a_band_name_that_sensors_understand_differently_is_refused() -> None:
    assert canonical("B05", "landsat8") == "nir08"
    assert canonical("B05", "sentinel2-l1c") == "rededge071"
    with pytest.raises(InputError, match=r"B05.*means.*; name the sensor"):
        canonical("B05", None)


def test_bands_without_names_and_numbers_without_scale_are_refused(tmp_path: Path) -> None:
    path = tiff(tmp_path / "x.tif", np.ones((4, 8, 8), np.uint16), photometric="MINISBLACK")
    with pytest.raises(InputError, match=r"nothing says what its bands are.*; give their names"):
        read_picture(path, "s", "x", PictureRule())
    names = ("blue", "green", "red", "nir")
    with pytest.raises(InputError, match=r"uint16 numbers become reflectance.*; give scale"):
        read_picture(path, "s", "x", PictureRule(bands=names))
    with pytest.raises(InputError, match=r"expected 3, found 4.*; name every band"):
        read_picture(path, "s", "x", PictureRule(bands=names[:3]))
    read = read_picture(path, "s", "x", PictureRule(bands=("blue", "-", "red", "-"), scaling=(0.5, 1.0)))
    assert read.bands == ("blue", "red")
    assert read.reflectance(0, 0, 1, 1)[0, 0, 0] == 1.5


def test_nodata_alpha_and_nan_make_pixels_invalid(tmp_path: Path) -> None:
    array = np.full((1, 4, 4), 0.2, np.float32)
    array[0, 0, 0], array[0, 1, 1] = np.nan, -9999
    image = read_picture(tiff(tmp_path / "a.tif", array, nodata=-9999), "s", "a", PictureRule(bands=("red",)))
    assert np.argwhere(~image.validity).tolist() == [[0, 0], [1, 1]]
    rgba = np.full((4, 4, 4), 200, np.uint8)
    rgba[2, 3, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "b.png")
    image = read_picture(tmp_path / "b.png", "s", "b", PictureRule())
    assert image.bands == RGB
    assert np.argwhere(~image.validity).tolist() == [[2, 3]]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "jp2"])
def test_a_cut_picture_is_never_read_in_part(tmp_path: Path, suffix: str) -> None:
    """GDAL alone reads a cut PNG without complaint."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    rule = PictureRule(bands=RGB, sensor="rgb")
    assert read_picture(path, "s", "a", rule).native.shape == (3, 40, 40)
    for part in (0.0, 0.01, 0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(InputError, match=r"not a readable picture.*; restore"):
            read_picture(path, "s", "a", rule)
    if suffix == "png":
        path.write_bytes(whole[:-1])
        with pytest.raises(InputError, match="the file ends"):
            read_picture(path, "s", "a", rule)
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        with pytest.raises(InputError, match="checksum does not match"):
            read_picture(path, "s", "a", rule)


def pair(root: Path, name: str, mask: np.ndarray, size: int = 64, where: Path | None = None) -> None:
    tiff(root / "images" / f"{name}.tif", np.full((1, size, size), 0.1, np.float32), names=("nir",))
    tiff(where or root / "masks" / f"{name}.tif", mask[None].astype(np.uint8))


def test_masks_of_the_same_stem_give_a_class_per_pixel(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:32], mask[32:, :8] = 7, 255
    pair(tmp_path, "a", mask)
    found = mask_folder(tmp_path / "images", tmp_path / "masks", classes=("dry", "wet"), values={0: 0, 7: 1})
    sample = found[0]
    assert sample.target[0, 0] == 1
    assert sample.target[40, 4] == -1
    assert sample.target[40, 20] == 0
    cut = tiles(found, found.classes, ("nir",))
    assert cut.labels[0, :, 0].tolist() == [1, 1, 1, 1, -1, -1, -1, -1]
    assert cut.labels[0, 7, 1:].tolist() == [0] * 7


def test_pixels_that_were_not_measured_do_not_vote_for_a_label(tmp_path: Path) -> None:
    pixels = np.full((1, 16, 16), 0.1, np.float32)
    pixels[0, :8, :5] = np.nan  # 40 of the first patch's 64 pixels: what is left is below the 60 % of a label
    tiff(tmp_path / "i" / "a.tif", pixels, names=("nir",))
    tiff(tmp_path / "m" / "a.tif", np.ones((1, 16, 16), np.uint8))
    found = mask_folder(tmp_path / "i", tmp_path / "m", classes=("dry", "wet"))
    assert tiles(found, found.classes, ("nir",), tile=16).labels.tolist() == [[[-1, 1], [1, 1]]]


def test_masks_may_lie_beside_their_pictures(tmp_path: Path) -> None:
    pair(tmp_path, "a", np.ones((64, 64)), where=tmp_path / "images" / "a_mask.tif")
    found = mask_folder(tmp_path / "images", classes=("dry", "wet"))
    assert found.names == ("a",)
    assert found[0].target.min() == 1


def test_palette_masks_are_read_as_their_indices(tmp_path: Path) -> None:
    pair(tmp_path, "a", np.zeros((64, 64)))
    (tmp_path / "masks" / "a.tif").unlink()
    indexed = Image.fromarray(np.eye(64, dtype=np.uint8), mode="P")
    indexed.putpalette([10, 20, 30, 200, 100, 0])
    indexed.save(tmp_path / "masks" / "a.png")
    found = mask_folder(tmp_path / "images", tmp_path / "masks", classes=("dry", "wet"))
    assert (found[0].target == np.eye(64)).all()


def test_masks_that_do_not_fit_are_refused_with_a_remedy(tmp_path: Path) -> None:
    folders = tmp_path / "images", tmp_path / "masks"
    classes = ("dry", "wet")
    pair(tmp_path, "a", np.zeros((32, 64)))
    with pytest.raises(
        InputError, match=r"differ in size \(expected \(64, 64\), found \(32, 64\)\); resample"
    ):
        mask_folder(*folders, classes=classes)[0]
    pair(tmp_path, "a", np.full((64, 64), 9))
    with pytest.raises(InputError, match=r"a\.tif: the mask holds 9, which is no class.*; say"):
        mask_folder(*folders, classes=classes)[0]
    tiff(tmp_path / "masks" / "a.tif", np.zeros((3, 64, 64), np.uint8))
    with pytest.raises(InputError, match="mask of classes has one band"):
        mask_folder(*folders, classes=classes)[0]
    (tmp_path / "masks" / "a.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError, match="not a readable mask"):
        mask_folder(*folders, classes=classes)[0]
    (tmp_path / "masks" / "a.tif").rename(tmp_path / "masks" / "b.tif")
    with pytest.raises(InputError, match="picture has no mask"):
        mask_folder(*folders, classes=classes)
    (tmp_path / "images" / "a.tif").unlink()
    with pytest.raises(InputError, match="holds no picture"):
        mask_folder(*folders, classes=classes)


def test_a_mask_of_another_place_is_refused(tmp_path: Path) -> None:
    here = {"crs": "EPSG:32632", "transform": from_origin(500000, 5000000, 10, 10)}
    there = {"crs": "EPSG:32632", "transform": from_origin(500010, 5000000, 10, 10)}
    tiff(tmp_path / "i" / "a.tif", np.ones((1, 8, 8), np.float32), names=("red",), **here)
    tiff(tmp_path / "m" / "a.tif", np.zeros((1, 8, 8), np.uint8), **there)
    with pytest.raises(InputError, match="lies elsewhere"):
        mask_folder(tmp_path / "i", tmp_path / "m", classes=("x",))[0]
    tiff(tmp_path / "m" / "a.tif", np.zeros((1, 8, 8), np.uint8), **here)
    assert mask_folder(tmp_path / "i", tmp_path / "m", classes=("x",))[0].target.shape == (8, 8)


def test_centres_are_where_the_files_say(tmp_path: Path) -> None:
    # Zone 32 has its central meridian at 9° east, where the easting is 500 km; 0 m is the equator.
    where = {"crs": "EPSG:32632", "transform": from_origin(500000 - 40, 40, 10, 10)}
    lat, lon = centres([tiff(tmp_path / "a.tif", np.ones((1, 8, 8), np.uint8), **where)])
    assert lat == pytest.approx([0], abs=1e-9)
    assert lon == pytest.approx([9], abs=1e-9)
    with pytest.raises(InputError, match="no place on the map"):
        centres([tiff(tmp_path / "b.tif", np.ones((1, 8, 8), np.uint8))])


@pytest.mark.shared_data
def test_the_collections_aerial_pictures_read_as_a_folder(shared_data: Path, tmp_path: Path) -> None:
    """Counts are the collection's README's (419/105/126); a pixel is Pillow's."""
    for split, n in (("train", 419), ("val", 105), ("test", 126)):
        with zipfile.ZipFile(shared_data / "ucmerced" / f"{split}.zip") as archive:
            archive.extractall(tmp_path / split)
        found = image_folder(tmp_path / split)
        assert len(found) == n
        assert len(found.classes) == 21
        table = {row["member"]: row["class"] for row in rows(shared_data, "ucmerced", split)}
        assert found.labels is not None
        assert {k: found.classes[v] for k, v in zip(found.names, found.labels, strict=True)} == table
    with zipfile.ZipFile(shared_data / "ucmerced" / "test.zip") as archive:
        expected = np.asarray(Image.open(io.BytesIO(archive.read(found.names[5]))).convert("RGB"))
    difference = np.abs(found[5].image.native.astype(int) - expected.transpose(2, 0, 1))
    assert difference.mean() < 0.5  # decoders of JPEG differ in colour upsampling: seldom by more than 1
    assert difference.max() <= 8


@pytest.mark.shared_data
def test_the_collections_indexed_masks_read_beside_their_pictures(shared_data: Path) -> None:
    """Pixel shares are those of the collection's split table."""
    names = ("water", "land", "road", "building", "vegetation")
    values = {**{i: i for i in range(5)}, 5: None}
    found = mask_folder(shared_data / "dubai", classes=names, values=values)
    assert len(found) == 45
    row = rows(shared_data, "dubai", "train")[0]
    sample = found.only([Path(row["image"]).stem])[0]
    assert sample.target.shape == (int(row["h"]), int(row["w"]))
    for i, name in enumerate(names):
        assert (sample.target == i).mean() == pytest.approx(float(row[name]), abs=6e-5)
