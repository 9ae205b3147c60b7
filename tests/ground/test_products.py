"""What a user gets: right values at the right place on the map, and what is missing is named."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import ground_scene
import numpy as np
import pytest
import rasterio
from ground_scene import CLASSES, CORE, PATCH, TinyScene
from PIL import Image

from codec import pipeline
from codec.bitstream.header import FileHeader
from codec.bitstream.reader import read_bytes
from codec.errors import ExitCode
from codec.package import Package
from codec.types import Georeference
from ground.config import GroundConfig
from ground.daemon import serve


def make(station: Path, models: Path, nec: bytes, **options: object) -> Path:
    """Drop a file, run, and give the folder of its current products."""
    (station / "inbox").mkdir(parents=True)
    (station / "inbox" / "a.nec").write_bytes(nec)
    serve(GroundConfig(station=station, models=(models,), once=True, **options))  # type: ignore[arg-type]
    return station / "products" / FileHeader.decode(nec)[0].file_id.hex() / "current"


@pytest.fixture(scope="module")
def folder(memory: Path, models: Path, scene: TinyScene) -> Path:
    return make(memory / "whole", models, scene.nec, embeddings=True)


@pytest.fixture(scope="module")
def decoded(scene: TinyScene) -> pipeline.Decoded:
    nec = read_bytes(scene.nec)
    return pipeline.decode(scene.package, nec.header, [record.data for record in nec.records])


def test_the_class_map_lies_where_the_scene_lies(folder: Path, scene: TinyScene) -> None:
    with rasterio.open(folder / "cover.tif") as raster:
        assert raster.crs.to_epsg() == 32721
        # 10 m pixels, one map cell for each 8 × 8 of them, the corner of the scene
        assert tuple(raster.transform)[:6] == (80.0, 0.0, 500_000.0, 0.0, -80.0, 7_000_000.0)
        assert (raster.height, raster.width) == (scene.grid.height // PATCH, scene.grid.width // PATCH)
        assert raster.nodata == 255
        assert raster.descriptions == ("class", "layers_in_order")
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert [raster.tags()[f"CLASS_{i}"] for i in range(3)] == list(CLASSES)


def test_the_class_of_each_cell_is_that_of_its_token(
    folder: Path, scene: TinyScene, decoded: pipeline.Decoded
) -> None:
    """Computed here from the decoded tokens and the head's weights, cell by cell, with the owner of each cell."""
    tokens = decoded.embeddings["tokens"]
    scores = tokens.values @ ground_scene.token_weights(1)
    with rasterio.open(folder / "cover.tif") as raster:
        classes, layers = raster.read()
    side = CORE // PATCH
    for row in range(classes.shape[0]):
        for col in range(classes.shape[1]):
            tile = (row // side) * scene.grid.n_cols + col // side
            first_row, first_col = (origin // PATCH for origin in scene.grid.origin(tile))
            token = tile, row - first_row, col - first_col
            if tokens.validity[token]:
                assert classes[row, col] == scores[token].argmax()
                assert layers[row, col] == 3
            else:
                assert (classes[row, col], layers[row, col]) == (255, 255)
    assert set(np.unique(classes)) > {255}


def test_masked_tokens_are_nodata_in_every_map(folder: Path, scene: TinyScene) -> None:
    masked = np.zeros((8, 10), bool)
    masked[0:4, 4:8] = True  # tile 1, wholly
    masked[0, 0:2] = True  # tile 0, two tokens
    for name, invalid in (("cover.tif", 255), ("layers.tif", 255)):
        with rasterio.open(folder / name) as raster:
            assert np.array_equal(raster.read(1) == invalid, masked), name
    with rasterio.open(folder / "tokens.tif") as raster:
        assert np.array_equal(np.isnan(raster.read(1)), masked)
    with rasterio.open(folder / "embedding_rgb.tif") as raster:
        assert np.array_equal(raster.read(4) == 0, masked)
    for name in ("cover.png", "embedding.png", "layers.png"):
        alpha = np.asarray(Image.open(io.BytesIO((folder / name).read_bytes())))[..., 3]
        step = alpha.shape[0] // 8
        assert np.array_equal(alpha[step // 2 :: step, step // 2 :: step] == 0, masked), name


def test_the_embedding_raster_holds_the_decoded_tokens(folder: Path, decoded: pipeline.Decoded) -> None:
    with rasterio.open(folder / "tokens.tif") as raster:
        assert raster.descriptions[0] == "tokens_0"
        values = raster.read()
    assert np.array_equal(values[:, 4:8, 0:4].transpose(1, 2, 0), decoded.embeddings["tokens"].values[3])


def test_the_tile_head_gives_footprints_that_cover_the_scene_once(folder: Path) -> None:
    collection = json.loads((folder / "kind.geojson").read_text())
    pixels = np.zeros((64, 80), int)
    for feature in collection["features"]:
        top, left, bottom, right = feature["properties"]["pixels"]
        pixels[top:bottom, left:right] += 1
        assert feature["properties"]["class"] in CLASSES
        assert sum(feature["properties"]["probabilities"].values()) == pytest.approx(1, abs=2e-4)
    expected = np.ones((64, 80), int)
    expected[0:32, 32:64] = 0  # tile 1 is wholly masked
    assert np.array_equal(pixels, expected)


def test_footprints_are_counter_clockwise_longitude_latitude(
    memory: Path, models: Path, package: Package
) -> None:
    """In EPSG:4326 the corners follow by hand from the transform."""
    where = Georeference((0.001, 0.0, 10.0, 0.0, -0.001, 50.0), epsg=4326)
    scene = ground_scene.make_scene(package, rows=1, cols=1, georeference=where)
    grid = scene.grid
    folder = make(memory / "degrees", models, scene.nec)
    ring = json.loads((folder / "kind.geojson").read_text())["features"][0]["geometry"]["coordinates"][0]
    east, south = round(10 + 0.001 * grid.width, 7), round(50 - 0.001 * grid.height, 7)
    assert ring == [[10.0, 50.0], [10.0, south], [east, south], [east, 50.0], [10.0, 50.0]]
    item = json.loads((folder / "item.json").read_text())
    assert item["bbox"] == [10.0, south, east, 50.0]


def test_the_item_names_every_asset_with_its_checksum(folder: Path, scene: TinyScene) -> None:
    item = json.loads((folder / "item.json").read_text())
    assert (item["type"], item["stac_version"]) == ("Feature", "1.1.0")
    assert item["id"] == FileHeader.decode(scene.nec)[0].file_id.hex()
    properties = item["properties"]
    assert properties["datetime"] == "2023-11-14T22:13:20Z"
    assert properties["proj:code"] == "EPSG:32721"
    assert properties["proj:shape"] == [64, 80]
    assert properties["proj:transform"] == [10.0, 0.0, 500_000.0, 0.0, -10.0, 7_000_000.0, 0.0, 0.0, 1.0]
    names = {path.name for path in folder.iterdir()}
    assert set(item["assets"]) == names - {"item.json", "report.json"}
    for name, asset in item["assets"].items():
        data = (folder / name).read_bytes()
        assert asset["href"] == f"./{name}"
        assert asset["file:size"] == len(data)
        assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
    west, south, east, north = item["bbox"]
    # 500 km east of zone 21's central meridian of 57° W is the meridian itself; 3000 km from the equator, 27.1° S
    assert west == pytest.approx(-57.0, abs=1e-6)
    assert east == pytest.approx(-56.992, abs=1e-3)
    assert north == pytest.approx(-27.118, abs=1e-2)
    assert south < north


def test_the_report_counts_what_arrived(folder: Path, scene: TinyScene) -> None:
    report = json.loads((folder / "report.json").read_text())
    nec = read_bytes(scene.nec)
    assert report["records"]["intact"] == len(nec.records)
    assert report["records"]["bytes"] == sum(len(record.data) for record in nec.records)
    assert report["missing"] == []
    assert report["bands"] == ["blue", "green", "red"]
    tokens = report["planes"][0]
    assert (tokens["tiles_missing"], tokens["tiles_with_layer"]) == (0, [6, 6, 6])
    assert report["left_out"] == []
    assert set(report["versions"]) >= {"numpy", "gdal", "onnxruntime", "swathpack"}


def test_lost_layers_are_named_and_carried_into_the_maps(
    memory: Path, models: Path, scene: TinyScene
) -> None:
    """Layer 2 of the tokens is cut away: two of three layers everywhere, and the report says which is missing."""
    nec = read_bytes(scene.nec)
    kept = [r for r in nec.records if not (r.header.plane == 0 and r.header.layer == 2)]
    data = scene.nec[: nec.header.length] + b"".join(record.data for record in kept)
    folder = make(memory / "cut-layer", models, data)
    with rasterio.open(folder / "cover.tif") as raster:
        assert set(np.unique(raster.read(2))) == {2, 255}
    report = json.loads((folder / "report.json").read_text())
    assert report["missing"] == [{"plane": 0, "layer": 2, "first": 0, "count": 6}]


def test_layers_above_a_gap_do_not_count_in_the_map_and_are_named_in_the_table(
    memory: Path, models: Path, scene: TinyScene
) -> None:
    nec = read_bytes(scene.nec)
    kept = [r for r in nec.records if not (r.header.plane == 0 and r.header.layer == 1)]
    data = scene.nec[: nec.header.length] + b"".join(record.data for record in kept)
    folder = make(memory / "gap", models, data)
    with rasterio.open(folder / "layers.tif") as raster:
        assert set(np.unique(raster.read(1))) == {1, 255}
    features = json.loads((folder / "kind.geojson").read_text())["features"]
    assert {tuple(feature["properties"]["layers_received"]) for feature in features} == {(0, 2)}


def test_tiles_without_layer_0_are_missing_in_maps_though_other_layers_came(
    memory: Path, models: Path, scene: TinyScene
) -> None:
    nec = read_bytes(scene.nec)
    kept = [r for r in nec.records if not (r.header.plane == 0 and r.header.layer == 0)]
    data = scene.nec[: nec.header.length] + b"".join(record.data for record in kept)
    folder = make(memory / "no-layer-0", models, data)
    with rasterio.open(folder / "cover.tif") as raster:
        assert set(np.unique(raster.read(1))) == {255}
    with rasterio.open(folder / "layers.tif") as raster:
        assert set(np.unique(raster.read(1))) == {0}  # missing, not unmeasured
    assert json.loads((folder / "kind.geojson").read_text())["features"] == []


def test_without_a_crs_there_are_pictures_and_tables_and_no_maps(
    memory: Path, models: Path, package: Package
) -> None:
    nowhere = Georeference((1.0, 0.0, 0.0, 0.0, -1.0, 0.0))
    folder = make(memory / "nowhere", models, ground_scene.make_scene(package, georeference=nowhere).nec)
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "cover.png",
        "embedding.png",
        "layers.png",
        "quicklook.png",
        "kind.json",
        "report.json",
        "item.json",
    }
    report = json.loads((folder / "report.json").read_text())
    assert {line.split(":")[0] for line in report["left_out"]} == {
        "cover.tif", "embedding_rgb.tif", "layers.tif", "kind.geojson",
    }  # fmt: skip
    item = json.loads((folder / "item.json").read_text())
    assert item["geometry"] is None
    assert "bbox" not in item


def test_without_a_sensing_time_there_is_no_item_and_that_is_said(
    memory: Path, models: Path, package: Package
) -> None:
    folder = make(memory / "no-time", models, ground_scene.make_scene(package, time_us=-(2**63)).nec)
    assert not (folder / "item.json").exists()
    (line,) = json.loads((folder / "report.json").read_text())["left_out"]
    assert line.startswith("item.json: the file says no sensing time")


def test_a_head_of_another_space_is_left_out_by_name(memory: Path, scene: TinyScene) -> None:
    folder = memory / "other-models" / "tiny"
    package = ground_scene.build_package(folder)
    card = folder / "heads" / "cover.json"
    card.write_text(card.read_text().replace(package.space_ids["tokens"].hex(), "00" * 8))
    from codec.package import refresh

    refresh(folder)
    products = make(memory / "other-space", memory / "other-models", scene.nec)
    assert not (products / "cover.tif").exists()
    assert (products / "kind.geojson").exists()
    report = json.loads((products / "report.json").read_text())
    assert report["left_out"] == ["cover: trained on other embedding spaces"]


def test_products_do_not_depend_on_when_and_where_they_were_made(
    memory: Path, models: Path, scene: TinyScene, folder: Path
) -> None:
    station = memory / "elsewhere" / "deep"
    (station / "inbox").mkdir(parents=True)
    (station / "inbox" / "other-name.nec").write_bytes(scene.nec)
    config = GroundConfig(station=station, models=(models,), once=True, embeddings=True)
    assert serve(config, clock=lambda: 1) == ExitCode.OK
    again = station / "products" / folder.parent.name / "current"
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {
        p.name: p.read_bytes() for p in folder.iterdir()
    }
