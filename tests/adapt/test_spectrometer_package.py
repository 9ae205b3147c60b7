"""A spectrometer's 120 bands: an adapter learns them, and goes into package, graph, file and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("rasterio")
pytest.importorskip("onnxscript")

from codec.adapt import apply  # noqa: E402
from codec.adapt.files import save_adapter  # noqa: E402
from codec.adapt.spectra import interpolated, wavelength_names  # noqa: E402
from codec.adapt.training import Labelled, TaskRecipe, train  # noqa: E402
from codec.errors import ExitCode  # noqa: E402
from codec.models.bands import REFLECTANCE_MEAN, REFLECTANCE_SPREAD  # noqa: E402
from codec.models.weights import load_encoder  # noqa: E402
from codec.package import Package, load  # noqa: E402
from codec.package.files import sha256_of  # noqa: E402
from codec.pipeline import open_nec  # noqa: E402
from swathpack.cli import main as swathpack  # noqa: E402
from tests.adapt.adapted_files import BANDS, fields  # noqa: E402
from tests.onboard.rgb_package import build_rgb  # noqa: E402
from tests.swathpack.small_scene import write_scene  # noqa: E402

NARROW = wavelength_names(117, BANDS)
ALL = ("blue", "green", "red", *NARROW)


def cube(seed: int) -> npt.NDArray[np.uint16]:
    """DN of fields of six bands, with every narrow band interpolated between them."""
    six = fields(260, 280, seed)
    narrow = interpolated(six.astype(np.float32)[None], BANDS, NARROW)[0]
    return np.concatenate([six[:3], np.rint(narrow).astype(np.uint16)])


def spectra(path: Path, seed: int, names: tuple[str, ...] = ALL) -> Path:
    return write_scene(path, cube(seed)[[ALL.index(name) for name in names]], names=names)


def learned(base: Package, path: Path) -> Path:
    """DEFLECT that learned which tokens are brighter than others at the longest wavelength."""
    encoder = base.path("encoder.safetensors")
    adapted = apply(load_encoder(encoder), "deflect", ALL, uatt__rank=6, layers="all")
    side, patch = base.tile.core + 2 * base.tile.margin, adapted.patch
    pixels = (cube(30)[:, : 4 * side, : 4 * side] * 1e-4).astype(np.float32)
    tiles = pixels.reshape(len(ALL), 4, side, 4, side).transpose(1, 3, 0, 2, 4).reshape(16, -1, side, side)
    level = tiles[:, -1].reshape(16, side // patch, patch, side // patch, patch).mean((2, 4))
    data = Labelled(
        tiles,
        np.ones(tiles.shape[:2], np.bool_),
        np.ones((16, side, side), np.bool_),
        (level > np.median(level)).astype(np.int64),
        ("dark", "bright"),
    )
    train(adapted, data, TaskRecipe(steps=20, batch=8, rate=1e-2))
    assert all(value.any() for value in adapted.trained().values())  # what began at 0 has learned
    save_adapter(adapted, path, encoder_sha256=sha256_of(encoder), packing="int4")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Package:
    from codec.nec.adapted.__main__ import main
    from onboard.export import main as export

    folder = tmp_path_factory.mktemp("spectrometer")
    base = build_rgb(folder / "rgb")
    adapter = learned(base, folder / "narrow.safetensors")
    scenes = [str(spectra(folder / f"{seed}.tif", seed)) for seed in (31, 32, 33)]
    command = [
        "--package",
        str(base.folder),
        "--adapter",
        str(adapter),
        "--scenes",
        *scenes,
        "--out",
        str(folder / "new"),
    ]
    assert main([*command, "--sensor", "named-bands", "--threads", "1"]) == 0
    assert (
        export(
            [
                "--engine",
                "fp32",
                "--model",
                str(folder / "new"),
                "--into-package",
                "--out",
                str(folder / "engine"),
            ]
        )
        == 0
    )
    return load(folder / "new")


def test_the_package_has_every_band(made: Package) -> None:
    assert made.bands == ALL
    assert {p.name: p.spec.channels for p in made.planes}["spectral"] == len(ALL) == 120


@pytest.mark.parametrize("absent", [(), (5, 70, 119)], ids=["whole", "three absent"])
def test_a_file_says_which_bands_were_there_and_decodes(
    made: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str], absent: tuple[int, ...]
) -> None:
    there = tuple(name for i, name in enumerate(ALL) if i not in absent)
    scene, nec = spectra(tmp_path / "x.tif", 41, there), tmp_path / "x.nec"
    command = ["encode", str(scene), "--model", str(made.folder), "--sensor", "named-bands", "-o", str(nec)]
    assert swathpack(command) == 0
    capsys.readouterr()
    assert swathpack(["inspect", str(nec), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    mask = sum(1 << i for i in range(len(ALL)) if i not in absent)
    assert int(said["band_mask"], 16) == mask
    file = open_nec(nec, made)
    assert (file.header.band_mask, file.bands) == (mask, there)
    out = tmp_path / "x.npz"
    assert swathpack(["decode", str(nec), "--models", str(made.folder), "-o", str(out)]) == 0
    with np.load(out) as planes:
        spectral = planes["spectral"]
    assert spectral.shape[-1] == len(ALL) == 120
    # The spectral plane is what the scene shows, in units of the constants of normalisation.
    six = fields(260, 280, 41)
    red = (six[2, :256, :256] * 1e-4 - REFLECTANCE_MEAN["red"]) / REFLECTANCE_SPREAD["red"]
    means = red.reshape(32, 8, 32, 8).mean((1, 3))
    # 9 × 9 tiles of 4 × 4 tokens; the last row and column are shifted inward.
    cut = spectral[..., ALL.index("red")].reshape(9, 9, 4, 4)[:8, :8]
    found = cut.transpose(0, 2, 1, 3).reshape(32, 32)
    assert np.corrcoef(means.ravel(), found.ravel())[0, 1] > 0.99


def test_a_sensor_that_the_package_does_not_know_is_refused(
    made: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_scene(tmp_path / "y.tif", np.ones((1, 64, 64), np.uint16), names=("w2400",))
    command = [
        "encode",
        str(other),
        "--model",
        str(made.folder),
        "--sensor",
        "named-bands",
        "-o",
        str(tmp_path / "y.nec"),
    ]
    assert swathpack(command) == ExitCode.BAD_INPUT
    assert "the scene has no band of the model" in capsys.readouterr().err
