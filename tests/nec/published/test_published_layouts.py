"""The published experiments, fast, on tiny files of their layouts: MillionAID, UC Merced, Potsdam; and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import published_layouts as made
import pytest
from small_nec import needs_compressai

from codec.data.picture_files import read_picture
from codec.errors import InputError
from codec.evaluate.rate.adapted.__main__ import main as harness
from codec.evaluate.rate.adapted.layouts import potsdam_evidence, ucmerced_evidence
from codec.evaluate.rows import load
from codec.models.bands import RGB_BANDS
from codec.nec.__main__ import main
from codec.nec.encoders import MaeVit
from codec.nec.pictures import ASPECT, crop, middle, pictures_below
from codec.nec.recipe import load_recipe
from codec.nec.samples import Samples

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
VIT = MaeVit(RGB_BANDS, tile=64, patch=8, width=32, depth=1, heads=4)
FAST = ["--fast", "--set", "start.encoder=vit-nano/8@rgb", "--set", "device=cpu", "--set", "precision=fp32"]


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A start and two points, trained on pictures of the MillionAID layout by the recipe of the published size."""
    root = tmp_path_factory.mktemp("experiment")
    pictures, start = made.millionaid(root / "MillionAID"), root / "start.pt"
    common = ["nec-2024-vit-b", *FAST, "--pictures", str(pictures), "--start-weights", str(start)]
    assert main(["start", *common]) == 0
    runs = [root / "coarse", root / "fine"]
    for run, weight in zip(runs, ("1e3", "1e7"), strict=True):
        of = ["--set", f"rate.weight={weight}", "--set", "schedule.steps=12"]
        assert main(["train", *common, *of, "--out", str(run)]) == 0
        assert main(["train", *common, *of, "--out", str(run)]) == 0  # nothing left to do
    check = ["check", "--run", str(runs[0]), "--pictures", str(pictures)]
    assert main(check) == 0
    return start, runs


@needs_compressai
@pytest.mark.parametrize(
    ("layout", "split", "score"), [("ucmerced", "unseen", "accuracy"), ("potsdam", "test", "mean IoU")]
)
def test_the_published_experiments_run_on_their_layouts(
    points: tuple[Path, list[Path]], tmp_path: Path, layout: str, split: str, score: str
) -> None:
    start, runs = points
    data = getattr(made, layout)(tmp_path / layout)
    results = tmp_path / "nec.csv"
    command = [
        "--layout", layout, "--data", str(data), "--fast", "--brief", "--split", split, "--start-weights", str(start),
        "--points", f"nec-2024={runs[0]},{runs[1]}", "--out", str(tmp_path / "rate"), "--results", str(results),
    ]  # fmt: skip
    assert harness(command) == 0
    rows = load(results)
    (uncompressed,) = (row for row in rows if row.case.endswith("/uncompressed/one"))
    assert (uncompressed.metric, uncompressed.case.split("/")[0]) == (score, "vit-nano_8@rgb")
    curve = [row for row in rows if "/nec-2024/" in row.case and row.case.split("/")[-2] == "per-rate"]
    views = {row.case.split("/")[4] for row in curve}
    assert views == ({"tokens", "decoder"} if layout == "potsdam" else {"tokens mean", "decoder mean"})
    bytes_ = [row.value for row in curve if row.metric == "bytes"]
    assert len(bytes_) == 4
    assert min(bytes_) > 8  # a string a tile
    ratios = [row for row in rows if row.metric.startswith("times fewer bytes at")]
    assert len(ratios) <= (4 * 2 if uncompressed.value > 0 else 0)
    needs = {
        (row.case, row.metric.removeprefix("bytes at ")): row.value
        for row in rows
        if row.metric.startswith("bytes at")
    }
    for row in ratios:
        task, regime = row.case.rsplit("/", 3)[0], row.case.rsplit("/", 1)[1]
        share = row.metric.removeprefix("times fewer bytes at ")
        theirs, ours = needs[f"{task}/nec-2024/best view/{regime}", share], needs[row.case, share]
        assert row.value == pytest.approx(theirs / ours, rel=1e-4)


def test_ucmerced_becomes_a_tile_a_picture_with_the_blocks_as_splits(tmp_path: Path) -> None:
    evidence = ucmerced_evidence(made.ucmerced(tmp_path, (0, 1, 61, 63, 64, 81, 99)), VIT)
    assert evidence.tiles.pixels.shape == (21 * 6, 3, 64, 64)  # 61 lies between two splits
    assert {part: int((evidence.split == part).sum()) for part in ("train", "val", "test")} == {
        "train": 42, "val": 42, "test": 42,
    }  # fmt: skip
    (target,) = evidence.targets
    level = np.array([evidence.tiles.pixels[target.labels == k].mean() for k in range(21)])
    assert np.corrcoef(level, np.arange(21))[0, 1] > 0.9  # labels belong to their pictures
    assert evidence.tiles.gsd == pytest.approx(0.3048 * 4)


