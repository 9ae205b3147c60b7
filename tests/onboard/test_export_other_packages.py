"""Packages of other bands and sizes, and packages that are not what they say: exported, or refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import onnx  # noqa: E402

from codec.errors import ExitCode  # noqa: E402
from codec.models import EncoderConfig, save_encoder  # noqa: E402
from codec.package import Package, load, refresh  # noqa: E402
from onboard import export as module  # noqa: E402
from onboard.engine_package import engine_for, open_engine_package  # noqa: E402
from onboard.export import encoder_graph, main  # noqa: E402
from onboard.parity_tiles import parity_tiles, procedural  # noqa: E402
from tests.onboard.rgb_package import BANDS, CONFIG, build_rgb, seeded_encoder  # noqa: E402


@pytest.fixture(scope="module")
def rgb(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build_rgb(tmp_path_factory.mktemp("models") / "rgb-test")


@pytest.fixture(scope="module")
def traced_once(rgb: Package) -> bytes:
    return bytes(module.trace(rgb).SerializeToString())


@pytest.fixture
def quick_trace(traced_once: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter of torch takes seconds, and gives the same graph for the same weights."""
    monkeypatch.setattr(module, "trace", lambda package: onnx.load_from_string(traced_once))


@pytest.fixture
def copy(rgb: Package, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rgb.folder, tmp_path / "rgb-test"))


@pytest.fixture
def without_samples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a machine where no sample scene is installed."""
    monkeypatch.setenv("SWATHPACK_DEMO_DATA", str(tmp_path / "no samples"))


@pytest.mark.parametrize("engine", ["fp32", "int8"])
@pytest.mark.usefixtures("without_samples", "quick_trace")
def test_three_bands_another_tile_and_a_margin_are_exported(
    rgb: Package, tmp_path: Path, engine: str
) -> None:
    out = tmp_path / "engine"
    # Weights nobody trained have no use for 8 bits; whether they pass is not the question here.
    assert main(["--model", str(rgb.folder), "--out", str(out), "--engine", engine, "--force"]) == 0
    report = json.loads((out / "parity.json").read_text())
    assert (report["tiles"]["real"], report["tiles"]["n"]) == (False, 200)
    assert [head["head"] for head in report["default"]["heads"]] == ["thirds"]
    if engine == "fp32":
        assert report["reasons"] == []
    found = open_engine_package(out, rgb)
    assert found.input_shape == (3, 48, 48)
    tiles = procedural(rgb, 8)
    latents = found.run(tiles.pixels, tiles.bands, tiles.validity)
    assert {name: values.shape for name, values in latents.items()} == {
        "tokens": (8, 24, 16),
        "spectral": (8, 3, 16),
    }
    whole = tiles.validity.all(axis=(1, 2))
    assert whole.any()
    with torch.inference_mode():
        grids = seeded_encoder()(*(torch.from_numpy(x) for x in (tiles.pixels, tiles.bands, tiles.validity)))
    for name, grid in grids.items():
        expected = rgb.transforms[name].analyse(grid[:, 1:5, 1:5].numpy())[whole]
        error = np.sqrt(np.square(latents[name][whole] - expected).mean() / np.square(expected).mean())
        assert error < {"fp32": 1e-5, "int8": 0.05}[engine], name


def test_the_graph_goes_into_the_package_when_asked(
    copy: Path, without_samples: None, tmp_path: Path
) -> None:
    assert main(["--model", str(copy), "--out", str(tmp_path / "engine"), "--into-package"]) == 0
    package = load(copy)  # hashes included
    assert package.path("encoder.onnx").read_bytes() == (tmp_path / "engine" / "encoder.onnx").read_bytes()
    assert engine_for(package).planes == ("tokens", "spectral")


def _not_finite(folder: Path) -> None:
    encoder = seeded_encoder()
    encoder.blocks[0].fc1.weight[0, 0] = float("nan")
    save_encoder(encoder, folder / "encoder.safetensors")
    refresh(folder)


def _other(**changes: object) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        fields = {"bands": BANDS, "tile": 48, "patch": 8, "width": 24, "depth": 2, "heads": 3, **changes}
        save_encoder(seeded_encoder(EncoderConfig(**fields)), folder / "encoder.safetensors")  # type: ignore[arg-type]
        refresh(folder)

    return put


def _tampered(folder: Path) -> None:
    data = bytearray((folder / "encoder.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "encoder.safetensors").write_bytes(data)


def _no_weights(folder: Path) -> None:
    (folder / "encoder.safetensors").unlink()
    refresh(folder)


def _text(folder: Path) -> None:
    (folder / "encoder.safetensors").write_bytes(b"weights")
    refresh(folder)


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (_not_finite, ExitCode.BAD_INPUT, "blocks.0.fc1.weight holds values that are not finite"),
        (_other(width=36), ExitCode.BAD_INPUT, "another architecture than the package: tokens"),
        (_other(bands=("blue", "green", "red", "nir")), ExitCode.BAD_INPUT, "another architecture than the package: bands"),
        (_other(bands=("red", "green", "blue")), ExitCode.BAD_INPUT, "another architecture than the package: bands"),
        (_other(tile=64), ExitCode.BAD_INPUT, "another architecture than the package: pixels a side"),
        (_other(patch=4), ExitCode.BAD_INPUT, "another architecture than the package: patch"),
        (_tampered, ExitCode.INTEGRITY, "the SHA-256 differs from the manifest"),
        (_no_weights, ExitCode.IDENTITY, "has no encoder.safetensors"),
        (_text, ExitCode.INTEGRITY, "not an encoder file"),
    ],
    ids=["not finite", "width", "more bands", "order of bands", "tile", "patch", "tampered", "none", "text"],
)  # fmt: skip
@pytest.mark.usefixtures("without_samples")
def test_weights_that_do_not_belong_are_refused_and_nothing_is_written(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], code: ExitCode,
    words: str,
) -> None:  # fmt: skip
    spoil(copy)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert main(["--model", str(copy), "--out", str(tmp_path / "engine"), "--into-package"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert words in err
    assert not (tmp_path / "engine").exists()
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_more_depth_is_not_the_packages_business(copy: Path) -> None:
    """Only what the planes show is checked: a deeper encoder of the same widths is another encoder, by its hash."""
    _other(depth=3)(copy)
    assert len(encoder_graph(load(copy)).encoder.blocks) == 3  # type: ignore[union-attr, arg-type]


@pytest.mark.usefixtures("without_samples", "quick_trace")
def test_an_engine_that_fails_does_not_go_into_the_package(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    real = module.engine_latents
    monkeypatch.setattr(
        module, "engine_latents", lambda *args: {name: 1.1 * v for name, v in real(*args).items()}
    )
    arguments = ["--model", str(copy), "--out", str(tmp_path / "engine"), "--into-package"]
    assert main(arguments) == ExitCode.BAD_INPUT
    assert "is not the model" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == ExitCode.BAD_INPUT
    assert "does not go into the package" in capsys.readouterr().err
    assert not (copy / "encoder.onnx").exists()
    assert json.loads((tmp_path / "engine" / "parity.json").read_text())["passed"] is False


def test_calibration_by_another_sensor_is_refused(
    rgb: Package, without_samples: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Proven on red, green and blue; calibrated on a scene that has no red."""
    from tests.swathpack.small_scene import pixels, write_scene

    name = "S2A_MSIL2A_20180506T101031_N0207_R022_T32TPR_20180506T130000"
    proof = write_scene(tmp_path / f"{name}.tif", pixels()[:3], names=("blue", "green", "red"))
    (tmp_path / "other").mkdir()
    other = write_scene(tmp_path / "other" / f"{name}.tif", pixels()[:2], names=("blue", "green"))
    arguments = ["--model", str(rgb.folder), "--engine", "int8", "--out", str(tmp_path / "engine")]
    code = main([*arguments, "--tiles", str(proof), "--calibration", str(other)])
    assert (code, (tmp_path / "engine").exists()) == (ExitCode.BAD_INPUT, False)
    assert "the calibration set is of another sensor: it has no band red" in capsys.readouterr().err


