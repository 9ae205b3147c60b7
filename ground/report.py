"""`report.json`: what a product set was made from, and what is missing from it.

It depends on the records at hand and on versions only. How they came (packets, copies, repaired ones, times, stations)
is in the ledger, because a copy that comes later must not change a product.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from codec.bitstream.header import FileHeader
from codec.types import Embedding, Product, TileRange
from ground.canonical import encode_json, utc

NAME = "report.json"


def versions() -> dict[str, str]:
    """Of everything that decides a product's bytes."""
    found = {name: metadata.version(name) for name in ("numpy", "onnxruntime", "pillow", "rasterio")}
    found["swathpack"] = metadata.version("swathpack")
    import rasterio

    found["gdal"] = str(rasterio.__gdal_version__)
    return found


def scene_part(header: FileHeader, bands: Sequence[str]) -> dict[str, Any]:
    """What the header says; `bands` is the package's full list."""
    grid, where = header.grid, header.georeference
    mask = header.band_mask
    return {
        "file_id": header.file_id.hex(),
        "codec_id": header.codec_id.hex(),
        "sensor": header.sensor,
        "bands": [name for i, name in enumerate(bands) if mask >> i & 1] if mask else None,
        "time": None if header.time is None else utc(header.time),
        "run": header.run,
        "source": header.source_name or None,
        "height": grid.height,
        "width": grid.width,
        "tiles": grid.n_tiles,
        "tile_rows": grid.n_rows,
        "tile_columns": grid.n_cols,
        "transform": list(where.transform),
        "epsg": where.epsg or None,
        "ladder_index": header.ladder_index,
    }


def plane_part(name: str, header: FileHeader, embedding: Embedding) -> dict[str, Any]:
    """What arrived of one plane."""
    spec = header.planes[embedding.plane]
    return {
        "name": name,
        "space_id": spec.space_id.hex(),
        "tokens": [spec.rows, spec.cols],
        "channels": spec.channels,
        "tiles_missing": int(np.sum(embedding.layers & 1 == 0)),
        "tokens_valid": int(embedding.validity.sum()),
        "tiles_with_layer": [int(np.sum(embedding.layers >> layer & 1)) for layer in range(spec.n_layers)],
    }


def missing_part(missing: Sequence[TileRange]) -> list[dict[str, int]]:
    return [{"plane": r.plane, "layer": r.layer, "first": r.first, "count": r.count} for r in missing]


def report(parts: Mapping[str, Any], products: Sequence[Product]) -> Product:
    """The report, which lists the other products with size and SHA-256."""
    listed = {
        product.name: {"bytes": len(product.data), "sha256": hashlib.sha256(product.data).hexdigest()}
        for product in products
    }
    return Product(NAME, "application/json", encode_json({**parts, "products": listed}))
