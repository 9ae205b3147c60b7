"""Payload bytes per tile as a map: a Cloud-Optimised GeoTIFF, or a picture with a legend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from codec.types import Georeference, TileGrid

if TYPE_CHECKING:
    from codec.bitstream.reader import NecFile
    from codec.package import Package
    from codec.pipeline.tile_bytes import TileBytes

MEANING = (
    "payload bytes per tile, estimated from the integer cost tables; masks, coder states, record headers and checksums "
    "belong to no one tile and are not in it"
)
_STEPS = 6  # of the picture's legend
# Dark blue over green to yellow: grows lighter with the bytes, also in grey and for most colour-blind eyes.
_RAMP = ((48, 18, 80), (50, 80, 140), (35, 140, 140), (80, 185, 100), (180, 215, 60), (250, 235, 110))


def render(file: NecFile, package: Package, form: str, *, per_layer: bool) -> bytes:
    """The bytes of a map file. Raises InputError where a GeoTIFF lacks a CRS, and what decoding raises."""
    from codec.pipeline.tile_bytes import bytes_per_tile

    header = file.header
    planes = bytes_per_tile(package, header, [record.data for record in file.scan.records])
    bands = _bands(planes, per_layer)
    grid = header.grid
    maps = np.stack([values.reshape(grid.n_rows, grid.n_cols) for values in bands.values()]).astype(
        np.float32
    )
    if form == ".png":
        return _picture(maps[0])
    from codec.scene.cog import encode_cog

    tags = {
        "SWATHPACK_FILE_ID": header.file_id.hex(),
        "SWATHPACK_MEANING": MEANING,
        "SWATHPACK_UNIT": "bytes",
    }
    return encode_cog(
        maps, cells(header.georeference, grid), float("nan"), list(bands), tags, True, False, file.path
    )


def cells(georeference: Georeference, grid: TileGrid) -> Georeference:
    """Where the map's cells lie: one for each tile, as large as its core, from the scene's corner.

    The last row and column of tiles shift inward; their cells stand for what no earlier tile owns and reach beyond the
    scene where that is less than a core.
    """
    a, b, c, d, e, f = georeference.transform
    high, wide = grid.core_height, grid.core_width
    return Georeference((a * wide, b * high, c, d * wide, e * high, f), georeference.epsg, georeference.wkt)


def _bands(planes: dict[str, TileBytes], per_layer: bool) -> dict[str, npt.NDArray[np.float64]]:
    """Total first; then, if asked for, every layer of every plane. NaN: no data, or not arrived."""
    totals = np.stack([found.total for found in planes.values()])
    nothing = np.isnan(totals).all(axis=0)
    bands = {"payload_bytes": np.where(nothing, np.nan, np.nansum(totals, axis=0))}
    if per_layer:
        for name, found in planes.items():
            bands |= {f"{name}_layer_{i}": found.layers[:, i] for i in range(found.layers.shape[1])}
    return bands


def _picture(values: npt.NDArray[np.float32]) -> bytes:
    from ground import pictures

    valid = np.isfinite(values)
    low, high = (float(values[valid].min()), float(values[valid].max())) if valid.any() else (0.0, 0.0)
    width = (high - low) / _STEPS or 1.0
    step = np.clip((np.where(valid, values, low) - low) / width, 0, _STEPS - 1).astype(np.uint8)
    legend = [(f"{low + i * width:.0f} to {low + (i + 1) * width:.0f} B", _RAMP[i]) for i in range(_STEPS)]
    image = pictures.map_image(pictures.paint(step, _RAMP), valid)
    title = "payload bytes per tile (estimate by cost tables)"
    return pictures.png(pictures.with_legend(image, title, legend))
