"""Drift in the station's report, the painted preview among its products, and heads on a refitted package."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import ground_scene
import numpy as np
import pytest
import rasterio
from PIL import Image

from codec.bitstream.reader import read_bytes
from codec.errors import ExitCode
from codec.package import Package, load, refresh
from codec.pipeline import encode
from codec.pipeline.preview import NAME, SYNTHETIC, Preview, decode
from codec.pipeline.received import symbols_of
from codec.pipeline.refit import refit_tables, write_refitted
from codec.types import Latent, TileGrid
from ground.config import GroundConfig
from ground.daemon import serve
from ground.heads import load_heads


def published(station: Path, models: Path, *files: bytes) -> Path:
    """The products of one file, as the daemon publishes them."""
    for number, data in enumerate(files):
        (station / "inbox" / f"{number}.nec").write_bytes(data)
    assert serve(GroundConfig(station=station, models=(models,), once=True)) == ExitCode.OK
    (current,) = (station / "products").glob("*/current")
    return current


def report_of(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def drifting(package: Package, scale: float) -> bytes:
    """The tables' own mean and shape, another scale."""
    grid = TileGrid(12 * ground_scene.CORE, 12 * ground_scene.CORE, ground_scene.CORE, ground_scene.CORE)
    latents = []
    for i, (name, channels, seed) in enumerate((("tokens", ground_scene.CHANNELS, 1), ("spectral", 2, 101))):
        x = ground_scene.smooth_embeddings(grid.n_tiles, channels, seed)
        validity = np.ones(x.shape[:3], bool)
        latents.append(Latent(i, package.transforms[name].analyse(x) * np.float32(scale), validity))
    return encode(
        package, latents, grid=grid, georeference=ground_scene.UTM_21S, sensor="rgb", band_mask=0b111,
        time_us=ground_scene.SENSED_US,
    )  # fmt: skip


def test_the_report_says_what_drifted(package: Package, models: Path, station: Path) -> None:
    drift = report_of(published(station, models, drifting(package, 2.5)))["drift"]
    assert drift["judged"] is True
    whole = next(
        r for r in drift["rows"] if r["plane"] == "tokens" and r["layer"] is None and not r["channel"]
    )
    assert whole["flag"] == "more"
    assert whole["low"] > 0.05
    assert drift["flagged"] >= 1


def test_a_small_file_is_not_judged(scene: ground_scene.TinyScene, models: Path, station: Path) -> None:
    drift = report_of(published(station, models, scene.nec))["drift"]
    assert (drift["judged"], drift["flagged"]) == (False, 0)


def test_drift_does_not_depend_on_how_records_came(
    package: Package, models: Path, station: Path, tmp_path: Path
) -> None:
    data = drifting(package, 1.5)
    file = read_bytes(data)
    shuffled = file.header.encode() + b"".join(r.data for r in reversed(file.scan.records))
    first = report_of(published(station, models, data))
    other = tmp_path / "station"
    (other / "inbox").mkdir(parents=True)
    (other / "inbox" / "0.nec").write_bytes(shuffled)
    serve(GroundConfig(station=other, models=(models,), once=True))
    (current,) = (other / "products").glob("*/current")
    assert report_of(current)["drift"] == first["drift"]


@pytest.fixture
def painted(package: Package, tmp_path: Path) -> Path:
    """A folder with the tiny package and a preview in it: red is the first channel of the tokens."""
    folder = tmp_path / "models" / "tiny"
    shutil.copytree(package.folder, folder)
    inputs = ground_scene.CHANNELS + 2
    weights = np.zeros((inputs + 1, ground_scene.PATCH**2, 3), np.float32)
    weights[0, :, 2] = 0.1
    weights[-1] = 0.3
    preview = Preview(
        tuple((name, package.space_ids[name]) for name in ("tokens", "spectral")), ("blue", "green", "red"),
        ground_scene.PATCH, np.zeros(inputs, np.float32), np.ones(inputs, np.float32),
        weights.reshape(inputs + 1, -1), {}, "nothing",
    )  # fmt: skip
    (folder / NAME).write_bytes(preview.encode())
    refresh(folder)
    return folder.parent


def test_a_package_with_a_preview_gets_pictures_that_say_so(
    scene: ground_scene.TinyScene, painted: Path, station: Path
) -> None:
    folder = published(station, painted, scene.nec)
    report = report_of(folder)
    assert report["preview"]["synthetic"] == SYNTHETIC
    assert {"preview.tif", "preview.png"} <= set(report["products"])
    with rasterio.open(folder / "preview.tif") as raster:
        assert raster.tags()["SWATHPACK_SYNTHETIC"] == SYNTHETIC
        assert raster.descriptions == ("blue (synthetic)", "green (synthetic)", "red (synthetic)")
        assert (raster.height, raster.width) == (scene.grid.height, scene.grid.width)
        assert (raster.read(1)[raster.read_masks(1) > 0] == 3000).all()  # 0.3 everywhere
        assert (raster.read_masks(1)[:, 32:64][:32] == 0).all()  # tile 1 is masked
    with Image.open(io.BytesIO((folder / "preview.png").read_bytes())) as image:
        assert image.text["Comment"] == SYNTHETIC  # type: ignore[attr-defined]


def test_without_one_nothing_is_painted(scene: ground_scene.TinyScene, models: Path, station: Path) -> None:
    folder = published(station, models, scene.nec)
    assert "preview" not in report_of(folder)
    assert not list(folder.glob("preview.*"))


def test_a_preview_makes_another_version(
    scene: ground_scene.TinyScene, models: Path, painted: Path, station: Path, tmp_path: Path
) -> None:
    plain = published(station, models, scene.nec).resolve().name
    other = tmp_path / "station"
    (other / "inbox").mkdir(parents=True)
    assert published(other, painted, scene.nec).resolve().name != plain


def test_a_preview_of_another_space_is_named_and_left_out(
    scene: ground_scene.TinyScene, painted: Path, station: Path
) -> None:
    folder = painted / "tiny"
    strange = replace(
        decode((folder / NAME).read_bytes()), planes=(("tokens", bytes(8)), ("spectral", bytes(8)))
    )
    (folder / NAME).write_bytes(strange.encode())
    refresh(folder)
    report = report_of(published(station, painted, scene.nec))
    assert any("another space" in line for line in report["left_out"])
    assert "preview.tif" not in report["products"]


def test_heads_bind_to_a_refitted_package(package: Package, station: Path, tmp_path: Path) -> None:
    data = drifting(package, 2.5)
    file = read_bytes(data)
    received = [symbols_of(package, file.header, [r.data for r in file.scan.records])]
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    refitted = write_refitted(package, refit_tables(package, received), received, folder)
    assert refitted.codec_id != package.codec_id
    assert [h.sha256 for h in load_heads(refitted)] == [h.sha256 for h in load_heads(package)]
    report = report_of(published(station, tmp_path / "models", drifting(load(folder), 2.5)))
    assert report["codec_id"] == refitted.codec_id.hex()
    assert {head["name"] for head in report["heads"]} == {"cover", "kind"}
    assert not any("trained on other" in line for line in report["left_out"])
