"""Products as Cloud-Optimised GeoTIFFs."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from codec.errors import InputError
from codec.scene.cog import read_georeference, read_raster, write_cog
from codec.types import Georeference

PLACE = Georeference((10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0), epsg=32632)


def picture(seed: int = 1, shape: tuple[int, ...] = (2, 700, 900)) -> npt.NDArray[np.float32]:
    array = np.random.default_rng(seed).random(shape, dtype=np.float32)
    array[:, :40, :50] = np.nan
    return array


def write(path: Path, array: npt.NDArray[Any], place: Georeference = PLACE, **options: Any) -> None:
    settings: dict[str, Any] = {
        "nodata": float("nan") if array.dtype.kind == "f" else 255,
        "band_names": [f"band {i}" for i in range(len(array))],
    }
    write_cog(path, array, place, **{**settings, **options})


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    import rasterio

    array = picture()
    write(tmp_path / "x.tif", array, band_names=["red", "nir"], tags={"LEVEL": "ours"})
    with rasterio.open(tmp_path / "x.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), array)
        assert dataset.crs.to_epsg() == 32632
        assert tuple(dataset.transform)[:6] == PLACE.transform
        assert dataset.descriptions == ("red", "nir")
        assert np.isnan(dataset.nodata)
        assert dataset.tags()["LEVEL"] == "ours"
    again, place, names = read_raster(tmp_path / "x.tif")
    np.testing.assert_array_equal(again, array)
    assert (place, names) == (PLACE, ("red", "nir"))
    assert read_georeference(tmp_path / "x.tif") == PLACE


def directories(data: bytes) -> list[tuple[int, int, list[int]]]:
    """(offset of the directory, image width, offsets of its tiles) of a little-endian classic TIFF, in order."""
    assert data[:4] == b"II*\x00"
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 12: 8}
    found = []
    (offset,) = struct.unpack_from("<I", data, 4)
    while offset:
        (count,) = struct.unpack_from("<H", data, offset)
        entries = {}
        for i in range(count):
            tag, kind, length, value = struct.unpack_from("<HHI4s", data, offset + 2 + 12 * i)
            at = struct.unpack("<I", value)[0] if sizes.get(kind, 1) * length > 4 else offset + 10 + 12 * i
            form = {3: "H", 4: "I"}.get(kind)
            entries[tag] = list(struct.unpack_from(f"<{length}{form}", data, at)) if form else None
        found.append((offset, entries[256][0], entries[324]))  # ImageWidth, TileOffsets
        (offset,) = struct.unpack_from("<I", data, offset + 2 + 12 * count)
    return found


def test_the_file_has_the_order_of_a_cloud_optimised_geotiff(tmp_path: Path) -> None:
    # All directories before all pixels, the full picture first, then overviews by falling size; the pixels in the
    # opposite order, the smallest overview first (GDAL's COG driver documentation).
    write(tmp_path / "x.tif", picture())
    data = (tmp_path / "x.tif").read_bytes()
    assert b"LAYOUT=IFDS_BEFORE_DATA" in data[:200]
    found = directories(data)
    widths = [width for _, width, _ in found]
    assert widths == [900, 450, 225]
    assert max(offset for offset, _, _ in found) < min(min(tiles) for _, _, tiles in found)
    firsts = [min(tiles) for _, _, tiles in found]
    assert firsts == sorted(firsts, reverse=True)


def test_equal_input_gives_equal_bytes_in_another_process_too(tmp_path: Path, root: Path) -> None:
    write(tmp_path / "x.tif", picture(), tags={"b": "2", "a": "1"})
    write(tmp_path / "y.tif", picture(), tags={"a": "1", "b": "2"})
    assert (tmp_path / "x.tif").read_bytes() == (tmp_path / "y.tif").read_bytes()
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "import test_scene_cog as t\n"
        "t.write(Path(sys.argv[1]), t.picture(), tags={'a': '1', 'b': '2'})"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "z.tif"), str(Path(__file__).parent)],
        check=True,
        cwd=root,
    )
    digest = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("x.tif", "z.tif")}
    assert len(digest) == 1


@pytest.mark.parametrize(
    ("a", "e", "turn"),
    [
        (10.0, 10.0, lambda x: x[:, ::-1]),
        (-10.0, -10.0, lambda x: x[:, :, ::-1]),
        (-10.0, 10.0, lambda x: x[:, ::-1, ::-1]),
    ],
)
def test_south_up_and_mirrored_rasters_are_turned(tmp_path: Path, a: float, e: float, turn: Any) -> None:
    array = picture(shape=(1, 20, 30))
    c = 500000.0 + (300 if a < 0 else 0)
    f = 5000000.0 - (200 if e > 0 else 0)
    write(tmp_path / "x.tif", turn(array), Georeference((a, 0.0, c, 0.0, e, f), epsg=32632))
    again, place, _ = read_raster(tmp_path / "x.tif")
    assert place == PLACE  # the same ground, north up
    np.testing.assert_array_equal(again, array)


def test_a_rotated_raster_is_refused_with_the_cure(tmp_path: Path) -> None:
    rotated = Georeference((8.0, 6.0, 0.0, 6.0, -8.0, 0.0), epsg=32632)
    with pytest.raises(InputError, match=r"rotated.*gdalwarp"):
        write(tmp_path / "x.tif", picture(shape=(1, 8, 8)), rotated)
    assert not list(tmp_path.iterdir())


def test_a_raster_without_crs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.tif: it has no CRS"):
        write(tmp_path / "x.tif", picture(shape=(1, 8, 8)), Georeference(PLACE.transform))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [4326, 3857, 32119, 2056, 32719])
def test_codes_come_back(tmp_path: Path, code: int) -> None:
    place = Georeference((0.1, 0.0, 7.0, 0.0, -0.1, 47.0), epsg=code)
    write(tmp_path / "x.tif", picture(shape=(1, 8, 8)), place)
    assert read_georeference(tmp_path / "x.tif") == place


def test_a_crs_that_is_only_wkt_comes_back(tmp_path: Path) -> None:
    from rasterio.crs import CRS

    crs = CRS.from_proj4("+proj=laea +lat_0=47.3 +lon_0=8.7 +x_0=1234 +y_0=0 +ellps=bessel +units=m")
    write(
        tmp_path / "x.tif",
        picture(shape=(1, 8, 8)),
        Georeference(PLACE.transform, wkt=crs.to_wkt(version="WKT2_2019")),
    )
    again = read_georeference(tmp_path / "x.tif")
    assert again.epsg == 0
    assert CRS.from_wkt(again.wkt) == crs


@pytest.mark.parametrize(
    "place", [Georeference(PLACE.transform, epsg=1), Georeference(PLACE.transform, wkt="PROJCRS[rubbish")]
)
def test_a_crs_that_proj_does_not_know_is_refused(tmp_path: Path, place: Georeference) -> None:
    with pytest.raises(InputError, match="PROJ does not know"):
        write(tmp_path / "x.tif", picture(shape=(1, 8, 8)), place)


def test_classes_are_not_averaged_in_overviews(tmp_path: Path) -> None:
    import rasterio

    classes = np.random.default_rng(3).choice([1, 9], (1, 600, 600)).astype(np.uint8)
    write(tmp_path / "x.tif", classes)
    with rasterio.open(tmp_path / "x.tif", overview_level=0) as overview:
        assert set(np.unique(overview.read())) == {1, 9}
    with rasterio.open(tmp_path / "x.tif") as dataset:
        assert dataset.nodata == 255


def test_means_in_overviews_leave_nodata_out(tmp_path: Path) -> None:
    import rasterio

    array = np.full((1, 600, 600), 5.0, np.float32)
    array[:, ::2] = np.nan
    write(tmp_path / "x.tif", array)
    with rasterio.open(tmp_path / "x.tif", overview_level=0) as overview:
        assert set(np.unique(overview.read())) == {5.0}


def test_overviews_can_be_left_out(tmp_path: Path) -> None:
    import rasterio

    write(tmp_path / "x.tif", picture(), overviews=False)
    with rasterio.open(tmp_path / "x.tif") as dataset:
        assert dataset.overviews(1) == []


@pytest.mark.parametrize(
    ("array", "names", "message"),
    [
        (np.zeros((4, 4), np.uint8), ["a"], "bands × rows × columns"),
        (np.zeros((1, 4, 4), np.float64), ["a"], "float64"),
        (np.zeros((1, 0, 4), np.uint8), ["a"], "bands × rows × columns"),
        (np.zeros((2, 4, 4), np.uint8), ["a"], "2 bands and 1 names"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, array: Any, names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_cog(tmp_path / "x.tif", array, PLACE, nodata=None, band_names=names)


def test_a_place_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "missing" / "x.tif", picture(shape=(1, 8, 8)))
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.tif"
    write(path, picture(shape=(1, 8, 8)))
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    from codec.errors import LimitExceeded

    with pytest.raises(LimitExceeded, match="disk is full"):
        write(path, picture(seed=2, shape=(1, 8, 8)))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.tif"]
