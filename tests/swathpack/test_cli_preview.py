"""`swathpack preview`: the file says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from codec.package import Package, load, refresh
from codec.pipeline.preview import NAME, SYNTHETIC
from codec.types import TileGrid
from tests.package.small_package import build_small
from tests.pipeline import small_scene
from tests.pipeline.test_painted_preview import make
from tests.swathpack.conftest import Cli

GRID = TileGrid(height=70, width=90, core_height=32, core_width=32)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Bands blue, green, red, nir; its preview paints red and nir."""
    folder = tmp_path_factory.mktemp("painted") / "small"
    build_small(folder)
    (folder / NAME).write_bytes(make(load(folder)).encode())
    return refresh(folder)


@pytest.fixture(scope="module")
def nec(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    validity = small_scene.all_valid(GRID.n_tiles)
    validity[4] = False
    given = small_scene.latents(package, small_scene.planes(GRID.n_tiles), validity)
    path = tmp_path_factory.mktemp("nec") / "scene.nec"
    path.write_bytes(small_scene.encode_scene(package, given, grid=GRID, band_mask=0b1111))
    return path


def test_the_raster_lies_on_the_scene_and_says_synthetic(
    cli: Cli, package: Package, nec: Path, tmp_path: Path
) -> None:
    ran = cli("preview", nec, "-o", tmp_path / "p.tif", "--models", package.folder)
    assert ran.code == 0, ran.err
    assert SYNTHETIC in ran.err
    assert "20.0 dB" in ran.err
    with rasterio.open(tmp_path / "p.tif") as raster:
        assert (raster.height, raster.width, raster.count) == (70, 90, 2)
        assert raster.transform[:6] == small_scene.GEOREFERENCE.transform
        assert raster.descriptions == ("red (synthetic)", "nir (synthetic)")
        assert raster.tags()["SWATHPACK_SYNTHETIC"] == SYNTHETIC
        assert "20.0 dB" in raster.tags()["SWATHPACK_SCORES"]
        values, mask = raster.read(), raster.read_masks(1)
    assert (mask[32:64, 32:64] == 0).all()  # tile 4 of 3×3 has no data
    assert (mask == 0).sum() == 32 * 32
    assert values[0][mask > 0].min() >= 1


def test_only_bands_that_the_scene_had_are_painted(cli: Cli, package: Package, tmp_path: Path) -> None:
    given = small_scene.latents(
        package, small_scene.planes(GRID.n_tiles), small_scene.all_valid(GRID.n_tiles)
    )
    path = tmp_path / "rgb.nec"
    path.write_bytes(small_scene.encode_scene(package, given, grid=GRID, band_mask=0b0111))
    cli("preview", path, "-o", tmp_path / "p.tif", "--models", package.folder)
    with rasterio.open(tmp_path / "p.tif") as raster:
        assert raster.descriptions == ("red (synthetic)",)


def test_the_picture_says_so_in_its_pixels_and_in_its_text(
    cli: Cli, package: Package, nec: Path, tmp_path: Path
) -> None:
    from PIL import Image

    ran = cli("preview", nec, "-o", tmp_path / "p.png", "--models", package.folder)
    assert ran.code == 0, ran.err
    with Image.open(tmp_path / "p.png") as image:
        assert image.text["Comment"] == SYNTHETIC  # type: ignore[attr-defined]
        found = np.asarray(image.convert("L")).astype(int)
    # The watermark: white letters with a black shadow, all over the picture and not only in one corner.
    body = found[30:]
    for half in (body[: len(body) // 2], body[len(body) // 2 :]):
        strong = np.abs(np.diff(half, axis=1)) > 200
        assert strong.sum() > 100


def test_a_decoder_may_lie_outside_the_package(cli: Cli, nec: Path, package: Package, tmp_path: Path) -> None:
    bare = build_small(tmp_path / "models" / "small")
    cli("preview", nec, "-o", tmp_path / "p.png", "--models", bare.folder).refused(
        5, f"no {NAME}", "--decoder"
    )
    assert not (tmp_path / "p.png").exists()
    (tmp_path / "mine.npz").write_bytes(make(bare).encode())
    ran = cli(
        "preview", nec, "-o", tmp_path / "p.png", "--decoder", tmp_path / "mine.npz", "--models", bare.folder
    )
    assert ran.code == 0, ran.err


def test_strange_decoders_are_refused(cli: Cli, nec: Path, package: Package, tmp_path: Path) -> None:
    (tmp_path / "other.npz").write_bytes(make(package, planes=(("tokens", bytes(8)),)).encode())
    (tmp_path / "text.npz").write_text("no archive")
    arguments = ("preview", nec, "-o", tmp_path / "p.png", "--models", package.folder, "--decoder")
    cli(*arguments, tmp_path / "other.npz").refused(5, "another space")
    cli(*arguments, tmp_path / "text.npz").refused(4, "not a preview")
    cli("preview", nec, "-o", tmp_path / "p.jpg").refused(2, ".tif .tiff .png")


def test_what_is_missing_is_not_painted(cli: Cli, package: Package, nec: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.nec").write_bytes(nec.read_bytes()[:-100])
    ran = cli("preview", tmp_path / "cut.nec", "-o", tmp_path / "p.tif", "--models", package.folder)
    assert ran.code == 6
    assert (tmp_path / "p.tif").exists()
