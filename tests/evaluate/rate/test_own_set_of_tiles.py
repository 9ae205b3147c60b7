"""Folders of one's own as evidence, written by GDAL and Pillow: what is read, how it is split, what is refused, runs."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import Affine, from_origin

from codec.data.picture_files import PictureRule
from codec.errors import InputError, LimitExceeded
from codec.evaluate.__main__ import main
from codec.evaluate.rate import own_set
from codec.evaluate.rate.own_folder import OwnFolder, is_collection
from codec.evaluate.rate.own_set import own_evidence
from codec.evaluate.rate.protocol import codec_training, folds, is_folded
from codec.evaluate.rate.targets import Evidence
from codec.evaluate.rows import load

BANDS = ("blue", "green", "red", "nir")
RGB_GAIN = 0.3 / 255  # docs/sensors.md, rgb
RULE = PictureRule(scaling=(1e-4, 0.0))
pytestmark = pytest.mark.filterwarnings(
    "ignore::rasterio.errors.NotGeoreferencedWarning", "ignore::PendingDeprecationWarning"
)


def tiff(path: Path, array: np.ndarray, names: tuple[str, ...] | None = BANDS, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = {"height": array.shape[1], "width": array.shape[2], "count": len(array), "dtype": array.dtype}
    with rasterio.open(path, "w", driver="GTiff", **size, **more) as file:
        file.write(array)
        for i, name in enumerate(names or (), start=1):
            file.set_band_description(i, name)
    return path


def smooth(rng: np.random.Generator, height: int, width: int, n: int = len(BANDS)) -> np.ndarray:
    """Fields of 8 pixels with noise over them."""
    coarse = rng.standard_normal((n, -(-height // 8), -(-width // 8)))
    return (np.kron(coarse, np.ones((8, 8))) + 0.2 * rng.standard_normal((n, 8, 8)).mean())[
        :, :height, :width
    ]


def numbers(rng: np.random.Generator, height: int, width: int, level: float) -> np.ndarray:
    """Digital numbers of 10⁻⁴ reflectance around a level."""
    return np.clip(level + 150 * smooth(rng, height, width), 1, 9000).astype(np.uint16)


def by_class(root: Path, side: int = 64, each: int = 8, places: bool = False) -> Path:
    """Three classes of different brightness; with `places` each picture lies two degrees from the next."""
    rng = np.random.default_rng(7)
    for k, name in enumerate(("field", "lake", "town")):
        for i in range(each):
            where = {}
            if places:
                where = {"crs": "EPSG:4326", "transform": from_origin(2 * i, 10 + 2 * k, 1e-4, 1e-4)}
            tiff(root / name / f"{i}.tif", numbers(rng, side, side, 1000 + 900 * k), **where)
    return root


def with_masks(root: Path, height: int = 512, width: int = 448, n: int = 1, **where: Any) -> Path:
    """Rasters with a mask of 1 (dark) and 2 (bright) in squares of 32 pixels, 0 nowhere in particular."""
    rng = np.random.default_rng(3)
    for i in range(n):
        bright = np.kron(rng.random((height // 32, width // 32)) < 0.5, np.ones((32, 32), bool))
        tiff(
            root / "images" / f"place{i}.tif",
            numbers(rng, height, width, 900) + (2500 * bright).astype(np.uint16),
            **where,
        )
        mask = np.where(bright, 2, 1).astype(np.uint8)
        mask[:8, :8] = 0
        tiff(root / "masks" / f"place{i}.tif", mask[None], None, **where)
    return root


MEANING = ("0=-", "1=dark", "2=bright")


def read(
    root: Path, out: Path, bands: tuple[str, ...] | None = BANDS, split: str = "val", **more: Any
) -> Evidence:
    return own_evidence(OwnFolder(root, **{"rule": RULE, **more}), bands, out, split)


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_pictures_of_classes_are_tiles_of_reflectance_with_the_class_of_their_folder(tmp_path: Path) -> None:
    found = read(by_class(tmp_path / "mine"), tmp_path / "out", ("nir", "swir16", "red"))
    assert found.tiles.name == "mine"
    assert found.tiles.pixels.shape == (24, 3, 64, 64)
    assert found.tiles.present.tolist() == [[True, False, True]] * 24
    (target,) = found.targets
    assert (target.level, target.classes) == ("tile", ("field", "lake", "town"))
    assert Counter(target.labels.tolist()) == {0: 8, 1: 8, 2: 8}
    with rasterio.open(tmp_path / "mine" / "field" / "0.tif") as file:
        nir = file.read(4)
    at = int(np.flatnonzero(found.targets[0].labels == 0)[0])
    assert found.tiles.pixels[at, 0] == pytest.approx(nir.astype(float) * 1e-4, abs=1e-6)


def test_larger_pictures_are_scenes_of_tiles_with_one_answer(tmp_path: Path) -> None:
    found = read(by_class(tmp_path / "mine", side=150), tmp_path / "out")
    assert found.targets[0].level == "scene"
    assert len(found.tiles) == 24 * 4
    assert Counter(found.tiles.scene.tolist()) == dict.fromkeys(range(24), 4)
    assert found.tiles.place[:4].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert all(len(set(found.split[found.tiles.scene == s])) == 1 for s in range(24))


def test_a_split_is_chosen_written_and_can_be_given_again(tmp_path: Path) -> None:
    root = by_class(tmp_path / "mine")
    found = read(root, tmp_path / "out")
    rows = table(tmp_path / "out" / "mine-splits.csv")
    assert Counter(row["split"] for row in rows) == Counter(found.split.tolist())
    assert {row["label"] for row in rows if row["split"] == "train"} == {"field", "lake", "town"}
    one, other = (
        rows[0],
        next(row for row in rows if row["split"] == "val" and row["label"] == rows[0]["label"]),
    )
    one["split"], other["split"] = other["split"], one["split"]
    mine = tmp_path / "mine.csv"
    with open(mine, "w", newline="") as file:
        writer = csv.DictWriter(file, one)
        writer.writeheader()
        writer.writerows(rows)
    again = read(root, tmp_path / "again", splits=mine)
    assert (again.split != found.split).sum() == 2
    assert not (tmp_path / "again").exists()


def test_a_table_of_other_pictures_is_refused(tmp_path: Path) -> None:
    root = by_class(tmp_path / "mine")
    read(root, tmp_path / "out")
    splits = tmp_path / "out" / "mine-splits.csv"
    extra = shutil.copy(root / "lake" / "0.tif", root / "lake" / "new.tif")
    with pytest.raises(InputError, match=r"does not name lake/new\.tif; make the table from this folder"):
        read(root, tmp_path / "out", splits=splits)
    Path(extra).unlink()
    (root / "lake" / "1.tif").unlink()
    with pytest.raises(InputError, match=r"the folder does not hold lake/1\.tif"):
        read(root, tmp_path / "out", splits=splits)


def test_a_copy_of_a_picture_is_never_on_the_other_side(tmp_path: Path) -> None:
    root = by_class(tmp_path / "mine")
    for i in range(8):
        shutil.copy(root / "town" / f"{i}.tif", root / "town" / f"copy{i}.tif")
    found = read(root, tmp_path / "out")
    town = found.targets[0].labels == 2
    groups = found.tiles.groups[town]
    assert Counter(Counter(groups.tolist()).values()) == {2: 8}
    assert all(len(set(found.split[found.tiles.groups == g])) == 1 for g in groups)


def test_the_folders_own_splits_are_kept_and_a_picture_in_two_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    by_class(root / "train")
    by_class(root / "elsewhere")
    for i in range(2):
        for name in ("field", "lake", "town"):
            picture = numbers(np.random.default_rng(100 + i), 64, 64, 2000)
            tiff(root / "test" / name / f"{i}.tif", picture + np.uint16(i + len(name)))
    shutil.rmtree(root / "elsewhere")
    found = read(root, tmp_path / "out", split="test")
    assert Counter(found.split.tolist()) == {"train": 24, "test": 6}
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="nothing to fit on or nothing to score"):
        read(root, tmp_path / "out", split="val")
    shutil.copy(root / "train" / "lake" / "0.tif", root / "test" / "lake" / "again.tif")
    with pytest.raises(InputError, match=r"the same picture is in train and in test.*lake/0\.tif"):
        read(root, tmp_path / "out", split="test")


def test_pictures_with_a_place_are_split_by_squares_of_the_ground(tmp_path: Path) -> None:
    root = by_class(tmp_path / "mine", each=16, places=True)
    # A second date of one place: other numbers, the same ground.
    date = numbers(np.random.default_rng(50), 64, 64, 1000)
    tiff(root / "field" / "0-later.tif", date, crs="EPSG:4326", transform=from_origin(0, 10, 1e-4, 1e-4))
    found = read(root, tmp_path / "out")
    first, later = found.tiles.groups[:2]
    assert first == later
    assert len(np.unique(found.tiles.groups)) == 48


def test_a_raster_with_a_mask_is_one_scene_split_by_blocks_of_tiles(tmp_path: Path) -> None:
    found = read(with_masks(tmp_path / "mine"), tmp_path / "out", classes=MEANING)
    (target,) = found.targets
    assert (target.level, target.classes, len(found.tiles)) == ("token", ("dark", "bright"), 56)
    assert set(found.tiles.scene.tolist()) == {0}
    assert target.labels[0, 0, 0] == -1  # the number that is no class
    with rasterio.open(tmp_path / "mine" / "masks" / "place0.tif") as file:
        mask = file.read(1)
    row, col = found.tiles.place[30]
    expected = mask[row * 64 : row * 64 + 64 : 8, col * 64 : col * 64 + 64 : 8].astype(int) - 1
    assert np.array_equal(target.labels[30], expected)
    (fold,) = folds(found, "val")
    assert set(found.split[fold.fit]) == {"train"}
    assert set(found.split[fold.held]) == {"val"}
    rows = table(tmp_path / "out" / "mine-splits.csv")
    assert {(row["file"], row["height"], row["width"]) for row in rows} == {("place0", "64", "64")}
    again = read(
        tmp_path / "mine", tmp_path / "again", classes=MEANING, splits=tmp_path / "out" / "mine-splits.csv"
    )
    assert np.array_equal(again.split, found.split)
    assert np.array_equal(again.tiles.groups, found.tiles.groups)


def test_codecs_are_fitted_on_the_folders_own_training_part(tmp_path: Path) -> None:
    found = read(with_masks(tmp_path / "mine"), tmp_path / "out", classes=MEANING)
    assert not is_folded(found)
    allowed = codec_training("mine", {"mine": found})
    assert np.array_equal(allowed["mine"], found.split == "train")


def test_two_dates_of_one_raster_share_their_blocks_and_the_pixel_size_is_known(tmp_path: Path) -> None:
    where = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_000_000, 10, 10)}
    found = read(with_masks(tmp_path / "mine", n=2, **where), tmp_path / "out", classes=MEANING)
    assert found.tiles.gsd == 10
    by_place: dict[tuple[int, int], set[tuple[int, str]]] = {}
    for (row, col), group, split in zip(
        found.tiles.place.tolist(), found.tiles.groups, found.split, strict=True
    ):
        by_place.setdefault((row, col), set()).add((int(group), str(split)))
    assert {len(one) for one in by_place.values()} == {1}


def test_the_pixel_size_of_a_turned_grid_is_the_side_of_its_pixels(tmp_path: Path) -> None:
    """10 m, turned by 30°: a pixel's step along a row is 8.66 m east and 5 m north."""
    rng = np.random.default_rng(4)
    for k, name in enumerate(("field", "lake", "town")):
        for i in range(8):
            corner = from_origin(200_000 + 40_000 * i, 5_000_000 + 200_000 * k, 10, 10)
            tiff(
                tmp_path / "mine" / name / f"{i}.tif",
                numbers(rng, 64, 64, 1000 + 900 * k),
                crs="EPSG:32631",
                transform=corner * Affine.rotation(30),
            )
    assert read(tmp_path / "mine", tmp_path / "out").tiles.gsd == pytest.approx(10)


