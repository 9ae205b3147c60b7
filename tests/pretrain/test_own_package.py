"""A codec of one's own scenes around another package's encoder: what stays, what is new, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codec.models import EncoderConfig, save_encoder  # noqa: E402
from codec.package import Package, load, refresh  # noqa: E402
from codec.pretrain.__main__ import main  # noqa: E402
from tests.onboard.rgb_package import BANDS, build_rgb, seeded_encoder  # noqa: E402
from tests.pretrain.own_scenes import dn, write  # noqa: E402


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """With files that an own codec must not take over, as shipped packages have them."""
    folder = tmp_path_factory.mktemp("models") / "rgb-test"
    build_rgb(folder)
    for name in ("encoder.onnx", "decoder.onnx", "card.md"):
        (folder / name).write_bytes(b"of the old codec")
    (folder / "preview.npz").write_bytes(b"of the embedding spaces")
    return refresh(folder)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    return [write(folder / f"{seed}.tif", dn(300, 330, seed)) for seed in (21, 22)]


def arguments(old: Package, scenes: list[Path], out: Path, *more: object) -> list[str]:
    command = [
        "fit-codec",
        "--package",
        old.folder,
        "--scenes",
        *scenes,
        "--sensor",
        "rgb",
        "--out",
        out,
        *more,
    ]
    return [str(part) for part in command]


@pytest.fixture(scope="module")
def own(old: Package, scenes: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("own") / "mine"
    assert main(arguments(old, scenes, folder, "--name", "mine", "--licence", "CC0-1.0")) == 0
    return load(folder)


def test_the_spaces_stay_and_the_codec_is_another(old: Package, own: Package) -> None:
    assert own.space_ids == old.space_ids
    assert own.codec_id != old.codec_id
    assert (own.name, own.manifest.licence) == ("rgb-test-mine", old.manifest.licence)


def test_what_binds_to_spaces_is_taken_over_and_what_holds_the_old_codec_is_not(
    old: Package, own: Package
) -> None:
    kept = {"encoder.safetensors", "heads/thirds.onnx", "heads/thirds.json", "preview.npz"}
    assert set(own.manifest.files) == kept | {"tables.bin", "transform.npz"}
    assert {name: own.manifest.files[name] for name in kept} == {
        name: old.manifest.files[name] for name in kept
    }


def test_the_manifest_says_where_the_codec_comes_from(old: Package, own: Package) -> None:
    raw = own.manifest.raw
    assert raw["version"] == f"1.0+own.{old.codec_id.hex()}"
    note = raw["notes"]["own_codec"]
    assert (note["from_package"], note["scenes"], note["sensors"]) == ("rgb-test", 2, ["rgb"])
    assert note["windows"] == 2 * 10 * 11  # of 32 pixels in 300 × 330, the last row and column shifted inward
    assert {k for k, v in note["bytes_permille"].items() if v < 1000} == {
        "windows_left_out",
        "scenes_left_out",
    }
    assert raw["training_data"][-1] == {
        "name": "own scenes, of the codec alone: 21.tif, 22.tif",
        "licence": "CC0-1.0",
    }


def test_equal_scenes_give_an_equal_codec(
    old: Package, own: Package, scenes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, kept = tmp_path / "again", tmp_path / "planes.npz"
    assert main(arguments(old, scenes, out, "--keep", kept)) == 0
    again = load(out)
    assert again.codec_id == own.codec_id
    assert again.name == "rgb-test-rgb"  # after the sensor, where no name is given
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "fit-codec: 21.tif: 110 of 110 tiles wholly measured; rgb, blue green red"
    assert said[-1] == (
        "fit-codec: not taken over, since made with the old codec: card.md, decoder.onnx, encoder.onnx; next: "
        f"python -m onboard.export --engine fp32 --model {out} --into-package"
    )
    with np.load(kept) as planes:
        assert planes["tokens"].shape == (220 * 8, 4, 4, 24)  # without the tokens of the margin


def no_bands(folder: Path) -> list[object]:
    return [write(folder / "five.tif", np.tile(dn(64, 64, 1)[:1], (5, 1, 1)))]


def no_data(folder: Path) -> list[object]:
    return [write(folder / "empty.tif", np.zeros((3, 300, 300), np.uint8))]


def one_window(folder: Path) -> list[object]:
    return [write(folder / "small.tif", dn(40, 40, 2))]


def nothing_there(folder: Path) -> list[object]:
    return [folder / "nowhere.tif"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (no_bands, ("five.tif", "band")),
        (no_data, ("empty.tif", "nodata")),
        (one_window, ("too few windows", "at least 64", "4 of 4 in small.tif")),
        (nothing_there, ("nowhere.tif", "no such file")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_scenes_that_no_codec_can_be_fitted_to_are_one_line_and_leave_nothing(
    old: Package,
    given: object,
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "own"
    paths = given(tmp_path)  # type: ignore[operator]
    refused(main(arguments(old, paths, out)), 3, capsys, *words)
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))


def refused(code: int, expected: int, capsys: pytest.CaptureFixture[str], *words: str) -> None:
    captured = capsys.readouterr()
    assert code == expected, captured.err
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    for word in words:
        assert word in captured.err


def test_an_output_that_is_there_is_refused_and_stays(
    old: Package, scenes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "own"
    out.mkdir()
    (out / "manifest.json").write_text("mine")
    refused(main(arguments(old, scenes, out)), 3, capsys, str(out), "there already")
    assert [path.name for path in out.iterdir()] == ["manifest.json"]
    assert (out / "manifest.json").read_text() == "mine"


def copied(old: Package, folder: Path) -> Path:
    return Path(shutil.copytree(old.folder, folder / "copy"))


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (EncoderConfig(bands=BANDS, tile=48, patch=8, width=48, depth=2, heads=3), "plane tokens"),
        (EncoderConfig(bands=BANDS, tile=64, patch=8, width=24, depth=2, heads=3), "pixels a side"),
        (EncoderConfig(bands=(*BANDS, "nir"), tile=48, patch=8, width=24, depth=2, heads=3), "bands"),
    ],
    ids=["wider", "larger tiles", "a band more"],
)
def test_an_encoder_of_another_architecture_is_refused(
    old: Package,
    scenes: list[Path],
    config: EncoderConfig,
    what: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = copied(old, tmp_path)
    save_encoder(seeded_encoder(config), folder / "encoder.safetensors")
    other, out = refresh(folder), tmp_path / "own"
    refused(main(arguments(other, scenes, out)), 3, capsys, "another architecture", what)
    assert not out.exists()


def test_a_package_without_an_encoder_is_refused(
    old: Package, scenes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(old, tmp_path)
    (folder / "encoder.safetensors").unlink()
    raw = json.loads((folder / "manifest.json").read_text())
    del raw["files"]["encoder.safetensors"]  # its hash stays: the spaces are the same
    (folder / "manifest.json").write_text(json.dumps(raw))
    refused(main(arguments(load(folder), scenes, tmp_path / "own")), 3, capsys, "has no encoder.safetensors")


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--name", "Mine"], "--name"),
        (["--refinements", "2"], "--refinements does not go with --scenes"),
        (["--band", "red"], "NAME=PLACE"),
        (["--sun-elevation", "40", "41", "42"], "expected 1 or 2, found 3"),
    ],
)
def test_options_that_do_not_fit_are_a_usage_error(
    old: Package,
    scenes: list[Path],
    more: list[str],
    word: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refused(main(arguments(old, scenes, tmp_path / "own", *more)), 2, capsys, word)


def test_options_of_own_scenes_do_not_go_with_the_collection(
    old: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fit-codec", "--package", str(old.folder), "--data", str(tmp_path), "--name", "mine"]
    refused(main(command), 2, capsys, "--name does not go with --data")


def test_a_codec_that_saves_nothing_is_refused(
    own: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of tiles in turns as the codec at hand knows them, and flat: the halves, each eight tiles in a row of the
    picture, say nothing of each other.
    """
    pixels = dn(256, 256, 21)
    for row in range(0, 256, 64):
        pixels[:, row : row + 32] = np.arange(60, 188, 16, dtype=np.uint8).repeat(32)[None, None]
    out = tmp_path / "again"
    command = arguments(own, [write(tmp_path / "rows.tif", pixels)], out)
    refused(main(command), 3, capsys, "more bytes for windows of them that it has not seen", "64 windows")
    assert not out.exists()
