"""The STAC item of a product set: STAC 1.1.0 with the projection (2.0.0) and file (2.1.0) extensions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from codec.bitstream.header import FileHeader
from codec.errors import InputError
from codec.types import Product
from ground.canonical import encode_json, utc
from ground.places import Globe, bounds, polygon

NAME = "item.json"
_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
_SHA256_MULTIHASH = "1220"  # code 0x12, length 0x20


def stac_item(header: FileHeader, products: Sequence[Product]) -> Product:
    """One item: id from file_id, footprint, sensing time, one asset per product with size and checksum.

    Raises InputError when the file has no sensing time: an item without one is not valid STAC. A file without a CRS
    gives an item with geometry null, which is.
    """
    time = header.time
    if time is None:
        raise InputError("the file says no sensing time, and a STAC item needs one")
    file_id = header.file_id.hex()
    grid, where = header.grid, header.georeference
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": file_id,
        "geometry": None,
        "properties": {
            "datetime": utc(time),
            "instruments": [header.sensor],
            "proj:code": f"EPSG:{where.epsg}" if where.epsg else None,
            "proj:shape": [grid.height, grid.width],
            "proj:transform": [*where.transform, 0.0, 0.0, 1.0],
            "swathpack:codec_id": header.codec_id.hex(),
            "swathpack:space_ids": [plane.space_id.hex() for plane in header.planes],
        },
        "links": [],
        "assets": {product.name: _asset(product) for product in products},
    }
    if where.wkt:
        item["properties"]["proj:wkt2"] = where.wkt
    if where.has_crs:
        ring = Globe(where).scene_ring(grid)
        item["geometry"], item["bbox"] = polygon(ring), bounds(ring)
    return Product(NAME, "application/geo+json", encode_json(item))


def _asset(product: Product) -> dict[str, Any]:
    roles = ["data"]
    if product.media_type == "image/png":
        roles = ["overview"]
    elif product.media_type == "application/json":
        roles = ["metadata"]
    return {
        "href": f"./{product.name}",
        "type": product.media_type,
        "roles": roles,
        "file:size": len(product.data),
        "file:checksum": _SHA256_MULTIHASH + hashlib.sha256(product.data).hexdigest(),
    }