def test_pixels_that_were_not_measured_are_invalid_and_zero(tmp_path: Path) -> None:
    root = by_class(tmp_path / "mine")
    array = numbers(np.random.default_rng(1), 64, 64, 1000)
    array[:, :16] = 0
    tiff(root / "field" / "0.tif", array)
    found = read(root, tmp_path / "out", rule=PictureRule(scaling=(1e-4, -0.1), nodata=0))
    assert not found.tiles.validity[0, :16].any()
    assert found.tiles.validity[0, 16:].all()
    assert not found.tiles.pixels[0, :, :16].any()


def broken(root: Path, how: str) -> tuple[Path, dict[str, Any]]:
    """A folder with one fault."""
    if how.startswith("mask"):
        with_masks(root)
        if how == "mask without meaning":
            return root, {}
        if how == "mask number":
            return root, {"classes": ("1=dark", "2=bright")}
        return root, {"classes": ("one=dark",)}
    by_class(root)
    rng = np.random.default_rng(0)
    picture = root / "lake" / "3.tif"
    if how == "small":
        tiff(picture, numbers(rng, 63, 80, 1000))
    elif how == "ragged":
        tiff(picture, numbers(rng, 64, 130, 1000))
    elif how == "other bands":
        tiff(picture, numbers(rng, 64, 64, 1000)[:3], BANDS[:3])
    elif how == "one sample":
        for i in range(1, 8):
            (root / "town" / f"{i}.tif").unlink()
    elif how == "empty class":
        (root / "void").mkdir()
    elif how == "nothing measured":
        return root, {"rule": PictureRule(scaling=(1e-4, 0.0), nodata=int(flat(picture)))}
    elif how == "unknown units":
        return root, {"rule": PictureRule()}
    elif how == "no reflectance":
        return root, {"rule": PictureRule(scaling=(1.0, 0.0))}
    elif how == "unknown bands":
        return root, {"rule": PictureRule(bands=("vv", "vh", "hh", "hv"), scaling=(1e-4, 0.0))}
    return root, {}


