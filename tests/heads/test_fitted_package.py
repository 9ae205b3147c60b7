"""`python -m codec.heads fit` on a small aerial package: the right heads, whole cards, graphs that say what the card says.

The pictures are made here: three classes of plain colours with noise, in the layout of the collection.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from codec.data.aerial import aerial_scenes
from codec.errors import InputError
from codec.evaluate.heads import main as rows_main
from codec.evaluate.rows import load as load_rows
from codec.heads.__main__ import main
from codec.heads.samples import Planes, drawn_tokens, subsets_of
from codec.heads.tasks import TASKS, tasks_for
from codec.models.bands import BAND_LISTS, RGB_BANDS, S2_NANO_BANDS
from codec.models.inference import embed
from codec.models.vit import Encoder, EncoderConfig
from codec.models.weights import load_encoder, save_encoder
from codec.package import Package, build, load
from codec.transform.fit import fit_planes
from codec.transform.layout import PlaneLayout
from codec.types import Tile

CLASSES = {"agricultural": (200, 160, 60), "airplane": (120, 120, 130), "baseballdiamond": (60, 130, 70)}
PICTURES = {"train": range(12), "val": range(30, 36)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("collection")
    (root / "splits").mkdir()
    (root / "ucmerced").mkdir()
    rng = np.random.default_rng(0)
    with open(root / "splits" / "ucmerced.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["split", "member", "class", "label"])
        for split, numbers in PICTURES.items():
            with zipfile.ZipFile(root / "ucmerced" / f"{split}.zip", "w") as archive:
                for label, (name, colour) in enumerate(CLASSES.items()):
                    for number in numbers:
                        pixels = np.array(colour) + rng.normal(0, 20, (256, 256, 3)) + rng.normal(0, 8, 3)
                        out = io.BytesIO()
                        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out, "JPEG")
                        member = f"{name}/{name}{number:02d}.jpg"
                        archive.writestr(member, out.getvalue())
                        table.writerow([split, member, name, label])
    return root


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A random colour encoder with its codec, before it has heads."""
    folder = tmp_path_factory.mktemp("models") / "rgb-tiny"
    folder.mkdir()
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(bands=RGB_BANDS, width=16, depth=1, heads=2)).eval()
    save_encoder(encoder, folder / "encoder.safetensors")
    tiles = aerial_scenes(pictures, "train", RGB_BANDS)
    planes = embed(
        encoder, [Tile(i, p, tiles.validity[i], tiles.present[i]) for i, p in enumerate(tiles.pixels)]
    )
    fitted = fit_planes(planes, layouts={"spectral": PlaneLayout(position_mean=False, n_layers=2)})
    build(
        folder,
        name="rgb-tiny",
        version="1.0",
        licence="Apache-2.0",
        bands=RGB_BANDS,
        preprocessing="reflectance-by-band-name-1",
        tile={"core": 64, "margin": 0, "patch": 8},
        codec=fitted,
        training_data=["plain colours"],
        energy={},
    )
    return folder


@pytest.fixture(scope="module")
def with_heads(package: Path, pictures: Path) -> Package:
    assert main(["fit", "--package", str(package), "--data", str(pictures), "--threads", "1"]) == 0
    return load(package)


def card_of(package: Package) -> dict:
    return json.loads(package.path("heads/aerial.json").read_text())


def test_a_colour_package_gets_the_heads_made_for_colour(with_heads: Package) -> None:
    assert sorted(with_heads.names("heads/")) == ["heads/aerial.json", "heads/aerial.onnx"]
    card = card_of(with_heads)
    assert card["classes"] == list(CLASSES)
    assert card["space_ids"] == {name: with_heads.space_ids[name].hex() for name in card["planes"]}
    assert all(entry["licence"] for entry in card["training_data"])


def test_every_score_of_the_card_stands_beside_the_constant_answer(with_heads: Package) -> None:
    scores = card_of(with_heads)["held_out"]["scores"]
    assert len(scores) >= 4
    assert {score["bands"] for score in scores} == {"all"}  # a colour package has no smaller subset
    for score in scores:
        assert score["majority_accuracy"] == pytest.approx(1 / 3, abs=1e-4)  # as many pictures of each class
        assert score["gain_over_majority"] == pytest.approx(score["accuracy"] - 1 / 3, abs=2e-4)
        assert score["gain_interval_95"][0] <= score["gain_over_majority"] <= score["gain_interval_95"][1]
        assert 0 <= score["expected_calibration_error"] <= 1
        assert score["n"] == 4 * 3 * len(PICTURES["val"])
    assert scores[0]["accuracy"] > 0.9  # plain colours


