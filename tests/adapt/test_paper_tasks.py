"""The DEFLECT paper's five tasks through the command, each on tiny files of its published layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from codec.adapt.__main__ import main
from codec.adapt.files import load_adapter, read_adapter
from codec.adapt.registry import base_of
from codec.errors import IdentityError
from codec.evaluate.intervals import macro_f1_of, mean_iou_of
from codec.models.vit import Encoder, EncoderConfig
from codec.models.weights import load_encoder, save_encoder
from tests.data.paper_layouts import burn_scar_files, mados_files
from tests.data.test_geobench import write_partition, write_sample, write_task
from tests.models.foreign_files import small, swin_layout, weights

pytestmark = pytest.mark.filterwarnings(
    "ignore::rasterio.errors.NotGeoreferencedWarning", "ignore::PendingDeprecationWarning"
)
RGB = ("red", "green", "blue")
S2 = (  # as the converters of GEO-Bench named them
    "01 - Coastal aerosol", "02 - Blue", "03 - Green", "04 - Red", "05 - Vegetation Red Edge",
    "06 - Vegetation Red Edge", "07 - Vegetation Red Edge", "08 - NIR", "08A - Vegetation Red Edge",
    "09 - Water vapour", "10 - SWIR - Cirrus", "11 - SWIR", "12 - SWIR",
)  # fmt: skip
GEOBENCH: dict[str, tuple[tuple[str, ...], int, str]] = {  # set → its data sets, classes, kind of number
    "m-so2sat": (
        ("01 - VH.Real", "02 - VH.Imaginary", *(name for name in S2 if name[:2] not in ("01", "09", "10"))),
        17,
        "float32",
    ),
    "m-brick-kiln": (S2, 2, "int16"),
    "m-forestnet": (
        ("02 - Blue", "03 - Green", "04 - Red", "05 - NIR", "06 - SWIR1", "07 - SWIR2"),
        12,
        "uint8",
    ),
}
FULL = {"float32": 1.0, "int16": 1e4, "uint8": 255}


def geobench_files(folder: Path, side: int, repeats: int = 1) -> Path:
    """Every class `repeats` times in each split; the last band is the brighter the higher the class."""
    bands, classes, dtype = GEOBENCH[folder.name]
    write_task(folder, "Classification", classes, None)
    rng = np.random.default_rng(3)
    splits: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for split, names in splits.items():
        for i in range(classes * repeats):
            pixels = rng.uniform(0.05, 0.3, (len(bands), side, side))
            pixels[-1] = 0.1 + 0.6 * (i % classes) / classes
            stored = (pixels * FULL[dtype]).astype(dtype)
            write_sample(folder, f"{split}_{i:02d}", dict(zip(bands, stored, strict=True)), i % classes)
            names.append(f"{split}_{i:02d}")
    write_partition(folder, **splits)
    return folder


# Task → size of the tiny pictures; the encoder's tile is 32, so one is smaller, two are larger and do not divide.
SIZES = {"so2sat": 16, "brick-kiln": 32, "forestnet": 40, "burn-scars": 40, "mados": 36}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sets")
    return {
        "so2sat": geobench_files(root / "m-so2sat", SIZES["so2sat"]),
        "brick-kiln": geobench_files(root / "m-brick-kiln", SIZES["brick-kiln"]),
        "forestnet": geobench_files(root / "m-forestnet", SIZES["forestnet"]),
        "burn-scars": burn_scar_files(root / "burn", SIZES["burn-scars"]),
        "mados": mados_files(root / "mados", SIZES["mados"]),
    }


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoder") / "rgb.safetensors"
    save_encoder(Encoder(EncoderConfig(bands=RGB, tile=32, width=32, depth=2, heads=4)), path)
    return path


def command(kind: str, task: str, data: Path, encoder: Path, out: Path, *more: str) -> list[str]:
    size = () if task not in SIZES else ("--set", f"size={SIZES[task]}", "--set", "pictures=20")
    return [
        kind, task, "--data", str(data), "--encoder", str(encoder), "--out", str(out), "--fast", *size, *more,
    ]  # fmt: skip


@pytest.mark.parametrize("task", SIZES)
def test_a_task_runs_from_its_files_to_a_score_and_an_adapter(
    task: str, files: dict[str, Path], encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("train", task, files[task], encoder, tmp_path)) == 0
    assert "the scores mean nothing" in capsys.readouterr().out
    folder = tmp_path / "deflect-seed-0"
    report = json.loads((folder / "report.json").read_text())
    assert report["task"]["name"] == task
    assert report["fast"] is True
    assert set(report["versions"]) >= {"swathpack", "torch", "numpy"}
    assert all(value >= 0 for value in report["seconds"].values())

    # The score, computed from the confusion matrix by the room that compares methods.
    matrix = np.array(report["score"]["confusion"])
    expected = {
        "macro F1": lambda: macro_f1_of(matrix.reshape(-1).astype(float)),
        "mean IoU": lambda: mean_iou_of(matrix.reshape(-1).astype(float)),
        "IoU": lambda: matrix[1, 1] / (matrix[1].sum() + matrix[:, 1].sum() - matrix[1, 1]),
    }
    assert report["score"]["value"] == pytest.approx(100 * float(expected[report["score"]["metric"]]()))
    labelled = {  # every labelled picture or pixel of the test split, and nothing else
        "so2sat": 17,
        "brick-kiln": 2,
        "forestnet": 12,
        "burn-scars": 2 * (40 * 40 - 40),
        "mados": 2 * (36 * 36 - 36),
    }
    assert matrix.sum() == labelled[task]

    # The adapter and the head can be used, and say what they are.
    adapted = load_adapter(folder / "adapter.safetensors", load_encoder(encoder))
    assert list(adapted.bands) == report["task"]["bands"]
    assert adapted.n_trained == report["trained"]["parameters"] > 0
    stored = read_adapter(folder / "adapter.safetensors")
    assert stored.encoder_sha256 == report["encoder"]["sha256"]
    assert report["trained"]["adapter_bytes"] == (folder / "adapter.safetensors").stat().st_size
    head = load_file(folder / "head.safetensors")
    assert head["linear.weight"].shape == (report["task"]["classes"], adapted.width)
    summary = json.loads((tmp_path / "report.json").read_text())
    assert summary["methods"]["deflect"]["scores"] == {"0": report["score"]["value"]}


def test_what_only_further_bands_show_is_learned_through_the_command(
    files: dict[str, Path], encoder: Path, tmp_path: Path
) -> None:
    """Of the tiny MADOS, 865 nm alone tells the two classes apart, and the colours tell nothing."""
    found = {}
    for method, setting in (
        ("deflect", "methods.deflect.layers=all"),
        ("frozen", "methods.frozen.inputs=own"),
    ):
        more = [
            "--method", method, "--set", setting, "--set", "training.steps=150", "--set", "training.rate=0.005",
        ]  # fmt: skip
        assert main(command("train", "mados", files["mados"], encoder, tmp_path, *more)) == 0
        report = json.loads((tmp_path / f"{method}-seed-0" / "report.json").read_text())
        found[method] = report["score"]["value"]
    assert found["deflect"] > 75
    assert found["frozen"] < 65


def test_comparing_prints_ours_beside_the_authors(
    files: dict[str, Path], encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = command(
        "compare", "burn-scars", files["burn-scars"], encoder, tmp_path,
        "--seeds", "2", "--method", "deflect", "--method", "frozen",
    )  # fmt: skip
    assert main(run) == 0
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line.startswith("|")]
    assert "authors: IoU" in lines[0]
    assert lines[2].startswith("| frozen | 0 % |")
    assert lines[2].endswith("| 2 | 0 % | 75.3 ± 2.2 |")
    assert lines[3].endswith("| 2 | 0.2 % | 77.0 ± 1.2 |")
    assert "Columns of the authors: Thoreau, Marsocci, Derksen" in said
    summary = json.loads((tmp_path / "compare.json").read_text())
    assert set(summary["methods"]["deflect"]["scores"]) == {"0", "1"}
    assert summary["authors"]["deflect"] == [77.0, 1.2]
    scores = [summary["methods"]["deflect"]["scores"][seed] for seed in "01"]
    assert f"{np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f}" in lines[3]

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert main(run) == 0  # nothing runs twice
    assert "kept from" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len(before) == 8


def test_a_published_checkpoint_starts_from_its_layout(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scale-MAE with every size made smaller: it learns how large a pixel is, and takes tiles of the picture's size."""
    layout = small("scalemae_vit_large")
    monkeypatch.setattr("codec.models.foreign.load.read_layout", lambda name: layout)
    wrapper = layout.wrappers[0]
    state: dict[str, Any] = weights(layout)
    torch.save(state if wrapper is None else {wrapper: state}, tmp_path / "scalemae.pth")
    seen = {}
    monkeypatch.setattr(
        "codec.adapt.tasks.encoders.base_of",
        lambda encoder, **side: seen.update(side) or base_of(encoder, **side),
    )
    run = command("train", "mados", files["mados"], tmp_path / "scalemae.pth", tmp_path / "out")
    assert main([*run, "--layout", "scalemae_vit_large"]) == 0
    report = json.loads((tmp_path / "out" / "deflect-seed-0" / "report.json").read_text())
    assert report["tile"] == 36
    assert report["encoder"]["name"] == "scalemae_vit_large"
    assert seen == {"gsd_m": 10.0}