def flat(path: Path) -> int:
    tiff(path, np.full((4, 64, 64), 4321, np.uint16))
    return 4321


FAULTS = {
    "small": r"lake/3\.tif: the picture is smaller than a tile of 64 pixels \(found 63×80\); cut larger",
    "ragged": r"lake/3\.tif: pictures of classes differ in size.*cut all to one size",
    "other bands": r"lake/3\.tif: the picture has other bands than the first.*a folder for each kind",
    "one sample": r"a class needs two samples or more: town \(1\)",
    "empty class": "void: the class folder holds no picture",
    "nothing measured": r"lake/3\.tif: the picture has no measured pixel; leave it out",
    "unknown units": "nothing says how its uint16 numbers become reflectance; give scale and offset",
    "no reflectance": "numbers of band blue are no reflectance.*--scaling 1e-4,0",
    "unknown bands": r"no band that the encoder knows \(expected blue.*found vv, vh, hh, hv\); name the bands",
    "mask without meaning": r"what the numbers in the masks mean \(found 0, 1, 2\).*--classes dry,water",
    "mask number": "the mask holds 0, which is no class",
    "mask class text": "a class is number=name, each number once",
}


@pytest.mark.parametrize("how", FAULTS)
def test_bad_folders_end_in_one_line_with_a_remedy(how: str, tmp_path: Path) -> None:
    root, more = broken(tmp_path / "mine", how)
    with pytest.raises(InputError, match=FAULTS[how]) as caught:
        read(root, tmp_path / "out", **more)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_bands_that_no_encoder_knows_are_refused_without_a_package_too(tmp_path: Path) -> None:
    root, more = broken(tmp_path / "mine", "unknown bands")
    with pytest.raises(InputError, match="no band that the encoder knows"):
        read(root, tmp_path / "out", None, **more)


