"""A Sentinel-2 window from a public STAC catalogue (Earth Search): `stac:LON,LAT[,FROM/TO]`.

Only the window is read, through GDAL's range requests. Every band is written as its own GeoTIFF at its own resolution,
DN as delivered with their scale and offset, so that from there on it is a scene like any other.
`SWATHPACK_STAC_URL` names another catalogue of the same kind.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from codec.atomic import write_atomic
from codec.errors import InputError, TryAgain

CATALOGUE = "https://earth-search.aws.element84.com/v1"
COLLECTION = "sentinel-2-l2a"
SENSOR = "sentinel2-l2a"
SIDE_PIXELS = 960  # 9.6 km at 10 m: 225 tiles of 64 pixels
# The window begins at a multiple of this many 10 m pixels: there all resolutions (10, 20, 60 m) have a pixel's corner.
_STEP = 6
MAX_ANSWER_BYTES = 16 << 20
TIMEOUT_S = 60.0
# Asset keys of Earth Search v1 → our band names; `rededge1…3` differ.
ASSETS = {
    "coastal": "coastal",
    "blue": "blue",
    "green": "green",
    "red": "red",
    "rededge1": "rededge071",
    "rededge2": "rededge075",
    "rededge3": "rededge078",
    "nir": "nir",
    "nir08": "nir08",
    "nir09": "nir09",
    "swir16": "swir16",
    "swir22": "swir22",
}
_FORM = "stac:LONGITUDE,LATITUDE[,FROM/TO], e.g. stac:-6.27,53.35,2024-06-01/2024-09-01"


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for after `stac:`."""

    longitude: float
    latitude: float
    interval: str  # RFC 3339 interval, or empty


@dataclass(frozen=True, slots=True)
class Fetched:
    """A window on disk, ready for `open_scene`."""

    title: str
    bands: Mapping[str, str]  # our band name → file
    time: datetime | None


def parse(text: str) -> Request:
    """`stac:LON,LAT[,FROM/TO]`. Raises InputError with the form."""
    parts = text.removeprefix("stac:").split(",")
    try:
        longitude, latitude = float(parts[0]), float(parts[1])
    except (ValueError, IndexError) as error:
        raise InputError(f"{text!r} is not a place", fix=f"write {_FORM}") from error
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90) or len(parts) > 3:
        raise InputError(f"{text!r} is not a place on Earth", fix=f"write {_FORM}")
    if len(parts) < 3:
        return Request(longitude, latitude, "")
    first, _, last = parts[2].partition("/")
    return Request(longitude, latitude, f"{_day(first)}T00:00:00Z/{_day(last or first)}T23:59:59Z")


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise InputError(f"{text!r} is not a date", fix=f"write {_FORM}") from error


def fetch(text: str, folder: Path, *, side: int = SIDE_PIXELS, say: Callable[[str], None]) -> Fetched:
    """Find the least cloudy item over the place and read its window of `side` pixels of 10 m into `folder`.

    Raises InputError when nothing fits or the answer is none of a STAC catalogue, TryAgain when the catalogue or the data
    cannot be reached.
    """
    request = parse(text)
    item = search(request)
    name = _safe_name(item)
    properties = item["properties"]
    say(f"  catalogue: {name}, {properties.get('eo:cloud_cover', 'unknown')} % cloud")
    folder = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    return Fetched(name, read_window(item, request, folder, side, say), _time(properties))


def search(request: Request) -> dict[str, Any]:
    """The least cloudy item of the answer; its `properties` and `assets` are objects."""
    body: dict[str, Any] = {
        "collections": [COLLECTION],
        "intersects": {"type": "Point", "coordinates": [request.longitude, request.latitude]},
        "query": {"eo:cloud_cover": {"lt": 20}},
        "sortby": [{"field": "properties.eo:cloud_cover", "direction": "asc"}],
        "limit": 5,
    }
    if request.interval:
        body["datetime"] = request.interval
    url = os.environ.get("SWATHPACK_STAC_URL", CATALOGUE).rstrip("/") + "/search"
    data = _ask(url, json.dumps(body).encode())
    try:
        items = json.loads(data)["features"]
        if not isinstance(items, list):
            raise TypeError("features is no list")
        for item in items:
            if not isinstance(item["assets"], dict):
                raise TypeError("assets is no object")
            float(item["properties"].get("eo:cloud_cover", 100.0))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError("the catalogue's answer is not a STAC item collection", path=url) from error
    if not items:
        where = f"{request.longitude:g}, {request.latitude:g}"
        raise InputError(
            f"the catalogue has no scene with little cloud at {where}", path=url, fix="try other dates"
        )
    return dict(min(items, key=lambda item: float(item["properties"].get("eo:cloud_cover", 100.0))))


