"""A small scene written on the spot: smooth fields of six Sentinel-2 bands, the same pixels every time."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
HEIGHT, WIDTH = 150, 200  # 3 × 4 tiles of 64, the last row and column shifted inward
TRANSFORM = (10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0)
# How to read it, for commands: nothing in the file tells the sensor or the offset.
ARGUMENTS = ("--sensor", "sentinel2-l2a", "--scaling", "no-offset")


def pixels(height: int = HEIGHT, width: int = WIDTH, seed: int = 5) -> npt.NDArray[np.uint16]:
    """DN 6×H×W: waves of several lengths, different in each band."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    out = np.empty((len(BANDS), height, width), np.uint16)
    for band in range(len(BANDS)):
        field = sum(
            np.sin(rows * a + cols * b + c)
            for a, b, c in rng.uniform((0.02, 0.02, 0.0), (0.4, 0.4, 6.0), (5, 3))
        )
        out[band] = np.rint(900 + 250 * band + 80 * field).astype(np.uint16)
    return out


def write_scene(
    path: Path,
    data: npt.NDArray[np.generic] | None = None,
    *,
    crs: str | None = "EPSG:32632",
    names: tuple[str, ...] = BANDS,
    nodata: float | None = 0,
) -> Path:
    """A GeoTIFF with named bands."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.transform import Affine

    data = pixels() if data is None else data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", count=len(data), height=data.shape[1], width=data.shape[2],
            dtype=data.dtype.name, nodata=nodata, **({"crs": crs, "transform": Affine(*TRANSFORM)} if crs else {}),
        ) as dataset:  # fmt: skip
            dataset.write(data)
            dataset.descriptions = names
    return path
