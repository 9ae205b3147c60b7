"""A Sentinel-2 window from a public STAC catalogue (Earth Search): `stac:LON,LAT[,FROM/TO]`.

Only the window is read, through GDAL's range requests; it is written as one GeoTIFF with band names, so that from there
on it is a scene like any other. `SWATHPACK_STAC_URL` names another catalogue of the same kind.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codec.errors import InputError, TryAgain

CATALOGUE = "https://earth-search.aws.element84.com/v1"
COLLECTION = "sentinel-2-l2a"
SIDE_PIXELS = 640  # 6.4 km at 10 m: a hundred tiles of 64 pixels
MAX_ANSWER_BYTES = 16 << 20
TIMEOUT_S = 60.0
# Asset keys of Earth Search v1 → our band names; `rededge1…3` and `nir09` differ.
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


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for after `stac:`."""

    longitude: float
    latitude: float
    interval: str  # RFC 3339 interval, or empty


def parse(text: str) -> Request:
    """`stac:LON,LAT[,FROM/TO]`. Raises InputError with the form."""
    form = "stac:LONGITUDE,LATITUDE[,FROM/TO], e.g. stac:-6.27,53.35,2024-06-01/2024-09-01"
    parts = text.removeprefix("stac:").split(",")
    try:
        longitude, latitude = float(parts[0]), float(parts[1])
    except (ValueError, IndexError) as error:
        raise InputError(f"{text!r} is not a place", fix=f"write {form}") from error
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90) or len(parts) > 3:
        raise InputError(f"{text!r} is not a place on Earth", fix=f"write {form}")
    interval = parts[2] if len(parts) == 3 else ""
    if interval and "/" in interval:
        first, last = interval.split("/", 1)
        interval = f"{_day(first, 'T00:00:00Z', form)}/{_day(last, 'T23:59:59Z', form)}"
    elif interval:
        interval = f"{_day(interval, 'T00:00:00Z', form)}/{_day(interval, 'T23:59:59Z', form)}"
    return Request(longitude, latitude, interval)


def _day(text: str, suffix: str, form: str) -> str:
    from datetime import date

    try:
        return date.fromisoformat(text).isoformat() + suffix
    except ValueError as error:
        raise InputError(f"{text!r} is not a date", fix=f"write {form}") from error


def fetch(text: str, folder: Path) -> Path:
    """Find the least cloudy item over the place, read its window, return the GeoTIFF's path.

    Raises InputError when nothing fits, TryAgain when the catalogue or the data cannot be reached.
    """
    request = parse(text)
    item = search(request)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_safe_name(item)}.tif"
    read_window(item, request, path)
    return path


def search(request: Request) -> dict[str, Any]:
    """The least cloudy item of the answer."""
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
    if not url.startswith(("https://", "http://")):
        raise InputError("the catalogue's address is no web address", found=url)
    query = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", "Accept": "application/geo+json"}
    )
    try:
        with urllib.request.urlopen(query, timeout=TIMEOUT_S) as answer:
            data = answer.read(MAX_ANSWER_BYTES + 1)
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise TryAgain(
            f"the catalogue cannot be reached: {error}",
            path=url,
            fix="check the network, or use a local SCENE=",
        ) from error
    if len(data) > MAX_ANSWER_BYTES:
        raise InputError(
            "the catalogue's answer is too large", path=url, found=f"over {MAX_ANSWER_BYTES} bytes"
        )
    try:
        items = json.loads(data)["features"]
        best = min(items, key=lambda item: float(item["properties"].get("eo:cloud_cover", 100.0)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ValueError) and "empty" in str(error):
            raise InputError(
                "no scene of this place is in the catalogue", found=request, fix="try other dates"
            ) from error
        raise InputError("the catalogue's answer is not a STAC item collection", path=url) from error
    return dict(best)


def scale_of(asset: Mapping[str, Any], properties: Mapping[str, Any]) -> tuple[float, float]:
    """Reflectance = DN · scale + offset. The catalogue lists −0.1 also where the offset is already applied to the pixels;
    `earthsearch:boa_offset_applied` is what tells them apart."""
    entry = (asset.get("raster:bands") or [{}])[0]
    scale, offset = float(entry.get("scale", 1e-4)), float(entry.get("offset", 0.0))
    if properties.get("earthsearch:boa_offset_applied"):
        offset = 0.0
    return scale, offset


def read_window(item: Mapping[str, Any], request: Request, path: Path) -> None:
    """Read SIDE_PIXELS² pixels around the place from every known asset and write one GeoTIFF of DN with band names."""
    import numpy as np
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.warp import Resampling, transform
    from rasterio.windows import Window

    assets = {key: item["assets"][key] for key in ASSETS if key in item.get("assets", {})}
    if "red" not in assets:
        raise InputError("the item has no band that is known", found=" ".join(item.get("assets", {})))
    properties = item.get("properties", {})
    try:
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_HTTP_TIMEOUT="60"):
            with rasterio.open(_address(assets["red"])) as red:
                (x,), (y,) = transform("EPSG:4326", red.crs, [request.longitude], [request.latitude])
                row, col = red.index(x, y)
                top = int(np.clip(row - SIDE_PIXELS // 2, 0, max(red.height - SIDE_PIXELS, 0)))
                left = int(np.clip(col - SIDE_PIXELS // 2, 0, max(red.width - SIDE_PIXELS, 0)))
                height, width = min(SIDE_PIXELS, red.height), min(SIDE_PIXELS, red.width)
                window = Window(left, top, width, height)
                bounds, affine, crs = red.window_bounds(window), red.window_transform(window), red.crs
            bands = {}
            for key, asset in assets.items():
                with rasterio.open(_address(asset)) as source:
                    dn = source.read(
                        1,
                        window=source.window(*bounds),
                        out_shape=(height, width),
                        resampling=Resampling.bilinear,
                        boundless=True,
                        fill_value=0,
                    )
                scale, offset = scale_of(asset, properties)
                # Stored as DN of 1e-4 without offset, 0 where there is no data: what the sensor table expects.
                reflectance = dn.astype(np.float32) * scale + offset
                bands[key] = np.where(dn > 0, np.clip(np.rint(reflectance * 1e4), 1, 65535), 0).astype(
                    np.uint16
                )
    except RasterioError as error:
        raise TryAgain(f"the pixels cannot be read: {error}", fix="check the network and repeat") from error
    temporary = path.with_name(f".{path.name}.part")
    with rasterio.open(
        temporary,
        "w",
        driver="GTiff",
        count=len(bands),
        height=height,
        width=width,
        dtype="uint16",
        crs=crs,
        transform=affine,
        nodata=0,
        compress="deflate",
    ) as out:
        for i, (key, dn) in enumerate(bands.items(), start=1):
            out.write(dn, i)
            out.set_band_description(i, ASSETS[key])
        out.update_tags(
            SENSOR="sentinel2-l2a",
            BOA_ADD_OFFSET="0",
            TIFFTAG_DATETIME=str(properties.get("datetime", ""))[:19],
        )
    temporary.replace(path)


def _address(asset: Mapping[str, Any]) -> str:
    """Where GDAL finds the asset; only web addresses, so that a catalogue cannot make us open local files."""
    href = str(asset.get("href", ""))
    if not href.startswith(("https://", "http://")):
        raise InputError("an asset's address is no web address", found=href[:120])
    return f"/vsicurl/{href}"


def _safe_name(item: Mapping[str, Any]) -> str:
    name = "".join(c for c in str(item.get("id", "scene")) if c.isalnum() or c in "-_")
    return name[:80] or "scene"