def test_the_graph_repeats_the_accuracy_of_the_card(with_heads: Package, pictures: Path) -> None:
    tiles = aerial_scenes(pictures, "val", RGB_BANDS)
    encoder = load_encoder(with_heads.path("encoder.safetensors"))
    planes = embed(
        encoder, [Tile(i, p, tiles.validity[i], tiles.present[i]) for i, p in enumerate(tiles.pixels)]
    )
    session = onnxruntime.InferenceSession(with_heads.path("heads/aerial.onnx").read_bytes())
    (logits,) = session.run(["logits"], planes)
    first = card_of(with_heads)["held_out"]["scores"][0]
    assert first["rate"] == "uncompressed"
    assert (logits.argmax(1) == tiles.labels).mean() == pytest.approx(first["accuracy"], abs=1e-4)


def test_a_second_fit_gives_the_same_bytes(with_heads: Package, pictures: Path) -> None:
    folder = with_heads.path("heads/aerial.onnx").parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    arguments = ["fit", "--package", str(folder.parent), "--data", str(pictures), "--threads", "1"]
    assert main([*arguments, "--head", "aerial"]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_cards_become_rows_of_the_shared_schema(with_heads: Package, tmp_path: Path) -> None:
    folder = with_heads.path("heads/aerial.onnx").parent.parent
    assert rows_main(["--package", str(folder), "--results", str(tmp_path)]) == 0
    rows = load_rows(tmp_path / "heads.csv")
    scores = card_of(with_heads)["held_out"]["scores"]
    assert len(rows) == 4 * len(scores)
    (row,) = (
        r for r in rows if r.case == "rgb-tiny/aerial/val/all/uncompressed" and r.metric == "accuracy-gain"
    )
    assert row.value == pytest.approx(100 * scores[0]["gain_over_majority"], abs=0.01)
    assert row.rival.startswith("majority class")
    assert (row.lo, row.hi) == pytest.approx([100 * x for x in scores[0]["gain_interval_95"]], abs=0.01)


def test_a_head_of_other_bands_is_refused_by_name(
    with_heads: Package, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = with_heads.path("heads/aerial.onnx").parent.parent
    code = main(["fit", "--package", str(folder), "--data", str(pictures), "--head", "water"])
    assert code == InputError.exit_code
    assert "no head water" in capsys.readouterr().err


def test_every_task_is_made_for_a_known_band_list_and_no_other_package_gets_it() -> None:
    assert {task.made_for for task in TASKS} <= set(BAND_LISTS)
    assert {task.name for task in tasks_for(S2_NANO_BANDS)} == {"scene", "landcover", "water", "cloud"}
    assert {task.name for task in tasks_for(RGB_BANDS)} == {"aerial"}
    with pytest.raises(InputError, match="no head is made"):
        tasks_for(("blue", "nir"))


def test_band_subsets_are_those_smaller_than_the_package() -> None:
    assert list(subsets_of(S2_NANO_BANDS)) == ["all", "10", "6", "4", "3"]
    assert list(subsets_of(RGB_BANDS)) == ["all"]


def test_tokens_are_drawn_evenly_from_the_places() -> None:
    """Place 1: 60 of class 0, 4 of class 1; place 2: 64 of class 0. Of thirty samples each place gives fifteen."""
    labels = np.zeros((2, 8, 8), np.int64)
    labels[0, 0, :4] = 1
    planes = Planes({}, np.ones((2, 8, 8), bool), labels, np.array([100, 200]))
    keep = drawn_tokens(planes, 30, np.random.default_rng(0))
    assert [int(of_place.sum()) for of_place in keep] == [15, 15]
    few = np.where(np.arange(8)[:, None] < 1, labels, -1)  # 8 labelled tokens in each place: all of them
    small = drawn_tokens(
        Planes({}, np.ones((2, 8, 8), bool), few, np.array([100, 200])), 30, np.random.default_rng(0)
    )
    assert np.array_equal(small, few >= 0)