def test_folders_of_neither_form_and_classes_of_class_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder; give the folder of the data collection"):
        read(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="neither folders of classes nor pictures with masks"):
        read(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(InputError, match="the class folders name the classes; leave --classes out"):
        read(by_class(tmp_path / "mine"), tmp_path / "out", classes=("a", "b"))


def test_too_few_places_for_three_splits_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cells cannot fill three splits"):
        read(with_masks(tmp_path / "mine", height=64, width=128), tmp_path / "out", classes=MEANING)


def test_more_tiles_than_a_run_can_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_set, "MOST_BYTES", 10 * 4 * 64 * 64 * 4)
    with pytest.raises(LimitExceeded, match="more than 10 tiles of 4 bands; give a part of the folder"):
        read(by_class(tmp_path / "mine"), tmp_path / "out")


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    root = by_class(tmp_path / "mine")
    (root / "lake").rename(root / "train")
    assert read(root, tmp_path / "out").targets[0].classes == ("field", "town", "train")


def test_pictures_of_colour_need_no_word_about_bands(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for k, name in enumerate(("dark", "light")):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(6):
            colour = rng.integers(0, 40, (64, 64, 3)).astype(np.uint8) + np.uint8(100 * k)
            Image.fromarray(colour).save(tmp_path / "mine" / name / f"{i}.png")
    found = read(tmp_path / "mine", tmp_path / "out", None, rule=PictureRule())
    assert found.tiles.bands == ("blue", "green", "red")
    stored = np.asarray(Image.open(tmp_path / "mine" / "dark" / "0.png"))
    assert found.tiles.pixels[0, 2] == pytest.approx(stored[..., 0] * RGB_GAIN, abs=1e-6)


def test_the_collection_is_known_by_its_tables(tmp_path: Path) -> None:
    assert not is_collection(by_class(tmp_path / "mine"))
    (tmp_path / "mine" / "splits").mkdir()
    (tmp_path / "mine" / "splits" / "windows.csv").touch()
    assert is_collection(tmp_path / "mine")


@pytest.mark.parametrize(
    "option", [["--set", "water"], ["--release"], ["--blocked", "3"], ["--all-places"]], ids=lambda o: o[0]
)
def test_options_of_the_collection_are_refused_for_a_folder(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rate", "--data", str(by_class(tmp_path / "mine")), *option]) == 2
    assert f"error: {option[0]} is for the data collection" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", [["--bands", "red"], ["--nodata", "0"], ["--scaling", "1,0"]], ids=lambda o: o[0]
)
def test_options_of_a_folder_are_refused_for_the_collection(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "windows.csv").touch()
    assert main(["rate", "--data", str(tmp_path), *option]) == 2
    assert f"error: {option[0]} is for folders of your own" in capsys.readouterr().err


def run(root: Path, out: Path, encoder: str, *more: str) -> dict[tuple[str, str], Any]:
    """The rows of a run of the command, fast suite."""
    arguments = [
        "rate",
        "--data",
        str(root),
        "--encoder",
        encoder,
        "--fast",
        "--processes",
        "1",
        "--regime",
        "one",
    ]
    files = ["--out", str(out), "--results", str(out / "rows.csv"), "--scaling", "1e-4,0"]
    assert main([*arguments, *files, *more]) == 0
    # Of the sets alone: what a run cost is another matter, and never twice the same.
    rows = [row for row in load(out / "rows.csv") if row.case.startswith(f"{encoder}/")]
    found = [row for row in rows if row.metric != "coding"]
    return {(row.case, row.metric): row for row in found}


def test_a_folder_of_classes_is_scored_by_an_encoder_of_no_package_and_alike_with_its_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = by_class(tmp_path / "mine", each=12)
    rows = run(root, tmp_path / "a", "pixel-statistics", "--method", "base")
    assert "reflectance = 0.0001 · number + 0" in capsys.readouterr().err
    assert {case.split("/")[1] for case, _ in rows} == {"mine"}
    splits = [row["split"] for row in table(tmp_path / "a" / "mine-splits.csv")]
    scored = rows["pixel-statistics/mine", "tiles scored"]
    assert (scored.value, scored.n) == (splits.count("val"), 36)
    # Classes 900 numbers apart, fields of 150: a linear head on means cannot miss them.
    assert rows["pixel-statistics/mine/class/uncompressed/one", "accuracy"].value == 1
    again = run(
        root,
        tmp_path / "b",
        "pixel-statistics",
        "--method",
        "base",
        "--splits",
        str(tmp_path / "a" / "mine-splits.csv"),
    )
    assert {key: row.value for key, row in again.items()} == {key: row.value for key, row in rows.items()}


def test_a_folder_of_masks_is_scored_by_a_shipped_package_by_embeddings_and_by_pixels(tmp_path: Path) -> None:
    root = with_masks(tmp_path / "mine", height=256, width=320)
    methods = ["--method", "base", "--method", "klt-jpeg2000-scene"]
    rows = run(root, tmp_path / "out", "s2-nano", "--classes", ",".join(MEANING), *methods)
    settings = Counter(case.split("/")[3] for case, metric in rows if metric == "bytes")
    assert set(settings) == set(methods[1::2])
    assert min(settings.values()) >= 6
    # Squares of 32 pixels, four times as bright: tokens of 8 pixels show them.
    assert rows["s2-nano/mine/mask/uncompressed/one", "mean IoU"].value > 0.9
    assert rows["s2-nano/mine", "tiles scored"].n == 20


def test_crops_of_one_raster_that_overlap_are_not_learnt_from_and_scored(tmp_path: Path) -> None:
    """Half of each crop is in the next one: wherever places are split, the two sides share ground."""
    rng = np.random.default_rng(5)
    for row in range(12):
        for col in range(12):
            where = {"crs": "EPSG:4326", "transform": from_origin(0.032 * col, 10 - 0.032 * row, 1e-3, 1e-3)}
            path = tmp_path / "crops" / ("field", "lake")[(row + col) % 2] / f"{row}-{col}.tif"
            tiff(path, numbers(rng, 64, 64, 1500), **where)
    with pytest.raises(
        InputError, match=r"is scored \(\w+\), and shows ground that is learnt from.*--splits"
    ):
        read(tmp_path / "crops", tmp_path / "out")


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    shutil.rmtree(by_class(tmp_path / "one", each=60) / "field")
    shutil.rmtree(tmp_path / "one" / "lake")
    with pytest.raises(InputError, match="class"):
        read(tmp_path / "one", tmp_path / "out")


@pytest.mark.parametrize("scaling", ["nan,0", "0,0", "1e-4,inf"])
def test_a_scaling_that_makes_no_reflectance_is_refused(
    scaling: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_class(tmp_path / "mine", each=2)
    assert main(["rate", "--data", str(tmp_path / "mine"), "--scaling", scaling, "--fast"]) == 3
    assert "a scale is above 0" in capsys.readouterr().err
