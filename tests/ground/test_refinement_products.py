"""A station that refines says so; one that does not makes the products that it always made."""

from __future__ import annotations

import json
from pathlib import Path

import ground_scene
import numpy as np
import pytest
import rasterio
from ground_scene import TinyScene

from codec import pipeline
from codec.bitstream.header import FileHeader
from codec.bitstream.reader import read_bytes
from codec.package import Package, load
from ground.config import GroundConfig
from ground.daemon import serve


@pytest.fixture(scope="module")
def refining(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A tiny package with a refinement whose weights do something."""
    torch = pytest.importorskip("torch")
    from codec.nec.refinement.degraded import Windows
    from codec.nec.refinement.export import trace
    from codec.nec.refinement.install import install
    from codec.nec.refinement.recipe import Recipe
    from codec.nec.refinement.run import Run
    from codec.nec.refinement.session import transform_of

    folder = tmp_path_factory.mktemp("refining")
    package = ground_scene.build_package(folder / "tiny")
    n = 32
    planes = {
        "tokens": ground_scene.smooth_embeddings(n, ground_scene.CHANNELS, 5),
        "spectral": ground_scene.smooth_embeddings(n, 2, 6),
    }
    recipe = Recipe(width=16, heads=2, hidden=16, condition=8, finest_bytes=80, coarsest_bytes=10)
    side = ground_scene.TOKENS
    run = Run(Windows.of(package, planes, np.ones((n, side, side), bool), recipe), recipe)
    with torch.no_grad():
        for p in run.network.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    graph = trace(run.network, ["tokens", "spectral"], transform_of(package))
    (folder / "made.onnx").write_bytes(graph)
    return install(folder / "tiny", folder / "made.onnx")


def make(station: Path, models: Path, nec: bytes, **options: bool) -> Path:
    (station / "inbox").mkdir(parents=True)
    (station / "inbox" / "a.nec").write_bytes(nec)
    serve(GroundConfig(station=station, models=(models,), once=True, embeddings=True, **options))
    return station / "products" / FileHeader.decode(nec)[0].file_id.hex() / "current"


def values(folder: Path) -> np.ndarray:
    with rasterio.open(folder / "tokens.tif") as raster:
        return raster.read()


def test_a_refining_station_uses_the_packages_graph_and_reports_it(refining: Package, tmp_path: Path) -> None:
    scene: TinyScene = ground_scene.make_scene(load(refining.folder))
    models = refining.folder.parent
    plain = make(tmp_path / "plain", models, scene.nec)
    refined = make(tmp_path / "refined", models, scene.nec, refine=True)
    assert "refinement" not in json.loads((plain / "report.json").read_text())
    assert json.loads((refined / "report.json").read_text())["refinement"] == "refined"
    before, after = values(plain), values(refined)
    assert np.array_equal(np.isnan(before), np.isnan(after))  # what was not measured, or not received
    assert np.nanmax(np.abs(after - before)) > 0.01
    assert plain.resolve().name != refined.resolve().name  # other products, another version
    from codec.nec.refinement.session import refinement_of

    file = read_bytes(scene.nec)
    expected = pipeline.decode(
        refining, file.header, [r.data for r in file.records], refine=refinement_of(refining)
    ).embeddings["tokens"]
    assert np.isclose(np.nanmax(after), expected.values[expected.validity].max(), atol=1e-5)


def test_a_package_without_a_refinement_is_used_as_it_is_and_that_is_said(
    models: Path, scene: TinyScene, tmp_path: Path
) -> None:
    plain = make(tmp_path / "plain", models, scene.nec)
    asked = make(tmp_path / "asked", models, scene.nec, refine=True)
    report = json.loads((asked / "report.json").read_text())
    assert report["refinement"] == "not refined: the package has no decoder.onnx"
    assert np.array_equal(values(plain), values(asked), equal_nan=True)


def test_a_station_without_onnxruntime_decodes_and_says_where_it_stopped(
    refining: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime stays installed (the report names its version) and refuses to open the graph."""
    from codec.errors import BackendUnavailable
    from codec.nec.refinement import session

    def absent(*_: object, **__: object) -> None:
        raise BackendUnavailable("onnxruntime is not installed", fix="pip install 'swathpack[onboard]'")

    monkeypatch.setattr(session, "open_session", absent)
    scene = ground_scene.make_scene(load(refining.folder))
    folder = make(tmp_path / "station", refining.folder.parent, scene.nec, refine=True)
    said = json.loads((folder / "report.json").read_text())["refinement"]
    assert said.startswith("stopped before the refinement: onnxruntime is not installed")