def test_potsdam_becomes_tiles_whose_labels_follow_the_legend(tmp_path: Path) -> None:
    evidence = potsdam_evidence(made.potsdam(tmp_path), VIT)
    assert evidence.tiles.pixels.shape == (16, 3, 64, 64)
    assert (evidence.split == "test").sum() == 4
    labels, green = evidence.targets[0].labels, evidence.tiles.pixels[:, list(RGB_BANDS).index("green")]
    tokens = green.reshape(16, 8, 8, 8, 8).mean((2, 4)) * 255 / 0.3
    for k in range(6):
        assert tokens[labels == k].mean() == pytest.approx(200 - 25 * k + 4, abs=1.0)
    assert set(np.unique(labels)) == set(range(6))


def test_a_label_of_wrong_colours_is_refused(tmp_path: Path) -> None:
    root = made.potsdam(tmp_path, ("2_10", "2_13"))
    wrong = np.full((3, made.SIDE, made.SIDE), 255)
    wrong[1] = 0  # magenta is no class
    made.picture(root / "label_noBoundary" / "top_potsdam_2_13_label_noBoundary.tif", wrong)
    with pytest.raises(InputError, match="colour of no class"):
        potsdam_evidence(root, VIT)


def test_a_picture_without_its_label_and_a_label_without_its_picture_are_refused(tmp_path: Path) -> None:
    for kind, said in (
        ("label_noBoundary/*2_13*", "no label_noboundary"),
        ("4_Ortho_RGBIR/*2_13*", "no rgbir"),
    ):
        root = made.potsdam(tmp_path / said, ("2_10", "2_13"))
        next(root.glob(kind)).unlink()
        with pytest.raises(InputError, match=said):
            potsdam_evidence(root, VIT)


def test_pictures_of_one_split_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="all of one split"):
        potsdam_evidence(made.potsdam(tmp_path / "p", ("2_10", "3_11")), VIT)
    with pytest.raises(InputError, match="not all there"):
        ucmerced_evidence(made.ucmerced(tmp_path / "u", (0, 1)), VIT)


def test_empty_folders_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="no tile of Potsdam"):
        potsdam_evidence(tmp_path, VIT)
    with pytest.raises(InputError, match="not the folder of UC Merced"):
        ucmerced_evidence(tmp_path, VIT)
    common = ["nec-2024-vit-b", *FAST, "--start-weights", str(tmp_path / "start.pt")]
    assert main(["start", *common, "--pictures", str(tmp_path)]) == 3
    assert "no folder below holds a picture" in capsys.readouterr().err
    assert main(["start", *common, "--pictures", str(tmp_path / "absent")]) == 3
    assert "no such folder" in capsys.readouterr().err


def test_a_missing_class_folder_is_named(tmp_path: Path) -> None:
    root = made.ucmerced(tmp_path, (0, 63, 81))
    (root / "Images" / "river").rename(root / "Images" / "rivers")
    with pytest.raises(InputError, match=r"missing \['river'\], more \['rivers'\]"):
        ucmerced_evidence(root, VIT)


def test_a_damaged_picture_is_named_when_it_is_opened(tmp_path: Path) -> None:
    root = made.millionaid(tmp_path, 4)
    path = sorted(root.rglob("*.jpg"))[0]
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=path.name):
        pictures_below(root, 64).shown(np.arange(4), None)


def test_crops_are_a_fifth_to_all_of_the_picture_and_of_the_published_shapes(tmp_path: Path) -> None:
    path = made.picture(tmp_path / "a.tif", made.smooth(np.random.default_rng(0), 3, 120, 200))
    image = read_picture(path, "x", "a", pictures_below(tmp_path, 64).rule)
    rng = np.random.default_rng(4)
    found = np.array([crop(image, rng) for _ in range(400)])
    row, col, height, width = found.T
    assert (row >= 0).all()
    assert (row + height <= 120).all()
    assert (col + width <= 200).all()
    area = height * width / (120 * 200)
    assert area.min() == pytest.approx(0.2, abs=0.02)
    assert 0.7 < area.max() < 0.81  # a crop of 4:3 in 120×200 has 120×160 at most
    assert (np.abs(np.log(width / height)) <= np.log(ASPECT[1]) + 0.03).all()
    assert middle(image) == (0, 40, 120, 120)


def test_a_step_on_pictures_is_the_same_every_time_and_another_step_another(tmp_path: Path) -> None:
    pictures = pictures_below(made.millionaid(tmp_path), 64)
    samples = Samples.of(pictures, VIT)
    first, again, other = (samples.batch(0, step, 4)[0].pixels for step in (0, 0, 1))
    assert first.equal(again)
    assert not first.equal(other)
    assert not set(samples.training) & set(samples.held)
    before = samples.identity
    made.picture(tmp_path / "test" / "P9999999.tif", made.smooth(np.random.default_rng(0), 3, 80, 80))
    assert Samples.of(pictures_below(tmp_path, 64), VIT).identity != before


def test_the_recipe_of_the_published_size_is_the_published_one() -> None:
    """arXiv 2403.17886 and its code: 19.3 k steps of four processes of 256, 6e-4, λ 1e10, half precision."""
    recipe = load_recipe("nec-2024-vit-b")
    schedule = recipe.schedule
    assert (schedule.steps, schedule.batch, schedule.mask, schedule.peak_rate) == (19_300, 256, 0.75, 6e-4)
    assert (recipe.rate.weight, recipe.precision, recipe.start.encoder) == (1e10, "fp16", "vit-B/16@rgb")
    assert recipe.switches == load_recipe("nec-2024").switches
