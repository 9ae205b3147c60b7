"""`swathpack decode --refine`: what the package's network guesses, asked for by name and said in the output."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from codec import pipeline
from codec.nec.refinement.session import refinement_of
from codec.package import Package
from codec.types import Georeference, Latent, TileGrid
from swathpack.cli import main
from tests.nec.refinement.small_refinement import arrays

N = 24


@pytest.fixture(scope="module")
def nec(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    planes, validity = arrays()
    latents = [
        Latent(i, package.transforms[e.name].analyse(planes[e.name][:N], validity[:N]), validity[:N])
        for i, e in enumerate(package.planes)
    ]
    core = package.tile.core
    path = tmp_path_factory.mktemp("nec") / "scene.nec"
    path.write_bytes(
        pipeline.encode(
            package, latents, grid=TileGrid(N * core, core, core, core), sensor="test", band_mask=0, time_us=0,
            georeference=Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0)), target_bytes=120,
        )
    )  # fmt: skip
    return path


def decode(nec: Path, package: Package, out: Path, *options: str) -> int:
    return main(["decode", str(nec), "-o", str(out), "--models", str(package.folder), *options])


def test_the_archive_holds_what_the_network_makes_of_the_plain_one(
    nec: Path, installed: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert decode(nec, installed, tmp_path / "plain.npz") == 0
    assert ", refined" not in capsys.readouterr().err
    assert decode(nec, installed, tmp_path / "refined.npz", "--refine") == 0
    assert capsys.readouterr().err.rstrip().endswith(", refined")
    plain, refined = np.load(tmp_path / "plain.npz"), np.load(tmp_path / "refined.npz")
    file = pipeline.open_nec(nec, packages=installed)
    expected = pipeline.decode(
        installed, file.header, [r.data for r in file.file.records], refine=refinement_of(installed)
    ).embeddings["tokens"]
    assert np.array_equal(refined["tokens"], expected.values)
    assert np.abs(refined["tokens"] - plain["tokens"]).max() > 0.01
    assert json.loads(str(refined["georeference"]))["refinement"] == "refined"
    assert "refinement" not in json.loads(str(plain["georeference"]))


def test_a_package_without_a_network_is_an_error_and_nothing_is_written(
    nec: Path, package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert decode(nec, package, tmp_path / "refined.npz", "--refine") == 5
    assert "has no decoder.onnx" in capsys.readouterr().err
    assert not (tmp_path / "refined.npz").exists()


def test_without_onnxruntime_nothing_is_written_and_the_remedy_is_said(
    nec: Path,
    installed: Package,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert decode(nec, installed, tmp_path / "refined.npz", "--refine") == 8
    assert "install onnxruntime" in capsys.readouterr().err
    assert not (tmp_path / "refined.npz").exists()


def test_nothing_is_said_to_be_refined_where_nothing_arrived(
    nec: Path, installed: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = pipeline.open_nec(nec, packages=installed).header.encode()
    (tmp_path / "empty.nec").write_bytes(header)
    assert decode(tmp_path / "empty.nec", installed, tmp_path / "empty.npz", "--refine") == 6
    said = capsys.readouterr().err
    assert "0 records used" in said
    assert "refined" not in said
    assert "refinement" not in json.loads(str(np.load(tmp_path / "empty.npz")["georeference"]))
