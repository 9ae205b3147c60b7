"""Scenes of somebody's own sensor, written on the spot: three bands of bytes, textured, the same pixels every time."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

GAIN = 0.3 / 255  # reflectance of a byte of the sensor `rgb` (docs/sensors.md)


def dn(height: int, width: int, seed: int) -> npt.NDArray[np.uint8]:
    """3×H×W: fields of smooth waves with a texture that differs from field to field."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    field = (rows // 48) * 31 + cols // 40
    strength = rng.uniform(2, 14, 4096)[field % 4096]
    brightness = rng.uniform(70, 150, 4096)[field % 4096]
    waves = sum(
        np.sin(rows * a + cols * b + c) for a, b, c in rng.uniform((0.02, 0.02, 0), (0.5, 0.5, 6), (4, 3))
    )
    noise = rng.standard_normal((height, width))
    bands = [
        brightness * f + strength * (6 * f * waves / 4 + noise + 0.3 * rng.standard_normal((height, width)))
        for f in (0.9, 1.0, 0.8)
    ]
    return np.clip(np.rint(bands), 1, 254).astype(np.uint8)


def write(path: Path, pixels: npt.NDArray[np.uint8], *, nodata: int | None = 0) -> Path:
    """A GeoTIFF of bands 1 to 3, red, green and blue."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.transform import Affine

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", count=len(pixels), height=pixels.shape[1], width=pixels.shape[2],
            dtype="uint8", nodata=nodata, crs="EPSG:32632", transform=Affine(1, 0, 500000, 0, -1, 5000000),
        ) as dataset:  # fmt: skip
            dataset.write(pixels)
            if len(pixels) == 3:
                dataset.descriptions = ("red", "green", "blue")
    return path
