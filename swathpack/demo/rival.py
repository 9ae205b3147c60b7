"""JPEG 2000 of the same bands at the same number of bytes, with the encoder on the ground: what pixels can do."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from codec.errors import BackendUnavailable
from codec.types import BoolArray, FloatArray
from swathpack.demo.landcover import at_pixels

if TYPE_CHECKING:
    from codec.package import Package
    from codec.types import TileGrid
    from onboard.engine import Engine

_TRIES = 14
_RESOLUTIONS = 5  # of 1, 3, 4, 5, 6, 7 the one with the least error on both samples near 3 and 37 kB
_BATCH = 32
_TOP = 65535  # of the 16-bit numbers that are coded


@dataclass(frozen=True, slots=True)
class Rival:
    """A lossy JPEG 2000 file of all bands and what comes out of it."""

    n_bytes: int  # of the whole file, as it would be sent
    pixels: npt.NDArray[np.uint16]  # C×H×W


def encode_jpeg2000(pixels: npt.NDArray[np.unsignedinteger], quality: float) -> bytes:
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
    # GDAL's default is made for overviews: it leaves small rasters hardly decomposed, and the rival would be a weak one.
    resolutions = max(1, min(_RESOLUTIONS, min(pixels.shape[1:]).bit_length() - 1))
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
            RESOLUTIONS=str(resolutions),
        ) as file:
            file.write(pixels)
        return bytes(memory.read())


def jpeg2000(pixels: npt.NDArray[np.uint16], target_bytes: int) -> Rival:
    """The JPEG 2000 file nearest to `target_bytes` that OpenJPEG reaches, found by bisection on its quality.

    `pixels` C×H×W. Very small targets are not reachable: headers of all bands stand in every file; the nearest size is
    then larger, and its real size is what counts. Raises BackendUnavailable without the driver.
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


@dataclass(frozen=True, slots=True)
class Pixels:
    """A whole scene at its native resolution, and what the encoder is told of it."""

    values: FloatArray  # C×H×W reflectance, 0 where invalid
    validity: BoolArray  # H×W
    bands: tuple[str, ...]
    zoom: int  # the encoder sees each pixel `zoom` times larger


def through_jpeg2000(
    scene: Pixels, target_bytes: int, package: Package, engine: Engine, grid: TileGrid
) -> tuple[int, dict[str, FloatArray]]:
    """Bytes of the JPEG 2000 file, and the embeddings of what comes out of it, by plane name.

    Each band is coded linearly between its smallest and largest valid reflectance, in 16 bits.
    """
    x, valid = scene.values, scene.validity
    low = np.array([band[valid].min() for band in x])[:, None, None]
    high = np.maximum(np.array([band[valid].max() for band in x])[:, None, None], low + 1e-6)
    code = np.where(valid, np.rint((x - low) / (high - low) * _TOP), 0).astype(np.uint16)
    rival = jpeg2000(code, target_bytes)
    back = np.where(valid, rival.pixels / _TOP * (high - low) + low, 0).astype(np.float32)
    scene = Pixels(back, valid, scene.bands, scene.zoom)
    return rival.n_bytes, encode_pixels(enlarge(scene), package, engine, grid)


def enlarge(scene: Pixels) -> Pixels:
    """Bilinear, as a scene opened with that zoom."""
    if scene.zoom == 1:
        return scene
    _, height, width = scene.values.shape
    size = height * scene.zoom, width * scene.zoom
    larger = at_pixels(scene.values.transpose(1, 2, 0), *size, scene.zoom).transpose(2, 0, 1)
    validity = np.repeat(np.repeat(scene.validity, scene.zoom, 0), scene.zoom, 1)
    return Pixels(larger, validity, scene.bands, 1)


def encode_pixels(scene: Pixels, package: Package, engine: Engine, grid: TileGrid) -> dict[str, FloatArray]:
    """Embeddings of arrays, by plane name; the encoder's margin is taken from around each core."""
    core, margin, n = package.tile.core, package.tile.margin, grid.n_tiles
    side = core + 2 * margin
    present = np.array([band in scene.bands for band in package.bands])
    order = [scene.bands.index(band) for band in package.bands if band in scene.bands]
    around = ((margin, margin + core), (margin, margin + core))  # room for cores beyond the scene's edge
    valid = np.pad(scene.validity, around)
    values = np.pad(scene.values[order] * scene.validity, ((0, 0), *around))
    latents: dict[str, list[FloatArray]] = {plane.name: [] for plane in package.planes}
    for start in range(0, n, _BATCH):
        places = [grid.origin(i) for i in range(start, min(start + _BATCH, n))]
        x = np.zeros((len(places), len(package.bands), side, side), np.float32)
        for i, (row, col) in enumerate(places):
            x[i, present] = values[:, row : row + side, col : col + side]
        mask = np.stack([valid[row : row + side, col : col + side] for row, col in places])
        flags = np.repeat(present[None].astype(np.float32), len(places), axis=0)
        for name, part in engine.run(x, flags, mask.astype(np.float32)).items():
            latents[name].append(part)
    return {
        name: package.transforms[name].synthesise(np.concatenate(parts)) for name, parts in latents.items()
    }