def test_a_calibration_scene_without_any_band_or_pixel_is_refused(
    rgb: Package, without_samples: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.swathpack.small_scene import pixels, write_scene

    name = "S2A_MSIL2A_20180506T101031_N0207_R022_T32TPR_20180506T130000.tif"
    swir = write_scene(tmp_path / name, pixels()[4:], names=("swir16", "swir22"))
    (tmp_path / "empty").mkdir()
    empty = write_scene(tmp_path / "empty" / name, 0 * pixels()[:3], names=("blue", "green", "red"))
    for scene in (swir, empty, tmp_path / "absent.tif"):
        arguments = ["--model", str(rgb.folder), "--engine", "int8", "--out", str(tmp_path / "engine")]
        assert main([*arguments, "--calibration", str(scene)]) == ExitCode.BAD_INPUT
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        assert not (tmp_path / "engine").exists()


def test_real_tiles_need_only_the_bands_that_are_there(rgb: Package, root: Path) -> None:
    if not (root / ".demo-data" / ".stamp").exists():
        pytest.skip("the sample scenes are not installed: make setup")
    tiles = parity_tiles(rgb)
    assert tiles.real
    assert len(tiles) >= 200
    assert tiles.pixels.shape[1:] == (3, 48, 48)
    assert (tiles.bands == 1).all()


def test_the_configuration_is_the_one_meant() -> None:
    assert (CONFIG.tile, CONFIG.side, CONFIG.width) == (48, 6, 24)
