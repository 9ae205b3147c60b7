"""A window through a STAC catalogue: a recorded answer of Earth Search's structure, served on loopback."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import InputError, TryAgain
from codec.scene.scene import open_scene
from swathpack.demo import stac
from tests.swathpack.conftest import Cli
from tests.swathpack.stac_server import Catalogue, serving

# rasterio 1.4 with affine 3: its own window arithmetic.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

EPSG, LEFT, TOP = 32629, 600_000.0, 5_800_020.0
SIDE = 240  # 10 m pixels of the whole "scene"
GSD = {
    "coastal": 60, "blue": 10, "green": 10, "red": 10, "rededge1": 20, "rededge2": 20, "rededge3": 20, "nir": 10,
    "nir08": 20, "nir09": 60, "swir16": 20, "swir22": 20,
}  # fmt: skip


def dn_of(key: str) -> np.ndarray:
    """DN of one band at its own resolution: column + 100·row of the 10 m grid, and 1000 for each band."""
    step = GSD[key] // 10
    rows, cols = np.mgrid[0:SIDE:step, 0:SIDE:step]
    return (1000 + 300 * list(GSD).index(key) + 3 * rows + 2 * cols).astype(np.uint16)


def cog(key: str) -> bytes:
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    data = dn_of(key)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=1, height=data.shape[0], width=data.shape[1], dtype="uint16", crs=f"EPSG:{EPSG}",
            transform=Affine(GSD[key], 0, LEFT, 0, -GSD[key], TOP), nodata=0, tiled=True, blockxsize=64, blockysize=64,
        ) as out:  # fmt: skip
            out.write(data, 1)
        return bytes(memory.read())


def item(
    address: str, *, name: str = "S2B_29UNV_20240607_0_L2A", cloud: float = 3.5, applied: bool = True
) -> dict[str, Any]:
    """One item as Earth Search v1 writes them, by hand after its documentation."""
    bands = [{"nodata": 0, "data_type": "uint16", "bits_per_sample": 15, "scale": 0.0001, "offset": -0.1}]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "sentinel-2-l2a",
        "properties": {
            "datetime": "2024-06-07T11:36:15.024000Z", "platform": "sentinel-2b", "eo:cloud_cover": cloud,
            "proj:epsg": EPSG, "s2:processing_baseline": "05.10", "earthsearch:boa_offset_applied": applied,
        },
        "assets": {
            "thumbnail": {"href": f"{address}/thumbnail.jpg", "type": "image/jpeg", "roles": ["thumbnail"]},
            **{
                key: {
                    "href": f"{address}/{key}.tif", "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                    "eo:bands": [{"name": key}], "raster:bands": bands, "roles": ["data", "reflectance"],
                }
                for key in GSD
            },
        },
    }  # fmt: skip


def place() -> tuple[float, float]:
    """Longitude and latitude of the middle."""
    from rasterio.warp import transform

    (x,), (y,) = transform(f"EPSG:{EPSG}", "EPSG:4326", [LEFT + 5 * SIDE], [TOP - 5 * SIDE])
    return x, y


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    with serving(Catalogue(files={f"/{key}.tif": cog(key) for key in GSD})) as served:
        monkeypatch.setenv("SWATHPACK_STAC_URL", served.address)
        served.answer = json.dumps({"type": "FeatureCollection", "features": [item(served.address)]}).encode()
        yield served


def text(interval: str = "") -> str:
    longitude, latitude = place()
    return f"stac:{longitude:.6f},{latitude:.6f}" + (f",{interval}" if interval else "")


def quiet(_: str) -> None:
    """Nobody listens."""


def test_the_window_lies_around_the_place_at_every_bands_own_resolution(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    import rasterio

    fetched = stac.fetch(text(), tmp_path, side=120, say=quiet)
    assert fetched.title == "S2B_29UNV_20240607_0_L2A"
    assert set(fetched.bands) == set(stac.ASSETS.values())
    assert fetched.time is not None
    assert fetched.time.isoformat() == "2024-06-07T11:36:15+00:00"
    for key, band in stac.ASSETS.items():
        with rasterio.open(fetched.bands[band]) as dataset:
            assert (dataset.crs.to_epsg(), dataset.res) == (EPSG, (GSD[key], GSD[key]))
            assert dataset.bounds == (LEFT + 600, TOP - 1800, LEFT + 1800, TOP - 600)
            step = GSD[key] // 10
            np.testing.assert_array_equal(
                dataset.read(1), dn_of(key)[60 // step : 180 // step, 60 // step : 180 // step]
            )
            assert (dataset.scales, dataset.offsets) == ((0.0001,), (0.0,))


@pytest.mark.parametrize("shift", [7, -13, 400])
def test_windows_begin_where_all_resolutions_have_a_corner(
    catalogue: Catalogue, tmp_path: Path, shift: int
) -> None:
    import rasterio
    from rasterio.warp import transform

    at = LEFT + 5 * SIDE + 10 * min(shift, SIDE // 2 - 1)
    (longitude,), (latitude,) = transform(f"EPSG:{EPSG}", "EPSG:4326", [at], [TOP - 5 * SIDE - 40])
    fetched = stac.fetch(f"stac:{longitude},{latitude}", tmp_path, side=120, say=quiet)
    bounds = set()
    for file in fetched.bands.values():
        with rasterio.open(file) as dataset:
            bounds.add(tuple(dataset.bounds))
    ((left, bottom, right, top),) = bounds  # one window for all bands
    assert ((left - LEFT) % 60, (TOP - top) % 60) == (0, 0)
    assert (right - left, top - bottom) == (1200, 1200)
    assert LEFT <= left < right <= LEFT + 10 * SIDE


def test_only_parts_of_the_files_are_read(catalogue: Catalogue, tmp_path: Path) -> None:
    stac.fetch(text(), tmp_path, side=60, say=quiet)
    assert any(entry.startswith("/red.tif bytes=") for entry in catalogue.ranges)


@pytest.mark.parametrize(("applied", "offset"), [(True, 0.0), (False, -0.1)])
def test_an_offset_that_is_already_applied_is_not_applied_again(
    catalogue: Catalogue, tmp_path: Path, applied: bool, offset: float
) -> None:
    """The catalogue lists −0.1 in both cases."""
    answer = {"type": "FeatureCollection", "features": [item(catalogue.address, applied=applied)]}
    catalogue.answer = json.dumps(answer).encode()
    fetched = stac.fetch(text(), tmp_path, side=120, say=quiet)
    paths = [Path(file) for file in fetched.bands.values()]
    with open_scene(paths, sensor=stac.SENSOR, bands=fetched.bands, time=fetched.time) as scene:
        values, valid = scene.read((0, 0, 8, 8), ("red",))
        raw = scene.raw_bytes
    assert valid.all()
    np.testing.assert_allclose(values[0], dn_of("red")[60:68, 60:68] * 1e-4 + offset, atol=1e-6)
    # 4 bands of 120², 6 of 60², 2 of 20² pixels of two bytes: nothing is counted at a finer resolution than it has.
    assert raw == 2 * (4 * 120**2 + 6 * 60**2 + 2 * 20**2)


def test_the_question_names_place_time_and_collection(catalogue: Catalogue, tmp_path: Path) -> None:
    stac.search(stac.parse(text("2024-06-01/2024-06-30")))
    (asked,) = catalogue.asked
    assert asked["path"] == "/search"
    assert asked["collections"] == ["sentinel-2-l2a"]
    assert asked["intersects"]["coordinates"] == pytest.approx(list(place()), abs=1e-5)
    assert asked["datetime"] == "2024-06-01T00:00:00Z/2024-06-30T23:59:59Z"


def test_the_least_cloudy_item_is_taken(catalogue: Catalogue) -> None:
    address = catalogue.address
    items = [item(address, name="cloudy", cloud=19.0), item(address, name="clear", cloud=0.2), item(address)]
    catalogue.answer = json.dumps({"features": items}).encode()
    assert stac.search(stac.parse(text()))["id"] == "clear"


def test_the_demo_runs_on_it(
    catalogue: Catalogue, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stac.fetch, "__kwdefaults__", {"side": 120})
    ran = cli("demo", "--scene", text(), "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    document = json.loads((tmp_path / "out" / "demo.json").read_text())
    (scene,) = document["scenes"].values()
    assert scene["values"]["tiles"]["value"] == 4
    assert Path(scene["pictures"][0]).is_file()
    assert "catalogue: S2B_29UNV_20240607_0_L2A, 3.5 % cloud" in ran.err


ANSWERS = {
    "no JSON": b"<html>busy</html>",
    "cut JSON": b'{"features": [',
    "a list": b"[]",
    "no features": b"{}",
    "features no list": b'{"features": {}}',
    "an item without properties": b'{"features": [{"assets": {}}]}',
    "an item without assets": b'{"features": [{"properties": {}}]}',
    "cloud cover no number": b'{"features": [{"assets": {}, "properties": {"eo:cloud_cover": "much"}}]}',
    "deep": b'{"features": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_no_item_collection_is_bad_input(
    catalogue: Catalogue, cli: Cli, tmp_path: Path, name: str
) -> None:
    catalogue.answer = ANSWERS[name]
    ran = cli("demo", "--scene", text(), "--out", tmp_path / "out", "--json")
    ran.refused(3, "not a STAC item collection", catalogue.address)


def test_an_empty_answer_says_that_nothing_is_there(catalogue: Catalogue, cli: Cli, tmp_path: Path) -> None:
    catalogue.answer = b'{"type": "FeatureCollection", "features": []}'
    cli("demo", "--scene", text(), "--out", tmp_path / "o", "--json").refused(
        3, "no scene with little cloud", "dates"
    )


def test_an_answer_that_is_too_large_is_refused(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stac, "MAX_ANSWER_BYTES", 1000)
    with pytest.raises(InputError, match="too large"):
        stac.search(stac.parse(text()))


@pytest.mark.parametrize(
    ("status", "error"), [(400, InputError), (404, InputError), (429, TryAgain), (503, TryAgain)]
)
def test_a_refusal_is_final_or_passing_by_its_status(
    catalogue: Catalogue, status: int, error: type[Exception]
) -> None:
    catalogue.status = status
    with pytest.raises(error, match=str(status)):
        stac.search(stac.parse(text()))


def test_a_catalogue_that_cannot_be_reached_is_to_be_tried_again(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("SWATHPACK_STAC_URL", address)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        ran = cli("demo", "--scene", "stac:-6.27,53.35", "--out", tmp_path / "out", "--json")
    ran.refused(75, "cannot be reached", address, "SCENE=")


@pytest.mark.parametrize(
    "href", ["file:///etc/passwd", "/etc/passwd", "/vsizip/x.zip", "s3://bucket/red.tif", "", None]
)
def test_assets_that_are_no_web_addresses_are_refused(
    catalogue: Catalogue, tmp_path: Path, href: str | None
) -> None:
    wrong = item(catalogue.address)
    wrong["assets"]["nir"]["href"] = href
    catalogue.answer = json.dumps({"features": [wrong]}).encode()
    with pytest.raises(InputError, match="no web address"):
        stac.fetch(text(), tmp_path, side=60, say=quiet)
    assert not list(tmp_path.rglob("*.tif"))  # refused before anything was read


def test_a_catalogue_that_is_no_web_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWATHPACK_STAC_URL", "file:///etc")
    with pytest.raises(InputError, match="no web address"):
        stac.search(stac.parse("stac:1,2"))


def test_pixels_that_are_not_there_are_to_be_tried_again(catalogue: Catalogue, tmp_path: Path) -> None:
    del catalogue.files["/swir22.tif"]
    with pytest.raises(TryAgain, match="pixels cannot be read"):
        stac.fetch(text(), tmp_path, side=60, say=quiet)
    assert not list(tmp_path.rglob("*.tif"))


def test_an_item_that_does_not_reach_the_place_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    longitude, latitude = place()
    with pytest.raises(InputError, match="do not reach the place"):
        stac.fetch(f"stac:{longitude + 1},{latitude}", tmp_path, side=60, say=quiet)


def test_an_item_without_red_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    wrong = item(catalogue.address)
    del wrong["assets"]["red"]
    catalogue.answer = json.dumps({"features": [wrong]}).encode()
    with pytest.raises(InputError, match="no red band"):
        stac.fetch(text(), tmp_path, side=60, say=quiet)


@pytest.mark.parametrize("bands", ["x", [1], [{"scale": "wide"}], {"a": 1}])
def test_scales_that_are_no_numbers_are_refused(bands: object) -> None:
    with pytest.raises(InputError, match="raster:bands"):
        stac.scale_of({"raster:bands": bands}, {})


@pytest.mark.parametrize(
    "wrong",
    [
        "stac:",
        "stac:1",
        "stac:x,y",
        "stac:181,0",
        "stac:0,91",
        "stac:nan,0",
        "stac:1,2,2024-13-01",
        "stac:1,2,3,4",
    ],
)
def test_a_place_that_is_none_is_refused_with_the_form(cli: Cli, tmp_path: Path, wrong: str) -> None:
    cli("demo", "--scene", wrong, "--out", tmp_path / "o", "--json").refused(
        3, "write stac:LONGITUDE,LATITUDE"
    )


def test_one_day_is_a_whole_day() -> None:
    assert stac.parse("stac:1,2,2024-05-06").interval == "2024-05-06T00:00:00Z/2024-05-06T23:59:59Z"


def test_names_of_items_stay_in_the_folder(catalogue: Catalogue, tmp_path: Path) -> None:
    wrong = item(catalogue.address, name="../../up/and away")
    catalogue.answer = json.dumps({"features": [wrong]}).encode()
    fetched = stac.fetch(text(), tmp_path / "stac", side=60, say=quiet)
    assert {Path(file).parent for file in fetched.bands.values()} == {tmp_path / "stac" / "upandaway"}
