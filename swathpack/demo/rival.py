"""JPEG 2000 of the same bands at the same number of bytes: what pixels can do."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.errors import BackendUnavailable

_TRIES = 14


@dataclass(frozen=True, slots=True)
class Rival:
    """A lossy JPEG 2000 file of all bands and what comes out of it."""

    n_bytes: int  # of the whole file, as it would be sent
    pixels: npt.NDArray[np.integer]  # C×H×W, the type of the input


def encode_jpeg2000(pixels: npt.NDArray[np.integer], quality: float) -> bytes:
    """Lossy JPEG 2000 of C×H×W by OpenJPEG; `quality` is its share of the raw size in percent.

    Raises BackendUnavailable where GDAL lacks the driver.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.io import MemoryFile

    with rasterio.Env() as env:
        if "JP2OpenJPEG" not in env.drivers():
            raise BackendUnavailable(
                "GDAL lacks the JP2OpenJPEG driver", fix="install rasterio from its wheel"
            )
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # georeference is not what is compared
        with memory.open(
            driver="JP2OpenJPEG",
            count=pixels.shape[0],
            height=pixels.shape[1],
            width=pixels.shape[2],
            dtype=pixels.dtype.name,
            QUALITY=f"{quality:.6f}",
            REVERSIBLE="NO",
            YCBCR420="NO",
            USE_TILE_SIZE_AS_BLOCK="NO",
        ) as file:
            file.write(pixels)
        return bytes(memory.read())


def jpeg2000(pixels: npt.NDArray[np.integer], target_bytes: int) -> Rival:
    """The JPEG 2000 file nearest to `target_bytes` that OpenJPEG reaches, found by bisection on its quality.

    `pixels` C×H×W, an unsigned integer type. Very small targets are not reachable: headers of all bands stand in every
    file; the nearest size is then larger, and its real size is what counts.
    """
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.io import MemoryFile

    low, high = 1e-4, 100.0
    best = encode_jpeg2000(pixels, low)
    for _ in range(_TRIES):
        middle = float(np.sqrt(low * high))
        data = encode_jpeg2000(pixels, middle)
        if abs(len(data) - target_bytes) < abs(len(best) - target_bytes):
            best = data
        low, high = (middle, high) if len(data) < target_bytes else (low, middle)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with MemoryFile(best) as memory, memory.open() as file:
            return Rival(len(best), file.read())
