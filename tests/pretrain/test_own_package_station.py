"""A station that has a package and one with a codec of its owner's scenes reads files of both, by the id in the file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from codec.errors import ExitCode  # noqa: E402
from codec.models import embed, load_encoder  # noqa: E402
from codec.package import load  # noqa: E402
from codec.pretrain.__main__ import main as pretrain  # noqa: E402
from codec.pretrain.own_windows import OwnScene, read_windows  # noqa: E402
from onboard.export import main as export  # noqa: E402
from swathpack.cli import main as swathpack  # noqa: E402
from tests.onboard.rgb_package import BANDS, LAYOUT, build_rgb  # noqa: E402
from tests.pretrain.own_scenes import dn, write  # noqa: E402

_SIDE = 160  # pixels of the scene that is sent: 5 × 5 tiles of 32


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages: the old one, and one fitted to two scenes by the command, both with their graphs."""
    root = tmp_path_factory.mktemp("models")
    build_rgb(root / "rgb-test")
    scenes = [write(root.parent / f"{seed}.tif", dn(300, 330, seed)) for seed in (21, 22)]
    command = ["fit-codec", "--package", root / "rgb-test", "--scenes", *scenes, "--sensor", "rgb"]
    command += ["--name", "mine", "--out", root / "rgb-test-mine"]
    assert pretrain([str(part) for part in command]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWATHPACK_DEMO_DATA", str(root / "no samples"))
        for name in ("rgb-test", "rgb-test-mine"):
            out = root.parent / f"{name}-engine"
            # The command that `fit-codec` says to run next.
            assert (
                export(["--engine", "fp32", "--model", str(root / name), "--into-package", "--out", str(out)])
                == 0
            )
    return root


@pytest.fixture(scope="module")
def scene(models: Path) -> Path:
    """A third scene of the same sensor."""
    return write(models.parent / "third.tif", dn(_SIDE, _SIDE, 23))


def encoded(models: Path, name: str, scene: Path, *options: str) -> Path:
    file = models.parent / f"{name}{''.join(options)}.nec"
    command = [
        "encode",
        str(scene),
        "-o",
        str(file),
        "--sensor",
        "rgb",
        "--model",
        str(models / name),
        *options,
    ]
    assert swathpack(command) == 0
    return file


def decoded(models: Path, file: Path) -> np.ndarray:
    """Tokens N×h×w×C of a file, by the packages in the folder alone."""
    out = file.with_suffix(".npz")
    assert swathpack(["decode", str(file), "-o", str(out), "--models", str(models)]) == 0
    with np.load(io.BytesIO(out.read_bytes())) as arrays:
        return np.asarray(arrays["tokens"], np.float64)


@pytest.fixture(scope="module")
def truth(models: Path, scene: Path) -> np.ndarray:
    """What PyTorch says of the scene's tiles."""
    encoder = load_encoder(models / "rgb-test" / "encoder.safetensors")
    read = read_windows([OwnScene(scene, sensor="rgb")], BANDS, core=LAYOUT.core, margin=LAYOUT.margin)
    return embed(encoder, read.tiles)["tokens"][:, 1:5, 1:5].astype(np.float64)


def relative_error(found: np.ndarray, truth: np.ndarray) -> float:
    spread = truth - truth.mean(axis=(0, 1, 2))
    return float(np.square(found - truth).sum() / np.square(spread).sum())


def test_files_of_both_codecs_are_decoded_by_their_ids(models: Path, scene: Path, truth: np.ndarray) -> None:
    for name in ("rgb-test", "rgb-test-mine"):
        fine = str(load(models / name).ladder_indices[0] + 4)
        found = decoded(models, encoded(models, name, scene, "--quality", fine))
        assert relative_error(found, truth) < 0.01


def test_a_codec_of_its_own_scenes_errs_less_at_equal_bytes(
    models: Path, scene: Path, truth: np.ndarray
) -> None:
    errors, sizes = [], []
    for name in ("rgb-test", "rgb-test-mine"):
        file = encoded(models, name, scene, "--bytes-per-tile", "40")
        sizes.append(file.stat().st_size)
        errors.append(relative_error(decoded(models, file), truth))
    assert abs(sizes[1] / sizes[0] - 1) < 0.05
    assert errors[1] < errors[0]


def test_a_station_without_the_own_package_refuses_its_files_by_name(
    models: Path,
    scene: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SWATHPACK_MODELS", raising=False)
    file = encoded(models, "rgb-test-mine", scene)
    capsys.readouterr()
    command = ["decode", str(file), "-o", str(tmp_path / "a.npz"), "--models", str(models / "rgb-test")]
    assert swathpack(command) == ExitCode.IDENTITY
    assert load(models / "rgb-test-mine").codec_id.hex() in capsys.readouterr().err
    assert not (tmp_path / "a.npz").exists()