def test_a_pyramid_learns_a_class_for_each_token_that_comes_out(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swin's tokens are twice as large as its patches here, and tiles are whole numbers of them."""
    layout = swin_layout(depths=(1, 1), heads=(2, 2), width=8, window=3, patch=4, bands=3)
    monkeypatch.setattr("codec.models.foreign.load.read_layout", lambda name: layout)
    torch.save(weights(layout), tmp_path / "swin.pth")
    run = command(
        "train", "mados", files["mados"], tmp_path / "swin.pth", tmp_path / "out", "--layout", "swin"
    )
    assert main([*run, "--set", "methods.deflect.uatt.rank=4"]) == 0
    report = json.loads((tmp_path / "out" / "deflect-seed-0" / "report.json").read_text())
    assert report["tile"] == 40
    assert np.array(report["score"]["confusion"]).sum() == 2 * (36 * 36 - 36)
    assert main([*run, "--set", "tile=36"]) == 3


@pytest.mark.parametrize(
    ("more", "code", "match"),
    [
        (("--set", "training.steps=0"), 2, "--set training.steps=0: input should be greater"),
        (("--set", "size"), 2, "--set size: give section.key=value"),
        (("--threads", "0"), 2, "threads"),
        (("--set", "metric=macro F1"), 2, "macro f1 is for classes of pictures"),
        (("--set", "zoom=2"), 2, "zoom is for classes of pictures"),
        (("--method", "prompt"), 2, "no adapter is called 'prompt'"),
        (("--seed", "1", "--seed", "1"), 2, "seeds are different numbers"),
        (("--set", "methods.deflect.rank=4"), 3, "deflect: rank"),
        (("--set", "tile=48"), 3, "the encoder takes tiles of one size"),
        (("--set", "size=512"), 3, "another size than the recipe says"),
        (("--set", "bands=[red, green, nir08]"), 3, "the adapter's bands lack blue"),
        (("--set", "bands=[red, green, blue, nir]"), 3, "the picture has no band nir"),
        (("--set", "classes=3"), 3, "this is not the set of task burn-scars"),
        (("--data", "nowhere"), 3, "the folder training is missing"),
        (("--encoder", "nowhere"), 5, "nowhere"),
        (("--layout", "no_such_layout"), 3, "no_such_layout"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(
    files: dict[str, Path],
    encoder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    code: int,
    match: str,
) -> None:
    run = command("train", "burn-scars", files["burn-scars"], encoder, tmp_path / "out", *more)
    assert main(run) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert match in error
    assert not list(tmp_path.rglob("*.safetensors"))


def test_an_unknown_task_names_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command("train", "eurosat", tmp_path, tmp_path, tmp_path)) == 2
    assert "brick-kiln, burn-scars, forestnet, mados, so2sat" in capsys.readouterr().err


def test_a_folder_of_another_run_is_refused(
    files: dict[str, Path], encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = command("train", "burn-scars", files["burn-scars"], encoder, tmp_path)
    assert main(run) == 0
    assert main([*run, "--set", "training.rate=0.002"]) == 3
    assert "the folder holds a run with another task; choose another --out" in capsys.readouterr().err
    (tmp_path / "deflect-seed-0" / "report.json").write_text("[]")
    assert main(run) == 3
    assert "no report of a run" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_learned(
    files: dict[str, Path],
    encoder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("codec.adapt.tasks.run.train", lambda *_: pytest.fail("it learned"))
    (tmp_path / "file").write_text("no folder")
    assert main(command("train", "burn-scars", files["burn-scars"], encoder, tmp_path / "file" / "out")) == 3
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "cannot be written: Not a directory; choose a folder" in error


def test_another_encoder_cannot_take_the_adapter(
    files: dict[str, Path], encoder: Path, tmp_path: Path
) -> None:
    """What the command writes is bound to what it was trained on."""
    assert main(command("train", "brick-kiln", files["brick-kiln"], encoder, tmp_path)) == 0
    other = load_encoder(encoder)
    with torch.no_grad():
        other.norm.weight.add_(1.0)
    with pytest.raises(IdentityError, match="another base"):
        load_adapter(tmp_path / "deflect-seed-0" / "adapter.safetensors", other)
