"""Reading by windows keeps memory bounded, whatever the raster's size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codec.scene import sources

SIDE = 20_000  # 800 MB of uint16

# Reads every window of a raster in a fresh process and prints by how many MB its peak memory grew meanwhile. The
# cache is set to 32 MiB, so that what grows beyond is ours.
WALK = """
import resource, sys
from pathlib import Path
from codec.scene import sources
sources.GDAL_OPTIONS = {"GDAL_CACHEMAX": 32 << 20}
from codec.scene.scene import open_scene
from codec.scene.tiling import tiles

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

with open_scene([Path(sys.argv[1])], sensor="sentinel2-l1c", scaling="no-offset") as scene:
    scene.read((0, 0, 600, 600), scene.bands)
    before, valid = peak(), 0
    for tile in tiles(scene, ["blue"], core=400, margin=20):
        valid += int(tile.validity[20:-20, 20:-20].sum())
    print(round(peak() - before), valid)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blocks on the diagonal hold numbers, the others are absent from the file."""
    import rasterio
    from rasterio.transform import Affine
    from rasterio.windows import Window

    path = tmp_path_factory.mktemp("large") / "B02.tif"
    block = np.random.default_rng(1).integers(1, 9999, (1, 512, 512), dtype=np.uint16)
    with rasterio.open(
        path, "w", driver="GTiff", width=SIDE, height=SIDE, count=1, dtype="uint16", tiled=True, blockxsize=512,
        blockysize=512, compress="deflate", zlevel=1, sparse_ok=True, crs="EPSG:32632",
        transform=Affine(10, 0, 500000, 0, -10, 5000000),
    ) as dataset:  # fmt: skip
        for at in range(0, SIDE - 512, 512):
            dataset.write(block, window=Window(at, at, 512, 512))
    return path


def test_reading_all_of_a_large_raster_takes_the_memory_of_a_window(large: Path, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WALK, str(large)], cwd=root, capture_output=True, text=True, check=True
    )
    grown_mb, valid = map(int, done.stdout.split())
    assert valid == ((SIDE - 512 + 511) // 512) * 512 * 512  # every pixel that holds a number was seen, once
    assert grown_mb < 150  # the cache, a window as float64, and its copies; the raster has 800


def test_the_block_cache_has_a_fixed_size() -> None:
    assert sources.GDAL_OPTIONS["GDAL_CACHEMAX"] <= 256 << 20