def _ask(url: str, body: bytes) -> bytes:
    if not url.startswith(("https://", "http://")):
        raise InputError("the catalogue's address is no web address", found=url)
    query = urllib.request.Request(
        url, body, {"Content-Type": "application/json", "Accept": "application/geo+json"}
    )
    try:
        with urllib.request.urlopen(query, timeout=TIMEOUT_S) as answer:
            data: bytes = answer.read(MAX_ANSWER_BYTES + 1)
    except urllib.error.HTTPError as error:
        if 400 <= error.code < 500 and error.code not in (408, 425, 429):
            raise InputError(
                f"the catalogue refuses the request: {error.code} {error.reason}", path=url
            ) from error
        raise TryAgain(f"the catalogue is out of order: {error.code} {error.reason}", path=url) from error
    except (OSError, ValueError) as error:  # URLError and TimeoutError are OSErrors
        reason = getattr(error, "reason", error)
        raise TryAgain(
            f"the catalogue cannot be reached: {reason}",
            path=url,
            fix="check the network, or use a local SCENE=",
        ) from error
    if len(data) > MAX_ANSWER_BYTES:
        raise InputError(
            "the catalogue's answer is too large", path=url, expected=f"{MAX_ANSWER_BYTES} bytes"
        )
    return data


def scale_of(asset: Mapping[str, Any], properties: Mapping[str, Any]) -> tuple[float, float]:
    """Reflectance = DN · scale + offset. The catalogue lists −0.1 also where the offset is already applied to the pixels;
    `earthsearch:boa_offset_applied` is what tells them apart. Raises InputError for an entry that is no number."""
    try:
        entry = (asset.get("raster:bands") or [{}])[0]
        scale, offset = float(entry.get("scale", 1e-4)), float(entry.get("offset", 0.0))
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        raise InputError("an asset's raster:bands is not legal", found=str(asset)[:120]) from error
    if properties.get("earthsearch:boa_offset_applied"):
        offset = 0.0
    return scale, offset


def read_window(
    item: Mapping[str, Any], request: Request, folder: Path, side: int, say: Callable[[str], None]
) -> dict[str, str]:
    """Read the window around the place from every known asset; returns our band name → file."""
    import rasterio
    from rasterio.errors import RasterioError

    assets = {key: asset for key, asset in item["assets"].items() if key in ASSETS}
    if "red" not in assets:
        raise InputError("the item has no red band", found=" ".join(item["assets"]) or "no asset")
    addresses = {key: _address(asset) for key, asset in assets.items()}
    crops: dict[str, bytes] = {}
    try:
        with rasterio.Env(
            GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_HTTP_TIMEOUT="60", GDAL_HTTP_MAX_RETRY="3"
        ):
            with rasterio.open(addresses["red"]) as red:
                bounds = _bounds(red, request, side)
            for key, address in addresses.items():
                say(f"  reading {key}")
                with rasterio.open(address) as source:
                    scale, offset = scale_of(assets[key], item["properties"])
                    crops[ASSETS[key]] = _crop(source, bounds, scale, offset, ASSETS[key])
    except RasterioError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TryAgain(f"the pixels cannot be read: {reason}", fix="check the network and repeat") from error
    for band, data in crops.items():  # all or none
        write_atomic(folder / f"{band}.tif", data)
    return {band: str(folder / f"{band}.tif") for band in crops}


def _bounds(red: Any, request: Request, side: int) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of the window, in the CRS of the band of 10 m."""
    from rasterio.warp import transform
    from rasterio.windows import Window

    if red.crs is None:
        raise InputError("the item's red band has no CRS", path=red.name)
    (x,), (y,) = transform("EPSG:4326", red.crs, [request.longitude], [request.latitude])
    row, col = red.index(x, y)
    if not (0 <= row < red.height and 0 <= col < red.width):
        raise InputError("the item's pixels do not reach the place", path=red.name, fix="try other dates")
    top, left = _first(row, red.height, side), _first(col, red.width, side)
    window = Window(left, top, min(side, red.width), min(side, red.height))
    left_m, bottom_m, right_m, top_m = red.window_bounds(window)
    return left_m, bottom_m, right_m, top_m


def _first(centre: int, extent: int, side: int) -> int:
    """Where a window around `centre` begins: inside the raster, at a multiple of _STEP."""
    return max(0, min(centre - side // 2, extent - side)) // _STEP * _STEP


def _crop(
    source: Any, bounds: tuple[float, float, float, float], scale: float, offset: float, band: str
) -> bytes:
    """A GeoTIFF of the band's own pixels inside the bounds, DN as they are, 0 where there are none."""
    from rasterio.io import MemoryFile

    window = source.window(*bounds).round_offsets().round_lengths()
    dn = source.read(1, window=window, boundless=True, fill_value=0)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=1,
            height=dn.shape[0],
            width=dn.shape[1],
            dtype=dn.dtype.name,
            crs=source.crs,
            transform=source.window_transform(window),
            nodata=0,
            compress="deflate",
        ) as out:
            out.write(dn, 1)
            out.set_band_description(1, band)
            out.scales, out.offsets = (scale,), (offset,)
        return bytes(memory.read())


def _address(asset: Any) -> str:
    """Where GDAL finds the asset; only web addresses, so that a catalogue cannot make us open local files."""
    href = str(asset.get("href", "")) if isinstance(asset, dict) else str(asset)
    if not href.startswith(("https://", "http://")):
        raise InputError("an asset's address is no web address", found=href[:120])
    return f"/vsicurl/{href}"


def _time(properties: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(str(properties.get("datetime", ""))[:19] + "+00:00")
    except ValueError:
        return None


def _safe_name(item: Mapping[str, Any]) -> str:
    name = "".join(c for c in str(item.get("id", "scene")) if c.isalnum() or c in "-_")
    return name[:80] or "scene"
